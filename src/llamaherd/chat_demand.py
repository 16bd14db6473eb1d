"""What a chat request demands of the answer, beside its sampling: tools, a schema, thoughts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llamaherd.chat import normalised
from llamaherd.errors import OptionError
from llamaherd.params import ChatParams, SamplingParams

Tool = dict[str, Any]


@dataclass(frozen=True)
class ChatDemand:
    """Checked and put into one shape.

    Attributes:
        tools: definitions that the template lists.
        callable_tools: those of them that may be called; one alone is a named choice.
        required: whether one must be called.
        schema: of the answer's text; None for any text.
    """

    tools: list[Tool]
    callable_tools: list[Tool]
    required: bool
    schema: Mapping[str, Any] | None

    @property
    def needs_grammar(self) -> bool:
        """Whether not every text will do."""
        return bool(self.callable_tools) or self.schema is not None


def chat_demand(own: ChatParams, sampling: SamplingParams) -> ChatDemand:
    """What a call asked for.

    Raises:
        OptionError: names the option that is malformed or does not go with another.
    """
    tools = normalised(own.tools or [])
    schema = _schema(own.response_format)
    if schema is not None and sampling.json_schema is not None:
        raise OptionError("response_format", own.response_format, "none beside json_schema")
    if sampling.grammar is not None and (tools or schema is not None):
        raise OptionError("grammar", sampling.grammar, "none beside tools or response_format")
    chosen, required = _choice(own.tool_choice, tools)
    listed = [] if own.tool_choice == "none" else tools
    return ChatDemand(listed, chosen, required, sampling.json_schema if schema is None else schema)


def _choice(choice: Any, tools: list[Tool]) -> tuple[list[Tool], bool]:
    """The tools that may be called, and whether one must be."""
    if choice in (None, "auto"):
        return tools, False
    if choice == "none":
        return [], False
    if not tools:
        raise OptionError("tool_choice", choice, "'auto' or 'none' where there are no tools")
    if choice in ("required", "any"):
        return tools, True
    name = _chosen_name(choice)
    named = [tool for tool in tools if tool["function"]["name"] == name]
    if not named:
        known = [tool["function"]["name"] for tool in tools]
        raise OptionError("tool_choice", choice, f"'auto', 'none', 'required' or one of {known}")
    return named, True


def _chosen_name(choice: Any) -> Any:
    if isinstance(choice, Mapping):
        function = choice.get("function", choice)
        return function.get("name") if isinstance(function, Mapping) else None
    return choice


def _schema(response_format: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if response_format is None or response_format.get("type") == "text":
        return None
    kind = response_format.get("type")
    if kind == "json_object":  # llama-server takes a schema here as well
        schema = response_format.get("schema") or {"type": "object"}
    elif kind == "json_schema":
        wrapper = response_format.get("json_schema")
        schema = wrapper.get("schema") if isinstance(wrapper, Mapping) else None
    else:
        expected = "type 'text', 'json_object' or 'json_schema'"
        raise OptionError("response_format", response_format, expected)
    if not isinstance(schema, Mapping):
        expected = '{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}'
        raise OptionError("response_format", response_format, expected)
    return schema
