"""LlamaIndex's messages -> OpenAI's, as ``Llama`` reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llamaherd.errors import UnsupportedError
from llamaherd.llama_index.documents import document_text
from llamaherd.responses import JSON

_ROLES = {
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
}
_ASIDE = (ThinkingBlock, ToolCallBlock, CachePoint)
"""Blocks that are no content; what a cache point asks for happens to every prompt."""


def openai_messages(messages: Iterable[ChatMessage]) -> list[JSON]:
    """New dictionaries; the messages stay as they are.

    Raises:
        UnsupportedError: names a block that cannot be passed on.
    """
    return [_message(message) for message in messages]


def _message(message: ChatMessage) -> JSON:
    role = _ROLES.get(message.role, message.role.value)
    found: JSON = {"role": role, "content": _content(message)}
    thoughts = [b.content for b in message.blocks if isinstance(b, ThinkingBlock) and b.content]
    if thoughts:
        found["reasoning_content"] = "\n".join(thoughts)
    if calls := _tool_calls(message):
        found["tool_calls"] = calls
    for key in ("tool_call_id", "name"):
        if message.additional_kwargs.get(key) is not None:
            found[key] = message.additional_kwargs[key]
    return found


def _content(message: ChatMessage) -> str | list[JSON] | None:
    blocks = [block for block in message.blocks if not isinstance(block, _ASIDE)]
    parts = [part for block in blocks for part in _parts(block)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts) if parts else None
    return parts


def _parts(block: Any) -> list[JSON]:
    """A block as parts of OpenAI's content."""
    for kind, convert in _CONVERTERS.items():
        if isinstance(block, kind):
            return convert(block)
    raise UnsupportedError(
        f"a message has a block of type {getattr(block, 'block_type', block)!r}: expected text, "
        "images, audio, documents, thoughts, tool calls or citations"
    )


def _text_part(text: str) -> JSON:
    return {"type": "text", "text": text}


def _image(block: ImageBlock) -> list[JSON]:
    image: JSON = {"url": _remote(block) or block.inline_url()}
    if block.detail is not None:
        image["detail"] = block.detail
    return [{"type": "image_url", "image_url": image}]


def _audio(block: AudioBlock) -> list[JSON]:
    if url := _remote(block):
        raise UnsupportedError(f"audio by address ({url}): pass its bytes, or a path")
    data = block.resolve_audio(as_base64=True).read().decode()
    return [{"type": "input_audio", "input_audio": {"data": data, "format": block.format or "wav"}}]


def _remote(block: ImageBlock | AudioBlock) -> str | None:
    """An address: whether to fetch it is for ``Llama`` to decide, not for this package."""
    return None if block.url is None or str(block.url).startswith("data:") else str(block.url)


def _document(block: DocumentBlock) -> list[JSON]:
    return [_text_part(document_text(block))]


def _citable(block: CitableBlock) -> list[JSON]:
    heading = _text_part(f"{block.title} ({block.source}):")
    return [heading, *(part for inner in block.content for part in _parts(inner))]


def _citation(block: CitationBlock) -> list[JSON]:
    return _parts(block.cited_content)


_CONVERTERS: dict[type, Callable[[Any], list[JSON]]] = {
    TextBlock: lambda block: [_text_part(block.text)],
    ImageBlock: _image,
    AudioBlock: _audio,
    DocumentBlock: _document,
    CitableBlock: _citable,
    CitationBlock: _citation,
}


def _tool_calls(message: ChatMessage) -> list[JSON]:
    """Of its blocks, or of ``additional_kwargs`` where another class left only those."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [_call(b.tool_call_id, b.tool_name, b.tool_kwargs) for b in blocks]
    return [_as_mapping(each) for each in message.additional_kwargs.get("tool_calls") or ()]


def _call(call_id: str | None, name: str, arguments: Mapping[str, Any] | str) -> JSON:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": name, "arguments": written}
    return {"id": call_id or name, "type": "function", "function": function}


def _as_mapping(call: Any) -> JSON:
    """Some classes keep the objects of OpenAI's package."""
    return dict(call) if isinstance(call, Mapping) else dict(call.model_dump())


def tool_definitions(tools: Sequence[Any]) -> list[JSON]:
    """OpenAI's definitions of LlamaIndex's tools."""
    return [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
