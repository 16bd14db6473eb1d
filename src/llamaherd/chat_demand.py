"""What a chat request demands of the answer, beside its sampling: tools, a schema, thoughts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llamaherd.chat import (
    ChoiceFormat,
    GrammarFormat,
    JsonFormat,
    RegexFormat,
    TextFormat,
    closed_throughout,
    normalised,
)
from llamaherd.errors import OptionError
from llamaherd.params import ChatParams, SamplingParams
from llamaherd.structured import Structured

Tool = dict[str, Any]


@dataclass(frozen=True)
class ChatDemand:
    """Checked and put into one shape.

    Attributes:
        tools: definitions that the template lists.
        callable_tools: those of them that may be called; one alone is a named choice.
        required: whether one must be called.
        text: what the answer's text must be; None for anything.
    """

    tools: list[Tool]
    callable_tools: list[Tool]
    required: bool
    text: TextFormat | None

    @property
    def needs_grammar(self) -> bool:
        """Whether not every text will do."""
        return bool(self.callable_tools) or self.text is not None


def chat_demand(own: ChatParams, sampling: SamplingParams) -> ChatDemand:
    """What a call asked for.

    Raises:
        OptionError: names the option that is malformed or does not go with another.
    """
    tools = normalised(own.tools or [])
    text = _text_format(own, sampling)
    if sampling.grammar is not None and (tools or text is not None):
        raise OptionError("grammar", sampling.grammar, "none beside tools or response_format")
    chosen, required = _choice(own.tool_choice, tools)
    listed = [] if own.tool_choice == "none" else tools
    return ChatDemand(listed, chosen, required, text)


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


def _text_format(own: ChatParams, sampling: SamplingParams) -> TextFormat | None:
    """What the answer's text must be."""
    given = own.response_format
    if isinstance(given, type):
        form: TextFormat | None = JsonFormat(Structured(given).schema)
    else:
        form = _from_dictionary(given)
    if form is None:
        return None if sampling.json_schema is None else JsonFormat(sampling.json_schema)
    if sampling.json_schema is not None:
        raise OptionError("response_format", given, "none beside json_schema")
    return form


def _from_dictionary(given: Mapping[str, Any] | None) -> TextFormat | None:
    kind = None if given is None else given.get("type")
    if given is None or kind == "text":
        return None
    if not isinstance(kind, str) or kind not in _FORMATS:
        known = ", ".join(map(repr, ["text", *_FORMATS]))
        expected = f"a Pydantic model, a TypedDict, or a dictionary of a type among {known}"
        raise OptionError("response_format", given, expected)
    return _FORMATS[kind](given)


def _json_object(given: Mapping[str, Any]) -> TextFormat:
    """Any object; llama-server takes a schema here as well."""
    return JsonFormat(_mapping(given, given.get("schema") or {"type": "object"}))


def _json_schema(given: Mapping[str, Any]) -> TextFormat:
    """OpenAI's wrapper, or llama-server's schema beside the type."""
    wrapper = given.get("json_schema", given)
    wrapper = wrapper if isinstance(wrapper, Mapping) else {}
    schema, strict = _mapping(given, wrapper.get("schema")), wrapper.get("strict")
    if strict not in (None, True, False):
        raise OptionError("response_format.json_schema.strict", strict, "a boolean")
    return JsonFormat(closed_throughout(schema) if strict else schema)


def _mapping(given: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        expected = '{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}'
        raise OptionError("response_format", given, expected)
    return schema


def _regex(given: Mapping[str, Any]) -> TextFormat:
    return RegexFormat(_string(given, "regex"))


def _grammar(given: Mapping[str, Any]) -> TextFormat:
    return GrammarFormat(_string(given, "grammar"))


def _string(given: Mapping[str, Any], key: str) -> str:
    text = given.get(key)
    if not isinstance(text, str) or not text:
        raise OptionError("response_format", given, f'{{"type": "{key}", "{key}": "..."}}')
    return text


def _choice_of_texts(given: Mapping[str, Any]) -> TextFormat:
    texts = given.get("choice")
    if not isinstance(texts, (list, tuple)) or not texts:
        texts = [None]
    if not all(isinstance(text, str) and text for text in texts):
        raise OptionError("response_format", given, '{"type": "choice", "choice": ["...", "..."]}')
    return ChoiceFormat(texts)


_FORMATS: Mapping[str, Callable[[Mapping[str, Any]], TextFormat]] = {
    "json_object": _json_object,
    "json_schema": _json_schema,
    "regex": _regex,
    "choice": _choice_of_texts,
    "grammar": _grammar,
}
