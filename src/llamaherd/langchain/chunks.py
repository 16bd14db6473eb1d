"""OpenAI's responses and chunks -> LangChain's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

JSON = dict[str, Any]

PROVIDER = "llamacpp"
"""What responses and traces call us, as ``ChatLlamaCpp`` always did."""


def chat_result(response: JSON) -> ChatResult:
    """A whole response."""
    usage = usage_of(response)
    generations = [_generation(response, choice, usage) for choice in response["choices"]]
    said = {"token_usage": response.get("usage"), "model_name": response.get("model")}
    return ChatResult(generations=generations, llm_output=said)


def _generation(response: JSON, choice: JSON, usage: UsageMetadata | None) -> ChatGeneration:
    said = choice["message"]
    calls, broken = [], []
    for call in said.get("tool_calls") or ():
        function = call["function"]
        arguments = _arguments(function["arguments"])
        if arguments is None:
            why = "the arguments are no JSON object: the answer was cut off"
            broken.append(
                invalid_tool_call(
                    name=function["name"], args=function["arguments"], id=call["id"], error=why
                )
            )
        else:
            calls.append(tool_call(name=function["name"], args=arguments, id=call["id"]))
    message = AIMessage(
        content=said.get("content") or "",
        additional_kwargs=_thoughts(said),
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=usage,
        response_metadata=_metadata(response, choice),
    )
    return ChatGeneration(message=message, generation_info=_finish(choice))


def _arguments(text: str) -> JSON | None:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _thoughts(said: Mapping[str, Any]) -> JSON:
    thought = said.get("reasoning_content")
    return {"reasoning_content": thought} if thought else {}


def _finish(said: JSON) -> JSON:
    found = {name: said.get(name) for name in ("finish_reason", "logprobs")}
    return {name: value for name, value in found.items() if value is not None}


def _metadata(response: JSON, choice: JSON) -> JSON:
    """What a message says of how it came about."""
    found = {
        "model_name": response.get("model"),
        "model_provider": PROVIDER,
        "finish_reason": choice.get("finish_reason"),
        "system_fingerprint": response.get("system_fingerprint"),
        "timings": response.get("timings"),
        "notes": choice.get("notes"),
        "logprobs": choice.get("logprobs"),
    }
    return {name: value for name, value in found.items() if value is not None}


def usage_of(response: JSON) -> UsageMetadata | None:
    """Token counts, with those that were in memory already and those of thoughts."""
    usage = response.get("usage")
    if usage is None:
        return None
    found = UsageMetadata(
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage.get("completion_tokens", 0),
        total_tokens=usage["total_tokens"],
    )
    prompt = usage.get("prompt_tokens_details") or {}
    read = InputTokenDetails(cache_read=prompt.get("cached_tokens") or 0)
    if (heard := prompt.get("audio_tokens")) is not None:
        # LangChain counts a token in one of its details only.
        read["audio"] = min(heard, usage["prompt_tokens"] - read["cache_read"])
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    found["input_token_details"] = read
    if thought is not None:
        found["output_token_details"] = OutputTokenDetails(reasoning=thought)
    return found


class ChunkReader:
    """Reads the chunks of a streamed chat; the last of its own says how it ended and what it cost.

    Log-probabilities are collected for it, since LangChain would add up those of each chunk.
    """

    def __init__(self) -> None:
        self._last: JSON = {}
        self._ended = False
        self._logprobs: list[Any] = []

    def read(self, raw: JSON) -> ChatGenerationChunk | None:
        """LangChain's chunk for one of OpenAI's; None if it has nothing new to say."""
        choices = raw["choices"]
        if not choices:
            return self._end(raw) if raw.get("usage") else None
        choice = choices[0]
        if (logprobs := choice.get("logprobs")) is not None:
            self._logprobs += logprobs.get("content") or ()
        if choice["finish_reason"] is not None:
            self._ended, self._last = True, _metadata(raw, choice)
        delta = choice["delta"]
        content, calls = delta.get("content") or "", delta.get("tool_calls")
        thought = delta.get("reasoning_content")
        if not (content or calls or thought):
            return None
        message = AIMessageChunk(content=content)
        if thought:
            message.additional_kwargs = {"reasoning_content": thought}
        if calls:
            message = _called(message, calls)
        return ChatGenerationChunk(message=message)

    def close(self) -> ChatGenerationChunk | None:
        """The last chunk, where the stream had no token counts."""
        return self._end({}) if self._ended else None

    def _end(self, raw: JSON) -> ChatGenerationChunk:
        self._ended = False
        metadata = self._last
        if self._logprobs:
            metadata["logprobs"] = {"content": self._logprobs}
        message = AIMessageChunk(
            content="",
            usage_metadata=usage_of(raw),
            response_metadata=metadata,
            chunk_position="last",
        )
        return ChatGenerationChunk(message=message, generation_info=_finish(metadata))


def _called(message: AIMessageChunk, deltas: list[JSON]) -> AIMessageChunk:
    """A chunk with pieces of calls: name and id in the first of each, then text of arguments."""
    pieces: dict[int, ToolCallChunk] = {}  # LangChain puts pieces of different chunks together only
    for delta in deltas:
        piece = _call_chunk(delta)
        known = pieces.setdefault(delta["index"], piece)
        if known is not piece:
            known["args"] = (known["args"] or "") + (piece["args"] or "")
    return AIMessageChunk(
        content=message.content,
        additional_kwargs=message.additional_kwargs,
        tool_call_chunks=list(pieces.values()),
    )


def _call_chunk(delta: JSON) -> ToolCallChunk:
    function = delta.get("function") or {}
    return ToolCallChunk(
        name=function.get("name"),
        args=function.get("arguments") or "",
        id=delta.get("id"),
        index=delta["index"],
        type="tool_call_chunk",
    )
