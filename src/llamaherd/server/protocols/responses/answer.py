"""Answers in OpenAI's chat shape -> events and objects of its Responses API. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from llamaherd.server.errors import Failure
from llamaherd.server.protocols.blocks import Block, Blocks
from llamaherd.server.protocols.blocks import Event as Change
from llamaherd.server.protocols.sse import named_event

JSON = dict[str, Any]

_ECHOED: JSON = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""Fields of a request that its response repeats, and what they are if it leaves them out."""


class Answer:
    """One response on its way.

    Args:
        body: of the request.
    """

    def __init__(self, body: JSON) -> None:
        self._echoed = {
            name: default if body.get(name) is None else body[name]
            for name, default in _ECHOED.items()
        }
        self._blocks = Blocks()
        self._logprobs: dict[int, list[JSON]] = {}
        self._envelope: JSON = {}
        self._reason = ""
        self._usage: JSON | None = None
        self._n_events = 0

    def feed(self, chunk: JSON) -> Iterator[JSON]:
        """The events of a chunk."""
        if not self._envelope:
            self._envelope = chunk
            yield self._about_response("created", "in_progress")
            yield self._about_response("in_progress", "in_progress")
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            said = choice["delta"] if "delta" in choice else choice["message"]
            logprobs = (choice.get("logprobs") or {}).get("content") or []
            yield from self._events(self._blocks.feed(said), logprobs)
            self._reason = choice["finish_reason"] or self._reason

    def finish(self) -> Iterator[JSON]:
        """The events after the last chunk."""
        yield from self._events(self._blocks.finish(), [])
        yield self._about_response(self._status, self._status)

    def failed(self, failure: Failure) -> JSON:
        """The event of an answer that broke off."""
        code = {429: "rate_limit_exceeded"}.get(failure.status, "server_error")
        told = {"code": failure.code or code, "message": failure.message}
        if not self._envelope:
            return self._event("error", {**told, "param": failure.param})
        self._reason = "error"
        event = self._about_response("failed", "failed")
        event["response"]["error"] = told
        return event

    def whole(self) -> JSON:
        """The response, once it is complete."""
        return self._response(self._status)

    # -- events -------------------------------------------------------------------------------

    def _events(self, changes: Iterable[Change], logprobs: list[JSON]) -> Iterator[JSON]:
        for moment, block, text in changes:
            if moment == "start":
                yield from self._start(block)
            elif moment == "delta":
                more: JSON = {"delta": text}
                if block.kind == "text":
                    more["logprobs"] = logprobs
                    self._logprobs.setdefault(block.index, []).extend(logprobs)
                yield self._about_block(f"{_STREAMED[block.kind]}.delta", block, **more)
            else:
                yield from self._stop(block)

    def _start(self, block: Block) -> Iterator[JSON]:
        item = self._item(block, "in_progress")
        yield self._about_item("output_item.added", block, item={**item, **_EMPTY[block.kind]})
        if block.kind != "call":
            yield self._about_block("content_part.added", block, part=_part(block, []))

    def _stop(self, block: Block) -> Iterator[JSON]:
        done = f"{_STREAMED[block.kind]}.done"
        if block.kind == "call":
            yield self._about_block(done, block, name=block.name, arguments=block.text)
        else:
            found = self._logprobs.get(block.index, [])
            more = {"logprobs": found} if block.kind == "text" else {}
            yield self._about_block(done, block, text=block.text, **more)
            yield self._about_block("content_part.done", block, part=_part(block, found))
        item = self._item(block, self._item_status(block))
        yield self._about_item("output_item.done", block, item=item)

    def _about_response(self, name: str, status: str) -> JSON:
        return self._event(f"response.{name}", {"response": self._response(status)})

    def _about_item(self, name: str, block: Block, /, **more: Any) -> JSON:
        return self._event(f"response.{name}", {"output_index": block.index, **more})

    def _about_block(self, name: str, block: Block, /, **more: Any) -> JSON:
        place = {"item_id": self._id(block), "output_index": block.index}
        if block.kind != "call":
            place["content_index"] = 0
        return self._event(f"response.{name}", {**place, **more})

    def _event(self, name: str, data: JSON) -> JSON:
        self._n_events += 1
        return {"type": name, "sequence_number": self._n_events - 1, **data}

    # -- objects ------------------------------------------------------------------------------

    @property
    def _status(self) -> str:
        return "completed" if self._reason in ("stop", "tool_calls") else "incomplete"

    def _response(self, status: str) -> JSON:
        over = status != "in_progress"
        return {
            "id": f"resp_{self._name}",
            "object": "response",
            "created_at": self._envelope["created"],
            "status": status,
            "error": None,
            "incomplete_details": _CUT_OFF if status == "incomplete" else None,
            "model": self._envelope["model"],
            "output": [self._item(b, self._item_status(b)) for b in self._blocks.all]
            if over
            else [],
            "usage": usage(self._usage) if over and self._usage else None,
            **self._echoed,
        }

    @property
    def _name(self) -> str:
        return str(self._envelope["id"]).rpartition("-")[2]

    def _id(self, block: Block) -> str:
        return f"{_PREFIX[block.kind]}_{self._name}_{block.index}"

    def _item_status(self, block: Block) -> str:
        last = block is self._blocks.all[-1]
        return (
            "incomplete" if last and self._reason and self._status != "completed" else "completed"
        )

    def _item(self, block: Block, status: str) -> JSON:
        item: JSON = {"id": self._id(block), "type": _TYPE[block.kind], "status": status}
        if block.kind == "call":
            called = {"call_id": block.call_id, "name": block.name, "arguments": block.text}
            return {**item, **called}
        content = [_part(block, self._logprobs.get(block.index, []))]
        if block.kind == "thinking":
            return {**item, "summary": [], "content": content, "encrypted_content": None}
        return {**item, "role": "assistant", "content": content}


