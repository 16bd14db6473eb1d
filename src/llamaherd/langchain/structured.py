"""Tools and schemas: LangChain's ways to name them, as options of ``create_chat_completion``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from llamaherd.errors import OptionError

JSON = dict[str, Any]

METHODS = ("function_calling", "json_schema", "json_mode")


def tool_options(tools: Sequence[Any], choice: Any, strict: bool | None) -> JSON:
    """``tools`` and ``tool_choice``.

    Raises:
        OptionError: the choice names no tool.
    """
    found: JSON = {"tools": [convert_to_openai_tool(tool, strict=strict) for tool in tools]}
    names = [tool["function"]["name"] for tool in found["tools"]]
    if choice not in (None, False):
        found["tool_choice"] = _choice(choice, names)
    return found


def _choice(choice: Any, names: list[str]) -> Any:
    if choice is True:
        return "required"
    if isinstance(choice, Mapping):  # OpenAI's or Anthropic's
        function = choice.get("function")
        choice = (function or choice).get("name") or choice.get("type")
    if choice in names:
        return {"type": "function", "function": {"name": choice}}
    if choice == "any":
        return "required"
    if choice not in ("auto", "none", "required"):
        raise OptionError("tool_choice", choice, f"'auto', 'none', 'any' or one of {names}")
    return choice


def response_format(given: Any, strict: bool | None) -> JSON:
    """A schema in OpenAI's dictionary; such a dictionary stays as it is."""
    if isinstance(given, Mapping) and given.get("type") in ("text", "json_object", "json_schema"):
        return dict(given)
    schema = convert_to_json_schema(given)
    wrapped: JSON = {"name": schema.get("title", "answer"), "schema": schema}
    if strict is not None:
        wrapped["strict"] = strict
    return {"type": "json_schema", "json_schema": wrapped}


@dataclass(frozen=True)
class Form:
    """What answers shall be, and by which method.

    Raises:
        OptionError: a method that does not exist, or one that needs a schema without one.
    """

    schema: Any
    method: str
    strict: bool | None
    tools: Sequence[Any] | None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionError("method", self.method, f"one of {list(METHODS)}")
        if self.schema is None and self.method != "json_mode":
            raise OptionError("schema", None, "a schema, or method='json_mode'")
        if self.tools and self.method != "json_schema":
            raise OptionError("tools", "...", "method='json_schema' beside it")

    def options(self) -> JSON:
        """For ``bind``; among them what LangChain's traces show."""
        if self.method == "function_calling":
            found = tool_options([self.schema], self._name(), self.strict)
            found["parallel_tool_calls"] = False
        elif self.method == "json_schema":
            found = {"response_format": response_format(self.schema, self.strict)}
            if self.tools:
                found |= tool_options(self.tools, None, self.strict)
        else:
            found = {"response_format": {"type": "json_object"}}
        said = {"method": self.method, "strict": self.strict}
        kwargs = {name: value for name, value in said.items() if value is not None}
        if self.schema is not None:
            found["ls_structured_output_format"] = {"kwargs": kwargs, "schema": self.schema}
        return found

    def parser(self) -> Runnable[Any, Any]:
        """Makes of an answer what the caller asked for."""
        is_class = isinstance(self.schema, type) and is_basemodel_subclass(self.schema)
        if self.method == "function_calling":
            if is_class:
                return PydanticToolsParser(tools=[self.schema], first_tool_only=True)
            return JsonOutputKeyToolsParser(key_name=self._name(), first_tool_only=True)
        return PydanticOutputParser(pydantic_object=self.schema) if is_class else JsonOutputParser()

    def _name(self) -> str:
        return str(convert_to_openai_tool(self.schema)["function"]["name"])


def with_parser(
    llm: Runnable[Any, Any], parser: Runnable[Any, Any], *, include_raw: bool
) -> Runnable[Any, Any]:
    """The model and its parser in a row, or beside the raw answer."""
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(
        parsed=RunnableLambda(itemgetter("raw")) | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
