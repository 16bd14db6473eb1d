"""Bodies of ``/v1/responses`` -> calls in OpenAI's chat shape. Pure.

Fields and items: OpenAI's API reference, and the types of its Python client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llamaherd.errors import OptionError
from llamaherd.params import SamplingParams
from llamaherd.server.calls import ChatCall
from llamaherd.server.protocols.conversation import Conversation, image_part, text_part
from llamaherd.server.protocols.effort import effort_hints
from llamaherd.server.protocols.fields import Fields
from llamaherd.server.protocols.openai import model_name, required
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

LOGPROBS = "message.output_text.logprobs"

FIELDS = Fields(
    # temperature and top_p are OpenAI's, too; the rest is an extension
    known=[name for name in SamplingParams.names() if name != "n"],
    harmless=(
        "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        "prompt_cache_options", "service_tier", "stream_options", "max_tool_calls",
        "context_management", "client_metadata",
    ),
    refused={
        "background": ((False,), "false: a request stays open until its answer is there"),
        "conversation": ((), "nothing: send the whole input, or previous_response_id"),
        "prompt": ((), "nothing: the server keeps no prompt templates; send instructions"),
        "moderation": ((), "nothing: answers are not moderated"),
    },
    own=(
        "model", "input", "instructions", "stream", "store", "previous_response_id", "include",
        "max_output_tokens", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools",
        "top_logprobs", "truncation",
    ),
)  # fmt: skip

_ITEMS_OF_OTHERS = (
    "file_search_call", "web_search_call", "computer_call", "computer_call_output",
    "code_interpreter_call", "image_generation_call", "tool_search_call", "tool_search_output",
    "additional_tools", "mcp_list_tools", "mcp_call", "mcp_approval_request",
    "mcp_approval_response", "local_shell_call", "local_shell_call_output", "shell_call",
    "shell_call_output", "apply_patch_call", "apply_patch_call_output", "custom_tool_call",
    "custom_tool_call_output", "program", "program_output", "compaction", "compaction_trigger",
)  # fmt: skip
"""What tools left in a conversation that only OpenAI's models have."""


def chat_call(body: JSON, earlier: Iterable[JSON] = ()) -> ChatCall:
    """A body of ``/v1/responses``.

    Args:
        earlier: the items before this input, of ``previous_response_id``.

    Raises:
        OptionError: names the field.
    """
    options, ignored = FIELDS.sort(body)
    messages, skipped_items = _messages(body, earlier)
    tools, skipped_tools = _tools(body.get("tools") or [])
    options |= _choice(body.get("tool_choice"), tools)
    form, hints, unread = _text_config(body.get("text") or {}), _hints(body.get("reasoning")), []
    if body.get("parallel_tool_calls") is not None:
        parallel = as_flag("parallel_tool_calls", body["parallel_tool_calls"])
        options["parallel_tool_calls"] = parallel
    if body.get("max_output_tokens") is not None:
        options["max_tokens"] = as_count("max_output_tokens", body["max_output_tokens"], 1)
    if (body.get("text") or {}).get("verbosity") not in (None, "medium"):
        unread.append("text.verbosity")
    if body.get("truncation") not in (None, "auto", "disabled"):
        raise OptionError("truncation", body["truncation"], "'auto' or 'disabled'")
    options |= form | _logprobs(body)
    options["stream_options"] = {"include_usage": True}
    options["continue_final_message"] = False  # an item at the end is complete
    ignored += [*unread, *skipped_tools, *skipped_items]
    return ChatCall(model_name(body), messages, options, ignored, hints)


def input_items(body: JSON) -> list[JSON]:
    """The input as items, a text as the user's message.

    Raises:
        OptionError: it is missing or malformed.
    """
    given = required(body, "input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    found = [item for _, item in objects("input", given)]
    if not found:
        raise OptionError("input", given, "a text, or at least one item")
    return found


def _logprobs(body: JSON) -> JSON:
    wanted = [as_text("include", each) for each in as_list("include", body.get("include") or [])]
    most = body.get("top_logprobs")
    if most is None and LOGPROBS not in wanted:
        return {}
    return {"logprobs": True, "top_logprobs": as_count("top_logprobs", most or 0)}


def _hints(given: Any) -> JSON:
    reasoning = as_object("reasoning", given or {})
    effort = reasoning.get("effort")
    return {} if effort is None else effort_hints("reasoning.effort", effort)


def _text_config(given: Any) -> JSON:
    form = as_object("text", given).get("format")
    if form is None:
        return {}
    kind = kind_of("text.format", as_object("text.format", form))
    if kind in ("text", "json_object"):
        return {"response_format": {"type": kind}}
    if kind != "json_schema":
        raise OptionError("text.format.type", kind, "'text', 'json_object' or 'json_schema'")
    schema = as_object("text.format.schema", form.get("schema"))
    wrapped = {"name": form.get("name"), "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": wrapped}}


# -- tools ------------------------------------------------------------------------------------


