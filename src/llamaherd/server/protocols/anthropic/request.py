"""Bodies of ``/v1/messages`` -> calls in OpenAI's shape. Pure.

Fields and blocks: Anthropic's Messages API reference, and the types of its Python client.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from llamaherd.errors import OptionError
from llamaherd.params import SamplingParams
from llamaherd.server.calls import ChatCall
from llamaherd.server.protocols.conversation import Conversation, image_part, text_part
from llamaherd.server.protocols.effort import effort_hints
from llamaherd.server.protocols.fields import Fields
from llamaherd.server.protocols.shapes import (
    JSON,
    as_count,
    as_flag,
    as_list,
    as_object,
    as_text,
    kind_of,
    objects,
)

_BILLING = re.compile(r"\s*x-anthropic-billing-header:[^\n]*\s*")
"""What Claude Code writes at the very beginning of its system prompt, with a number that changes
from request to request: left in, nothing behind it would ever be found in the prefix cache."""

FIELDS = Fields(
    # top_k, top_p and temperature are Anthropic's, too; the rest is an extension
    known=[name for name in SamplingParams.names() if name not in ("n", "stop")],
    harmless=(
        "metadata", "service_tier", "inference_geo", "cache_control", "context_management",
        "speed", "diagnostics", "user_profile_id", "workspace_id",
    ),
    refused={
        "container": ((), "nothing: the server runs no containers"),
        "mcp_servers": (([],), "nothing: connect to MCP servers in the client"),
    },
    own=(
        "model", "messages", "stream", "max_tokens", "system", "stop_sequences", "thinking",
        "tool_choice", "tools", "output_config", "output_format",
    ),
)  # fmt: skip


def chat_call(body: JSON) -> ChatCall:
    """A body of ``/v1/messages``.

    Raises:
        OptionError: names the field.
    """
    call = counted_call(body)
    call.options["max_tokens"] = as_count("max_tokens", body.get("max_tokens"), 1)
    call.options["stream_options"] = {"include_usage": True}
    return call


def counted_call(body: JSON) -> ChatCall:
    """A body of ``/v1/messages/count_tokens``, which says nothing of the answer's length.

    Raises:
        OptionError: names the field.
    """
    options, ignored = FIELDS.sort(body)
    model = as_text("model", body.get("model"))
    words = as_list("stop_sequences", body.get("stop_sequences") or [])
    stops = [as_text(f"stop_sequences[{i}]", each) for i, each in enumerate(words)]
    if stops:
        options["stop"] = stops
    tools, skipped = _tools(body.get("tools") or [])
    if tools:
        options["tools"] = tools
    options |= _choice(body.get("tool_choice"))
    hints = _thinking(body.get("thinking"))
    output = as_object("output_config", body.get("output_config") or {})
    if output.get("effort") is not None:
        wanted = effort_hints("output_config.effort", output["effort"])
        hints |= {"reasoning_effort": wanted["reasoning_effort"]} if len(wanted) > 1 else {}
    form = output.get("format") or body.get("output_format")
    if form is not None:
        options["response_format"] = _format(form)
    return ChatCall(model, _messages(body), options, [*ignored, *skipped], hints)


def _format(form: Any) -> JSON:
    found = as_object("output_config.format", form)
    if kind_of("output_config.format", found) != "json_schema":
        raise OptionError("output_config.format.type", found["type"], "'json_schema'")
    schema = as_object("output_config.format.schema", found.get("schema"))
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _thinking(given: Any) -> JSON:
    """Hints: there are models that cannot think, and others that cannot help it."""
    if given is None:
        return {"enable_thinking": False}
    thinking = as_object("thinking", given)
    kind = kind_of("thinking", thinking)
    if kind == "enabled":
        budget = as_count("thinking.budget_tokens", thinking.get("budget_tokens"))
        return {"enable_thinking": True, "reasoning_budget_tokens": budget}
    if kind == "disabled":
        return {"enable_thinking": False}
    if kind not in ("adaptive", "between_tools"):
        expected = "'enabled', 'disabled', 'adaptive' or 'between_tools'"
        raise OptionError("thinking.type", kind, expected)
    return {}  # the model decides


# -- tools ------------------------------------------------------------------------------------


def _tools(given: Any) -> tuple[list[JSON], list[str]]:
    """The functions among the tools, and the names of the others: those run at Anthropic's, or
    their schemas are known only to models that learned them."""
    tools, skipped = [], []
    for place, tool in objects("tools", given):
        if tool.get("type") not in (None, "custom"):
            skipped.append(f"{place} {kind_of(place, tool)}")
            continue
        function = {
            "name": as_text(f"{place}.name", tool.get("name")),
            "description": as_text(f"{place}.description", tool.get("description") or ""),
            "parameters": as_object(f"{place}.input_schema", tool.get("input_schema")),
        }
        tools.append({"type": "function", "function": function})
    return tools, skipped


def _choice(given: Any) -> JSON:
    if given is None:
        return {}
    choice = as_object("tool_choice", given)
    kind = kind_of("tool_choice", choice)
    alone = as_flag(
        "tool_choice.disable_parallel_tool_use", choice.get("disable_parallel_tool_use")
    )
    found: JSON = {"parallel_tool_calls": False} if alone else {}
    if kind == "tool":
        name = as_text("tool_choice.name", choice.get("name"))
        return {**found, "tool_choice": {"type": "function", "function": {"name": name}}}
    if kind not in ("auto", "any", "none"):
        raise OptionError("tool_choice.type", kind, "'auto', 'any', 'tool' or 'none'")
    return {**found, "tool_choice": "required" if kind == "any" else kind}


# -- messages ---------------------------------------------------------------------------------


def _messages(body: JSON) -> list[JSON]:
    conversation = Conversation()
    system = list(_system("system", body.get("system") or []))
    if system:
        conversation.say("system", system)
    given = list(objects("messages", body.get("messages")))
    if not given:
        raise OptionError("messages", [], "at least one message")
    for place, message in given:
        role = as_text(f"{place}.role", message.get("role"))
        content, at = message.get("content"), f"{place}.content"
        if role == "system":
            conversation.say("system", _system(at, content))
        elif role == "assistant":
            _assistant(conversation, at, content)
        elif role == "user":
            _user(conversation, at, content)
        else:
            raise OptionError(f"{place}.role", role, "'user', 'assistant' or 'system'")
    return conversation.messages


def _blocks(place: str, content: Any) -> Iterator[tuple[str, JSON]]:
    """A turn's blocks; a string is one of text."""
    given = [text_part(content)] if isinstance(content, str) else content
    yield from objects(place, given)


