"""Answers in OpenAI's shape -> lines of Ollama's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from llamaherd.server.errors import Failure
from llamaherd.server.protocols.blocks import Block, Blocks
from llamaherd.server.protocols.blocks import Event as Change
from llamaherd.server.protocols.sse import dump

JSON = dict[str, Any]
Shape = Callable[[JSON], JSON]
"""Where an answer puts what it says: ``content``, ``thinking``, ``tool_calls``."""


def message(said: JSON) -> JSON:
    """The shape of ``/api/chat``."""
    return {"message": {"role": "assistant", "content": "", **said}}


def response(said: JSON) -> JSON:
    """The shape of ``/api/generate``."""
    more = {name: value for name, value in said.items() if name != "content"}
    return {"response": said.get("content", ""), **more}


class Answer:
    """One answer on its way."""

    def __init__(self, shape: Shape) -> None:
        self._shape, self._blocks = shape, Blocks()
        self._envelope: JSON = {}
        self._end: JSON = {}
        self._reason = "stop"
        self._logprobs: list[JSON] = []

    def feed(self, chunk: JSON) -> Iterator[JSON]:
        """The lines of a chunk."""
        self._envelope = self._envelope or chunk
        self._end |= {name: chunk[name] for name in ("usage", "timings") if chunk.get(name)}
        for choice in chunk["choices"]:
            self._reason = choice["finish_reason"] or self._reason
            found = (choice.get("logprobs") or {}).get("content") or []
            self._logprobs += found
            more = {"logprobs": found} if found else {}
            for said in _said(self._blocks.feed(_delta(choice))):
                yield {**self._line(said, done=False), **more}

    def finish(self) -> Iterator[JSON]:
        """The lines after the last chunk."""
        for said in _said(self._blocks.finish()):
            yield self._line(said, done=False)
        yield {**self._line({}, done=True), **self._counts()}

    def whole(self) -> JSON:
        """The response, once it is complete, without a call that was cut off."""
        said: JSON = {}
        for block in self._blocks.all:
            for name, value in _told(block).items():
                said[name] = said[name] + value if name in said else value
        more = {"logprobs": self._logprobs} if self._logprobs else {}
        return {**self._line(said, done=True), **more, **self._counts()}

    def _line(self, said: JSON, *, done: bool) -> JSON:
        begin = {"model": self._envelope["model"], "created_at": moment(self._envelope["created"])}
        return {**begin, **self._shape(said), "done": done}

    def _counts(self) -> JSON:
        usage, times = self._end["usage"], self._end["timings"]
        parts = [times[name] for name in ("queued_ms", "prompt_ms", "predicted_ms")]
        return {
            "done_reason": "stop" if self._reason in ("stop", "tool_calls") else "length",
            "total_duration": _ns(sum(parts)),
            "load_duration": 0,
            "prompt_eval_count": usage["prompt_tokens"],
            "prompt_eval_duration": _ns(times["prompt_ms"]),
            "eval_count": usage["completion_tokens"],
            "eval_duration": _ns(times["predicted_ms"]),
        }


_NAMES = {"text": "content", "thinking": "thinking"}


def _said(changes: Iterable[Change]) -> Iterator[JSON]:
    """What goes into lines: texts as they grow, calls once they are complete."""
    for when, block, text in changes:
        if block.kind == "call":
            if when == "stop" and (told := _told(block)):
                yield told
        elif when == "delta":
            yield {_NAMES[block.kind]: text}


def _told(block: Block) -> JSON:
    """All that a block says; nothing, for a call that was cut off."""
    if block.kind != "call":
        return {_NAMES[block.kind]: block.text}
    if block.arguments is None:
        return {}
    function = {"index": block.call_index, "name": block.name, "arguments": block.arguments}
    return {"tool_calls": [{"id": block.call_id, "function": function}]}


def _delta(choice: JSON) -> JSON:
    """What a choice says, in a chunk or as a whole, in a chat or in a text."""
    if "text" in choice:
        return {"content": choice["text"]}
    found: JSON = choice["delta"] if "delta" in choice else choice["message"]
    return found


def moment(seconds: float) -> str:
    """A time as Ollama writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def _ns(ms: float) -> int:
    return round(ms * 1e6)


class Lines:
    """The streams of ``/api/chat`` and ``/api/generate``: a line of JSON at a time."""

    media_type = "application/x-ndjson"
    keep_alive = b""  # clients read every line as JSON

    def __init__(self, shape: Shape) -> None:
        self._answer = Answer(shape)

    def chunk(self, chunk: JSON) -> bytes:
        """The lines of a chunk."""
        return _written(self._answer.feed(chunk))

    def end(self) -> bytes:
        """The lines after the last chunk."""
        return _written(self._answer.finish())

    def error(self, failure: Failure) -> bytes:
        """The line that clients raise."""
        return _written([error(failure)])


def whole(given: JSON, shape: Shape) -> JSON:
    """A response from a whole one of the chat or completions API."""
    answer = Answer(shape)
    for _ in answer.feed(given):
        pass
    return answer.whole()


def error(failure: Failure) -> JSON:
    """Ollama's error object."""
    return {"error": failure.message}


def _written(lines: Iterable[JSON]) -> bytes:
    return "".join(f"{dump(line)}\n" for line in lines).encode("utf-8", "replace")
