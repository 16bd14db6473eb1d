"""OpenAI-shaped responses and chunks -> LlamaIndex's responses. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

from llamaherd.responses import JSON


def whole_response(raw: JSON) -> ChatResponse:
    """Of a whole response, of the chat API or the completions API."""
    answer, choice = Answer(), raw["choices"][0]
    answer.grow(choice.get("message", choice))
    answer.finish(raw.get("usage"))
    return answer.response(raw, None, choice.get("logprobs"))


class Answer:
    """An answer as its chunks arrive; each response holds all of it so far."""

    def __init__(self) -> None:
        self._text = self._thought = ""
        self._calls: list[JSON] = []
        self._ended = False
        self._n_thought: int | None = None
        self._last: JSON = {}

    def add(self, chunk: JSON) -> ChatResponse | None:
        """What a chunk makes known; None: nothing. The chunk of token counts makes the last one."""
        if not chunk["choices"]:
            self.finish(chunk["usage"])
            return self.response({**self._last, "usage": chunk["usage"]}, {})
        choice = chunk["choices"][0]
        delta = choice.get("delta", choice)
        if choice["finish_reason"] is not None:
            self._last = chunk
        if not (self.grow(delta) or choice.get("logprobs")):
            return None
        return self.response(chunk, delta, choice.get("logprobs"))

    def grow(self, delta: JSON) -> bool:
        """Whether there was anything new."""
        text = delta.get("content") or delta.get("text") or ""
        thought = delta.get("reasoning_content") or ""
        calls = delta.get("tool_calls") or ()
        self._text += text
        self._thought += thought
        for call in calls:
            self._add_call(call)
        return bool(text or thought or calls)

    def finish(self, usage: JSON | None) -> None:
        """No more comes. A call that was cut off is none: running it would be wrong."""
        self._ended = True
        details = (usage or {}).get("completion_tokens_details") or {}
        self._n_thought = details.get("reasoning_tokens")
        self._calls = [call for call in self._calls if _arguments(call) is not None]

    def response(self, raw: JSON, delta: JSON | None, logprobs: JSON | None = None) -> ChatResponse:
        """All so far.

        Args:
            delta: what is new; None: the response is no piece of a stream.
        """
        thought = (delta or {}).get("reasoning_content")
        return ChatResponse(
            message=self._message,
            raw=raw,
            delta=None if delta is None else delta.get("content") or delta.get("text") or "",
            logprobs=_logprobs(logprobs),
            additional_kwargs={"thinking_delta": thought} if thought else {},
        )

    @property
    def _message(self) -> ChatMessage:
        blocks: list[ContentBlock] = []
        if self._thought:
            blocks.append(ThinkingBlock(content=self._thought, num_tokens=self._n_thought))
        if self._text or not self._calls:
            blocks.append(TextBlock(text=self._text))
        blocks += [self._call_block(call) for call in self._calls]
        more = {"tool_calls": list(self._calls)} if self._calls else {}
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=more)

    def _call_block(self, call: JSON) -> ToolCallBlock:
        function = call["function"]
        arguments = _arguments(call) if self._ended else None
        return ToolCallBlock(
            tool_call_id=call["id"],
            tool_name=function["name"],
            tool_kwargs=function["arguments"] if arguments is None else arguments,
        )

    def _add_call(self, delta: JSON) -> None:
        """Calls are replaced, not changed: responses given out hold them."""
        index = delta.get("index", len(self._calls))
        if index == len(self._calls):
            self._calls.append({key: value for key, value in delta.items() if key != "index"})
            return
        call = self._calls[index]
        arguments = call["function"]["arguments"] + delta["function"]["arguments"]
        self._calls[index] = {**call, "function": {**call["function"], "arguments": arguments}}


def _arguments(call: JSON) -> dict[str, Any] | None:
    """Of a call; None: they are not all there."""
    try:
        found = json.loads(call["function"]["arguments"] or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def tool_selections(message: ChatMessage) -> list[ToolSelection]:
    """The calls of a message; of one that still grows, with the arguments so far."""
    return [
        ToolSelection(
            tool_id=block.tool_call_id or block.tool_name,
            tool_name=block.tool_name,
            tool_kwargs=_known(block.tool_kwargs),
        )
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _known(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    if not isinstance(arguments, str):
        return dict(arguments)
    found = from_json(arguments or "{}", allow_partial="trailing-strings")
    return found if isinstance(found, dict) else {}


def _logprobs(given: JSON | None) -> list[list[LogProb]] | None:
    """For each token: itself, then its likeliest alternatives."""
    if given is None:
        return None
    if "content" in given:
        return [_ranked(e, e["top_logprobs"]) for e in given["content"]]
    entries = zip(given["tokens"], given["token_logprobs"], given["top_logprobs"], strict=True)
    return [_ranked(_entry(t, lp), [_entry(*e) for e in top.items()]) for t, lp, top in entries]


def _ranked(drawn: JSON, top: Sequence[JSON]) -> list[LogProb]:
    others = [entry for entry in top if entry["token"] != drawn["token"]]
    return [
        LogProb(token=e["token"], logprob=e["logprob"], bytes=e["bytes"]) for e in [drawn, *others]
    ]


def _entry(token: str, logprob: float) -> JSON:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
