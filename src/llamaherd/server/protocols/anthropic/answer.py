"""Answers in OpenAI's shape -> events and messages of Anthropic's. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from llamaherd.server.errors import Failure
from llamaherd.server.protocols.blocks import Block, Blocks
from llamaherd.server.protocols.sse import named_event

JSON = dict[str, Any]

UNSIGNED = "unsigned"
"""Stands for the signature of a thought. Nobody checks it here, and some clients drop thoughts
whose signature is empty."""


class Answer:
    """One answer on its way.

    Args:
        max_tokens: as asked for and allowed; fewer at the end mean that the context was full.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._blocks = Blocks()
        self._envelope: JSON = {}
        self._finish: JSON = {}
        self._usage: JSON = {}

    def feed(self, chunk: JSON) -> Iterator[JSON]:
        """The events of a chunk."""
        if not self._envelope:
            self._envelope = chunk
            yield {"type": "message_start", "message": self._message([], None, None)}
            yield {"type": "ping"}
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            said = choice["delta"] if "delta" in choice else choice["message"]
            yield from self._events(self._blocks.feed(said))
            if choice["finish_reason"]:
                self._finish = choice

    def finish(self) -> Iterator[JSON]:
        """The events after the last chunk."""
        yield from self._events(self._blocks.finish())
        delta = {"stop_reason": self._stop_reason, "stop_sequence": self._stop_sequence}
        yield {"type": "message_delta", "delta": delta, "usage": usage(self._usage)}
        yield {"type": "message_stop"}

    def whole(self) -> JSON:
        """The message, once it is complete, without a call that was cut off."""
        complete = [b for b in self._blocks.all if b.kind != "call" or b.arguments is not None]
        content = [_block(block) for block in complete]
        return self._message(content, self._stop_reason, self._stop_sequence)

    def _events(self, changes: Any) -> Iterator[JSON]:
        for moment, block, text in changes:
            if moment == "start":
                empty = _block(Block(block.kind, block.index, "", block.call_id, block.name))
                if block.kind == "thinking":
                    empty["signature"] = ""  # comes as a delta
                yield {
                    "type": "content_block_start",
                    "index": block.index,
                    "content_block": empty,
                }
            elif moment == "delta":
                yield _delta(block.index, _grown(block, text))
            else:
                if block.kind == "thinking":
                    signature = {"type": "signature_delta", "signature": UNSIGNED}
                    yield _delta(block.index, signature)
                yield {"type": "content_block_stop", "index": block.index}

    @property
    def _stop_sequence(self) -> str | None:
        return self._finish.get("stopping_word")

    @property
    def _stop_reason(self) -> str:
        reason = self._finish.get("finish_reason")
        if reason == "tool_calls":
            return "tool_use"
        if reason == "stop":
            return "end_turn" if self._stop_sequence is None else "stop_sequence"
        generated = self._usage.get("completion_tokens", self._max_tokens)
        if reason == "length" and generated < self._max_tokens:
            return "model_context_window_exceeded"
        return "max_tokens"  # also for one that a time limit cut off

    def _message(self, content: list[JSON], reason: str | None, word: str | None) -> JSON:
        return {
            "id": f"msg_{self._envelope['id'].rpartition('-')[2]}",
            "type": "message",
            "role": "assistant",
            "model": self._envelope["model"],
            "content": content,
            "stop_reason": reason,
            "stop_sequence": word,
            "usage": usage(self._usage),
        }


def usage(counts: JSON) -> JSON:
    """Token counts; what was read before is no input here. Nothing is billed for being kept."""
    details = counts.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens", 0)
    found = {
        "input_tokens": counts.get("prompt_tokens", 0) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": counts.get("completion_tokens", 0),
    }
    thoughts = (counts.get("completion_tokens_details") or {}).get("reasoning_tokens")
    if thoughts:
        found["output_tokens_details"] = {"thinking_tokens": thoughts}
    return found


class Events:
    """The stream of ``/v1/messages``.

    Args:
        max_tokens: as asked for and allowed.
    """

    media_type = "text/event-stream"
    keep_alive = named_event("ping", {"type": "ping"})

    def __init__(self, max_tokens: int) -> None:
        self._answer = Answer(max_tokens)

    def chunk(self, chunk: JSON) -> bytes:
        """The events of a chunk."""
        return _events(self._answer.feed(chunk))

    def end(self) -> bytes:
        """The events after the last chunk."""
        return _events(self._answer.finish())

    def error(self, failure: Failure) -> bytes:
        """The event that clients raise."""
        return named_event("error", error(failure))


def whole(response: JSON, max_tokens: int) -> JSON:
    """A message from a whole response of the chat API."""
    answer = Answer(max_tokens)
    for _ in answer.feed(response):
        pass
    return answer.whole()


_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error(failure: Failure) -> JSON:
    """Anthropic's error object."""
    default = "invalid_request_error" if failure.status < 500 else "api_error"
    kind = _ERROR_TYPES.get(failure.status, default)
    return {"type": "error", "error": {"type": kind, "message": _message(failure)}}


def _message(failure: Failure) -> str:
    """Claude Code looks for these words and numbers, to make a conversation shorter."""
    if failure.code != "context_length_exceeded":
        return failure.message
    numbers = re.findall(r"\d+", failure.message)[:2]
    return f"prompt is too long: {' tokens > '.join(numbers)} maximum. {failure.message}"


def _events(events: Iterator[JSON]) -> bytes:
    return b"".join(named_event(each["type"], each) for each in events)


def _delta(index: int, delta: JSON) -> JSON:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _grown(block: Block, text: str) -> JSON:
    if block.kind == "call":
        return {"type": "input_json_delta", "partial_json": text}
    return {"type": f"{block.kind}_delta", block.kind: text}


def _block(block: Block) -> JSON:
    if block.kind == "call":
        call = {"type": "tool_use", "id": block.call_id, "name": block.name}
        return {**call, "input": block.arguments}
    found = {"type": block.kind, block.kind: block.text}
    return {**found, "signature": UNSIGNED} if block.kind == "thinking" else found