_CUT_OFF = {"reason": "max_output_tokens"}
"""Of the reasons that clients know, the one that fits; also where a time limit ended an answer."""
_TYPE = {"thinking": "reasoning", "text": "message", "call": "function_call"}
_PREFIX = {"thinking": "rs", "text": "msg", "call": "fc"}
_STREAMED = {
    "thinking": "reasoning_text",
    "text": "output_text",
    "call": "function_call_arguments",
}
_EMPTY: dict[str, JSON] = {
    "thinking": {"content": []},
    "text": {"content": []},
    "call": {"arguments": ""},
}


def _part(block: Block, logprobs: list[JSON]) -> JSON:
    if block.kind == "thinking":
        return {"type": "reasoning_text", "text": block.text}
    more = {"annotations": [], "logprobs": logprobs}
    return {"type": "output_text", "text": block.text, **more}


def usage(counts: JSON) -> JSON:
    """Token counts under the Responses API's names."""
    read = counts.get("prompt_tokens_details") or {}
    made = counts.get("completion_tokens_details") or {}
    return {
        "input_tokens": counts["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": read.get("cached_tokens", 0),
            "cache_write_tokens": 0,
        },
        "output_tokens": counts["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": made.get("reasoning_tokens", 0)},
        "total_tokens": counts["total_tokens"],
    }


class Events:
    """The stream of ``/v1/responses``.

    Args:
        body: of the request.
        on_end: gets the whole response.
    """

    media_type = "text/event-stream"
    keep_alive = b": keep-alive\n\n"

    def __init__(self, body: JSON, on_end: Callable[[JSON], None]) -> None:
        self._answer, self._on_end = Answer(body), on_end

    def chunk(self, chunk: JSON) -> bytes:
        """The events of a chunk."""
        return _written(self._answer.feed(chunk))

    def end(self) -> bytes:
        """The events after the last chunk."""
        last = _written(self._answer.finish())
        self._on_end(self._answer.whole())
        return last

    def error(self, failure: Failure) -> bytes:
        """The event of an answer that broke off, with what there is of it."""
        return _written([self._answer.failed(failure)])


def whole(response: JSON, body: JSON) -> JSON:
    """A response from a whole one of the chat API.

    Args:
        body: of the request.
    """
    answer = Answer(body)
    for _ in answer.feed(response):
        pass
    return answer.whole()


def _written(events: Iterable[JSON]) -> bytes:
    return b"".join(named_event(each["type"], each) for each in events)
