"""Messages as callers write them -> messages as templates expect them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from llamaherd.chat.syntax import AnswerSyntax, ToolSyntax
from llamaherd.errors import ChatTemplateError

Message = Mapping[str, Any]

_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")


def checked(messages: object) -> list[dict[str, Any]]:
    """Copies of messages whose shape a template may rely on; text parts become one string.

    Raises:
        ChatTemplateError: names the message and the field that is malformed.
    """
    if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence) or not messages:
        raise ChatTemplateError(f"messages is {messages!r}: expected a list of messages")
    return [_checked(f"messages[{i}]", message) for i, message in enumerate(messages)]


def _checked(place: str, message: object) -> dict[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise ChatTemplateError(f"{place} is {message!r}: expected an object with a role")
    found = {**message, "content": _text(f"{place}.content", message.get("content"))}
    for key in ("name", "tool_call_id", *_REASONING_KEYS):
        if not isinstance(found.get(key, ""), str):
            if found[key] is not None:
                raise ChatTemplateError(f"{place}.{key} is {found[key]!r}: expected a string")
            del found[key]
    calls = found.pop("tool_calls", None)
    if calls:
        found["tool_calls"] = _calls(f"{place}.tool_calls", calls)
    return found


def _text(place: str, content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, bytes) or not isinstance(content, Sequence):
        raise ChatTemplateError(f"{place} is {content!r}: expected a string")
    parts = [part for part in content if isinstance(part, Mapping)]
    texts = [part.get("text") for part in parts if part.get("type", "text") == "text"]
    if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
        raise ChatTemplateError(_odd_part(place, content))
    return "".join(texts)  # type: ignore[arg-type]


def _odd_part(place: str, content: Sequence[Any]) -> str:
    """Which part is not text."""
    for at, part in enumerate(content):
        kind = part.get("type", "text") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            what = f"of type {kind!r}" if kind != "text" else "without text"
            return f"{place}[{at}] is a part {what}, where only text can stand"
    raise AssertionError("every part is text")


def _calls(place: str, calls: object) -> list[dict[str, Any]]:
    if isinstance(calls, (str, bytes)) or not isinstance(calls, Sequence):
        raise ChatTemplateError(f"{place} is {calls!r}: expected a list of calls")
    return [_call(f"{place}[{i}]", call) for i, call in enumerate(calls)]


def _call(place: str, call: object) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ChatTemplateError(f"{place} is {call!r}: expected an object with a function's name")
    assert isinstance(call, Mapping)
    arguments = _arguments(f"{place}.function.arguments", function.get("arguments"))
    return {
        **call,
        "id": str(call.get("id") or "call_0"),
        "type": "function",
        "function": {**function, "arguments": arguments},
    }


def _arguments(place: str, arguments: object) -> dict[str, Any]:
    if arguments in (None, ""):
        return {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise ChatTemplateError(f"{place} is not JSON: {error}") from error
    if not isinstance(arguments, Mapping):
        raise ChatTemplateError(f"{place} is {arguments!r}: expected an object")
    return dict(arguments)


def adapted(
    messages: Sequence[dict[str, Any]], syntax: AnswerSyntax, source: str = "developer"
) -> list[dict[str, Any]]:
    """Checked messages with thoughts, calls and results in the fields that the template reads.

    Args:
        source: of the template; a developer is the system to one that knows no such role.
    """
    names = {
        call["id"]: call["function"]["name"]
        for message in messages
        for call in message.get("tool_calls", ())
    }
    found = [_adapted(message, syntax, names) for message in messages]
    if "developer" not in source:
        for message in found:
            message["role"] = "system" if message["role"] == "developer" else message["role"]
    return found


def _adapted(
    message: dict[str, Any], syntax: AnswerSyntax, names: Mapping[str, str]
) -> dict[str, Any]:
    tools = syntax.tools or ToolSyntax("")
    found = dict(message)
    thoughts = [found.pop(key) for key in _REASONING_KEYS if found.get(key)]
    if thoughts and syntax.reasoning_key:
        found[syntax.reasoning_key] = thoughts[0]
    if "tool_calls" in found:
        dropped = tools.exclusive or (tools.one_remark and thoughts)
        found["content"] = (None if dropped else found["content"]) or tools.content
        found["tool_calls"] = [_adapted_call(call, tools) for call in found["tool_calls"]]
    elif found["role"] == "assistant":
        found["content"] = found["content"] or ""
    if found["role"] == "tool" and "tool_call_id" in found:
        found.setdefault("name", names.get(found["tool_call_id"], "tool"))
        found["tool_call_id"] = _id(found["tool_call_id"], tools)
    return found


def _adapted_call(call: dict[str, Any], tools: ToolSyntax) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    written = json.dumps(arguments, ensure_ascii=False) if tools.as_text else arguments
    return {
        **call,
        "id": _id(call["id"], tools),
        "function": {**call["function"], "arguments": written},
    }


def _id(given: str, tools: ToolSyntax) -> str:
    """An id that the template accepts, the same for a call and its result."""
    if not tools.short_ids or (len(given) == 9 and given.isalnum()):
        return given
    return hashlib.sha256(given.encode()).hexdigest()[:9]


def with_tools_described(
    messages: Sequence[dict[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The messages with the tools' definitions in the system message, as JSON."""
    lines = [json.dumps(tool["function"], ensure_ascii=False) for tool in tools]
    text = "\n".join(["You can call these tools:", *lines])
    first, *rest = messages
    if first["role"] == "system":
        return [{**first, "content": f"{first['content'] or ''}\n\n{text}"}, *rest]
    return [{"role": "system", "content": text}, *messages]
