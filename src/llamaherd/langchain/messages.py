"""LangChain's messages -> OpenAI's.

Content blocks may be LangChain's standard ones, OpenAI's or Anthropic's; pictures become
``image_url``, sound ``input_audio``, documents their text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from llamaherd.errors import OptionError
from llamaherd.langchain.documents import document_text

JSON = dict[str, Any]
Block = Mapping[str, Any]

_THOUGHTS = {"thinking": "thinking", "reasoning": "reasoning"}
"""Blocks of thoughts, and where their text is."""
_NOT_TEXT = {
    "tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call",
    "redacted_thinking",
}  # fmt: skip
"""Blocks of answers that ``tool_calls`` says again, or that only their maker can read."""


def as_openai(messages: Sequence[BaseMessage]) -> list[JSON]:
    """Messages for ``create_chat_completion``.

    Raises:
        OptionError: names the message and the part of it that no model here can read.
    """
    return [
        found
        for index, message in enumerate(messages)
        for found in _messages(f"messages[{index}]", message)
    ]


def _messages(place: str, message: BaseMessage) -> Iterator[JSON]:
    if isinstance(message, AIMessage):
        yield _answer(message)
    elif isinstance(message, ToolMessage):
        content = _content(place, message.content)
        yield _result(message.tool_call_id, content, message.name)
    else:
        # Anthropic puts results of tools into the user's messages.
        blocks = message.content if isinstance(message.content, list) else []
        results = [b for b in blocks if isinstance(b, dict) and b.get("type") == "tool_result"]
        for block in results:
            content = _content(place, block.get("content") or "")
            yield _result(str(block.get("tool_use_id")), content)
        rest = [b for b in blocks if b not in results] if results else message.content
        if rest or not results:
            named = {"name": message.name} if message.name else {}
            yield {"role": _role(place, message), "content": _content(place, rest), **named}


def _role(place: str, message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, SystemMessage):
        role = message.additional_kwargs.get("__openai_role__", "system")
        return str(role)
    if isinstance(message, FunctionMessage):
        return "function"
    if isinstance(message, ChatMessage):
        return message.role
    raise OptionError(place, message, "a human, system, AI, tool, function or chat message")


def _result(call_id: str, content: Any, name: str | None = None) -> JSON:
    named = {"name": name} if name else {}
    return {"role": "tool", "tool_call_id": call_id, "content": content, **named}


# -- answers ----------------------------------------------------------------------------------


def _answer(message: AIMessage) -> JSON:
    texts, thoughts = [], []
    blocks = message.content if isinstance(message.content, list) else [message.content]
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") in _THOUGHTS:
            thoughts.append(str(block.get(_THOUGHTS[block["type"]]) or ""))
        elif block.get("type") not in _NOT_TEXT:
            texts.append(str(block.get("text") or ""))
    thought = message.additional_kwargs.get("reasoning_content") or "".join(thoughts)
    found: JSON = {"role": "assistant", "content": "".join(texts)}
    if thought:
        found["reasoning_content"] = thought
    if message.name:
        found["name"] = message.name
    if calls := [*_calls(message)]:
        found["tool_calls"] = calls
    return found


def _calls(message: AIMessage) -> Iterator[JSON]:
    """Calls; broken ones are left out, since no template can write them."""
    for call in message.tool_calls:
        arguments = json.dumps(call["args"], ensure_ascii=False)
        function = {"name": call["name"], "arguments": arguments}
        yield {"id": call["id"] or "call_0", "type": "function", "function": function}


# -- parts ------------------------------------------------------------------------------------


def _content(place: str, content: str | Sequence[Any]) -> str | list[JSON]:
    """One text where there is nothing but text."""
    if isinstance(content, str):
        return content
    parts = [_part(f"{place}.content[{i}]", block) for i, block in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts


def _part(place: str, block: str | Block) -> JSON:
    if isinstance(block, str):
        return _text(block)
    kind = block.get("type")
    if kind == "text":
        return _text(str(block.get("text") or ""))
    if kind in ("image_url", "image"):
        return _image(place, block)
    if kind in ("audio", "input_audio"):
        return _audio(place, block)
    if kind in ("file", "document", "text-plain"):
        return _file(place, block)
    raise OptionError(place, kind, "text, an image, audio, a PDF or a text file")


def _text(text: str) -> JSON:
    return {"type": "text", "text": text}


def _image(place: str, block: Block) -> JSON:
    given = block.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    if url is None:
        url = _url(place, block, "image/png")
    return {"type": "image_url", "image_url": {"url": url}}


def _audio(place: str, block: Block) -> JSON:
    if "input_audio" in block:
        return {"type": "input_audio", "input_audio": dict(block["input_audio"])}
    source = _source(block)
    if source.get("data") is None:
        raise OptionError(place, "audio", "base64 data of the sound")
    kind = str(source.get("mime_type") or "audio/wav").rpartition("/")[2]
    kind = {"x-wav": "wav", "wave": "wav", "mpeg": "mp3"}.get(kind, kind)
    return {"type": "input_audio", "input_audio": {"data": source["data"], "format": kind}}


def _file(place: str, block: Block) -> JSON:
    source = _source(block)
    mime_type = str(source.get("mime_type") or "")
    if mime_type.startswith("image/"):
        return _image(place, block)
    if mime_type.startswith("audio/"):
        return _audio(place, block)
    return _text(document_text(place, source))


def _url(place: str, block: Block, mime_type: str) -> str:
    """Where a picture is: an address, or its data as one."""
    source = _source(block)
    if source.get("data") is not None:
        return f"data:{source.get('mime_type') or mime_type};base64,{source['data']}"
    if source.get("url"):
        return str(source["url"])
    raise OptionError(place, block.get("type"), "base64 data or a url")


def _source(block: Block) -> JSON:
    """What a block of any of the three dialects points to: data, url, text, mime_type, name."""
    inner = block.get("source") or block.get("file") or {}
    inner = inner if isinstance(inner, Mapping) else {}
    found = {**block, **inner}
    data = found.get("base64") or found.get("data") or found.get("file_data")
    mime_type = found.get("mime_type") or found.get("media_type")
    url = found.get("url")
    if isinstance(data, str) and data.startswith("data:"):
        url, data = data, None
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        mime_type, url = head.partition(";")[0] or mime_type, None
    text = found.get("text") if found.get("text") is not None else None
    if inner.get("type") == "text":
        text, data = data, None
    extras = block.get("extras") or block.get("metadata") or {}
    name = found.get("filename") or found.get("title") or extras.get("filename")
    return {"data": data, "url": url, "text": text, "mime_type": mime_type, "name": name}