def _tools(given: Any) -> tuple[list[JSON], list[str]]:
    """The functions among the tools, and the names of the others: OpenAI would run them, or only
    its own models know how they are called."""
    tools, skipped = [], []
    for place, tool in objects("tools", given):
        if kind_of(place, tool) != "function":
            skipped.append(f"{place} {tool['type']}")
            continue
        function = {
            "name": as_text(f"{place}.name", tool.get("name")),
            "description": as_text(f"{place}.description", tool.get("description") or ""),
            "parameters": tool.get("parameters"),
        }
        tools.append({"type": "function", "function": function})
    return tools, skipped


def _choice(given: Any, tools: list[JSON]) -> JSON:
    """The options for tools and their choice."""
    if isinstance(given, dict):
        kind = kind_of("tool_choice", given)
        if kind == "allowed_tools":
            return _allowed(given, tools)
        if kind != "function":
            raise OptionError("tool_choice.type", kind, "'function' or 'allowed_tools'")
        given = as_text("tool_choice.name", given.get("name"))
        given = {"type": "function", "function": {"name": given}}
    elif given not in (None, "auto", "none", "required"):
        raise OptionError("tool_choice", given, "'auto', 'none', 'required' or an object")
    found: JSON = {} if given is None else {"tool_choice": given}
    return {**found, "tools": tools} if tools else found


def _allowed(choice: JSON, tools: list[JSON]) -> JSON:
    mode = choice.get("mode")
    if mode not in ("auto", "required"):
        raise OptionError("tool_choice.mode", mode, "'auto' or 'required'")
    names = [tool.get("name") for _, tool in objects("tool_choice.tools", choice.get("tools"))]
    allowed = [tool for tool in tools if tool["function"]["name"] in names]
    return {"tool_choice": mode, "tools": allowed}


# -- items ------------------------------------------------------------------------------------


def _messages(body: JSON, earlier: Iterable[JSON]) -> tuple[list[JSON], list[str]]:
    """The conversation, and the items that have no place in one."""
    conversation = Conversation()
    if body.get("instructions") is not None:
        text = as_text("instructions", body["instructions"])
        conversation.say("system", [text_part(text)])
    for index, item in enumerate(earlier):
        _add(conversation, f"previous_response_id[{index}]", item)
    new = ((f"input[{index}]", item) for index, item in enumerate(input_items(body)))
    skipped = [f"{at} {item['type']}" for at, item in new if not _add(conversation, at, item)]
    return conversation.messages, skipped


def _add(conversation: Conversation, place: str, item: JSON) -> bool:
    """Whether an item has a place in a conversation, which then holds it."""
    kind = kind_of(place, item, "message")
    if kind == "message":
        _message(conversation, place, item)
    elif kind == "reasoning":
        name = "content" if item.get("content") else "summary"
        texts = _parts(f"{place}.{name}", item.get(name) or [])
        if thoughts := "\n\n".join(part.get("text", "") for part in texts):
            conversation.think(thoughts)
    elif kind == "function_call":
        call_id = as_text(f"{place}.call_id", item.get("call_id"))
        name = as_text(f"{place}.name", item.get("name"))
        conversation.call(call_id, name, as_text(f"{place}.arguments", item.get("arguments")))
    elif kind == "function_call_output":
        call_id = as_text(f"{place}.call_id", item.get("call_id"))
        conversation.result(call_id, _parts(f"{place}.output", item.get("output")))
    elif kind in _ITEMS_OF_OTHERS:
        return False
    else:
        expected = "'message', 'reasoning', 'function_call' or 'function_call_output'"
        raise OptionError(f"{place}.type", kind, expected)
    return True


def _message(conversation: Conversation, place: str, item: JSON) -> None:
    role = as_text(f"{place}.role", item.get("role"))
    parts = list(_parts(f"{place}.content", item.get("content")))
    if role == "assistant":
        for part in parts:
            conversation.answer(as_text(f"{place}.content", part.get("text")))
    elif role in ("user", "system", "developer"):
        conversation.say("user" if role == "user" else "system", parts)
    else:
        expected = "'user', 'assistant', 'system' or 'developer'"
        raise OptionError(f"{place}.role", role, expected)


_TEXTS = ("input_text", "output_text", "text", "reasoning_text", "summary_text", "refusal")


def _parts(place: str, content: Any) -> Iterator[JSON]:
    if isinstance(content, str):
        yield text_part(content)
        return
    for at, part in objects(place, content):
        kind = kind_of(at, part)
        if kind in _TEXTS:
            name = "refusal" if kind == "refusal" else "text"
            yield text_part(as_text(f"{at}.{name}", part.get(name)))
        elif kind == "input_image":
            yield image_part(as_text(f"{at}.image_url", part.get("image_url")))
        elif kind == "input_audio":
            audio = as_object(f"{at}.input_audio", part.get("input_audio"))
            yield {"type": "input_audio", "input_audio": audio}
        else:
            expected = "'input_text', 'input_image' or 'input_audio'"
            raise OptionError(f"{at}.type", kind, expected)