def _text(place: str, block: JSON) -> str:
    return as_text(f"{place}.text", block.get("text"))


def _system(place: str, content: Any) -> Iterator[JSON]:
    for at, block in _blocks(place, content):
        if kind_of(at, block) != "text":
            raise OptionError(f"{at}.type", block["type"], "'text'")
        if text := _BILLING.sub("", _text(at, block), count=1):
            yield text_part(text)


def _user(conversation: Conversation, place: str, content: Any) -> None:
    said: list[JSON] = []
    for at, block in _blocks(place, content):
        if kind_of(at, block) == "tool_result":
            call_id = as_text(f"{at}.tool_use_id", block.get("tool_use_id"))
            conversation.result(call_id, _result(at, block))
        else:
            said += _parts(at, block)
    if said or not content:
        conversation.say("user", said or [text_part("")])


def _result(place: str, block: JSON) -> list[JSON]:
    parts = [
        part
        for at, each in _blocks(f"{place}.content", block.get("content") or [])
        for part in _parts(at, each)
    ]
    failed = as_flag(f"{place}.is_error", block.get("is_error"))
    return [text_part("The tool failed:"), *parts] if failed else parts


def _assistant(conversation: Conversation, place: str, content: Any) -> None:
    for at, block in _blocks(place, content):
        kind = kind_of(at, block)
        if kind == "text":
            conversation.answer(_text(at, block))
        elif kind == "thinking":
            conversation.think(as_text(f"{at}.thinking", block.get("thinking")))
        elif kind == "tool_use":
            call_id = as_text(f"{at}.id", block.get("id"))
            name = as_text(f"{at}.name", block.get("name"))
            conversation.call(call_id, name, as_object(f"{at}.input", block.get("input")))
        elif kind != "redacted_thinking":  # nobody but Anthropic can read those
            raise OptionError(f"{at}.type", kind, "'text', 'thinking' or 'tool_use'")


def _parts(place: str, block: JSON) -> list[JSON]:
    """What a user or a tool shows, as OpenAI's parts."""
    kind = kind_of(place, block)
    if kind == "text":
        return [text_part(_text(place, block))]
    if kind == "image":
        return [_image(f"{place}.source", block.get("source"))]
    if kind == "document":
        return _document(place, block)
    if kind == "search_result":
        heading = f"{block.get('title', '')} ({block.get('source', '')})"
        texts = _blocks(f"{place}.content", block.get("content"))
        return [text_part(heading), *(part for at, each in texts for part in _parts(at, each))]
    if kind == "tool_reference":
        return [text_part(as_text(f"{place}.tool_name", block.get("tool_name")))]
    raise OptionError(f"{place}.type", kind, "'text', 'image', 'document' or 'search_result'")


def _image(place: str, given: Any) -> JSON:
    source = as_object(place, given)
    kind = kind_of(place, source)
    if kind == "base64":
        media_type = as_text(f"{place}.media_type", source.get("media_type"))
        data = as_text(f"{place}.data", source.get("data"))
        return image_part(f"data:{media_type};base64,{data}")
    if kind == "url":
        return image_part(as_text(f"{place}.url", source.get("url")))
    raise OptionError(f"{place}.type", kind, "'base64' or 'url': the server keeps no files")


def _document(place: str, block: JSON) -> list[JSON]:
    source = as_object(f"{place}.source", block.get("source"))
    kind = kind_of(f"{place}.source", source)
    headings = [block.get("title"), block.get("context")]
    parts = [text_part(as_text(place, each)) for each in headings if each]
    if kind == "text":
        return [*parts, text_part(as_text(f"{place}.source.data", source.get("data")))]
    if kind == "content":
        texts = _blocks(f"{place}.source.content", source.get("content"))
        return [*parts, *(part for at, each in texts for part in _parts(at, each))]
    expected = "'text' or 'content': send the text of a PDF"
    raise OptionError(f"{place}.source.type", kind, expected)
