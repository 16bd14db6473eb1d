"""Tools as callers give them -> OpenAI tool definitions."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

from llamaherd.chat.schemas import Lenient, closed_throughout
from llamaherd.errors import OptionError

Definition = dict[str, Any]
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def normalised(tools: Sequence[object]) -> list[Definition]:
    """Definitions in OpenAI's shape.

    Args:
        tools: functions (name, signature and docstring tell the rest), Pydantic models (the class
            is the tool, its fields are the arguments), or OpenAI's dictionaries, with or without
            the ``{"type": "function", "function": ...}`` around them.

    Raises:
        OptionError: names the tool and the field that is wrong.
    """
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence):
        raise OptionError("tools", tools, "a list of functions, models or definitions")
    found = [_definition(f"tools[{i}]", tool) for i, tool in enumerate(tools)]
    names = [tool["function"]["name"] for tool in found]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise OptionError("tools", double, "tools of different names")
    return found


def _definition(place: str, tool: object) -> Definition:
    if isinstance(tool, Mapping):
        return _checked(place, tool)
    if isinstance(tool, type) and hasattr(tool, "model_json_schema"):
        schema = tool.model_json_schema()
        schema.pop("title", None)
        described = schema.pop("description", "") or inspect.cleandoc(tool.__doc__ or "")
        return _wrapped(place, tool.__name__, described, schema)
    if callable(tool):
        return _of_function(place, tool)
    raise OptionError(place, tool, "a function, a Pydantic model or a dictionary")


def _checked(place: str, tool: Mapping[str, Any]) -> Definition:
    function = tool.get("function", tool)
    if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise OptionError(f"{place}.type", tool.get("type"), "'function'")
    name, described = function.get("name"), function.get("description") or ""
    if not isinstance(described, str):
        raise OptionError(f"{place}.function.description", described, "a string")
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    found = _wrapped(place, name, described, parameters)
    strict = function.get("strict")
    if strict not in (None, True, False):
        raise OptionError(f"{place}.function.strict", strict, "a boolean")
    parameters = found["function"]["parameters"]
    if strict:
        found["function"]["parameters"] = closed_throughout(parameters)
    elif strict is False:
        found["function"]["parameters"] = Lenient(parameters)
    return found


def _wrapped(place: str, name: object, described: str, parameters: object) -> Definition:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise OptionError(f"{place}.function.name", name, "1 to 64 letters, digits, _, - or .")
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise OptionError(
            f"{place} ({name}).function.parameters", parameters, "a JSON schema of an object"
        )
    properties = parameters.get("properties", {})
    if not isinstance(properties, Mapping):
        raise OptionError(f"{place} ({name}).function.parameters.properties", properties, "schemas")
    schema = {"type": "object", **parameters}
    if "properties" not in schema:
        schema |= {
            "properties": {},
            "additionalProperties": schema.get("additionalProperties", True),
        }
    function = {"name": name, "description": described, "parameters": schema}
    return {"type": "function", "function": function}


# -- functions --------------------------------------------------------------------------------


def _of_function(place: str, function: Callable[..., Any]) -> Definition:
    name = getattr(function, "__name__", type(function).__name__)
    described, arguments = _docstring(inspect.getdoc(function) or "")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        signature = inspect.signature(function)
    except (TypeError, ValueError, NameError) as error:
        raise OptionError(
            f"{place} ({name})", function, f"a readable signature: {error}"
        ) from error
    _check_bound(f"{place} ({name})", function, signature)
    properties, required = {}, []
    for key, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise OptionError(f"{place} ({name}).{key}", str(parameter), "no * or ** parameters")
        schema = _schema(f"{place} ({name}).{key}", hints.get(key, Any))
        if key in arguments:
            schema["description"] = arguments[key]
        if parameter.default is parameter.empty:
            required.append(key)
        elif isinstance(parameter.default, (str, int, float, bool, list, dict)):
            schema["default"] = parameter.default
        properties[key] = schema
    parameters = {"type": "object", "properties": properties, "required": required}
    return _wrapped(place, name, described, parameters)


def _check_bound(place: str, function: object, signature: inspect.Signature) -> None:
    first = next(iter(signature.parameters.values()), None)
    if first is not None and first.name == "self" and first.annotation is first.empty:
        raise OptionError(
            place, function, "a method of an object, as in thing.method, or a function"
        )


_BASIC: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    dict: {"type": "object"},
    list: {"type": "array"},
    Any: {},
}


def _schema(place: str, hint: Any) -> dict[str, Any]:
    """The JSON schema of a type hint; what is not one of JSON's own types is Pydantic's to say."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _BASIC:
        return dict(_BASIC[hint])
    if origin is typing.Annotated:
        texts = [a for a in arguments[1:] if isinstance(a, str)]
        return {**_schema(place, arguments[0]), **({"description": texts[0]} if texts else {})}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(place, a) for a in arguments]}
    if origin in (list, Sequence):
        return {"type": "array", "items": _schema(place, arguments[0])}
    if origin in (dict, Mapping) and arguments[0] is str:
        return {"type": "object", "additionalProperties": _schema(place, arguments[1])}
    return _schema_by_pydantic(place, hint)


def _schema_by_pydantic(place: str, hint: Any) -> dict[str, Any]:
    try:
        import pydantic
    except ImportError:
        raise OptionError(place, hint, "one of JSON's types, or pydantic installed") from None
    try:
        return dict(pydantic.TypeAdapter(hint).json_schema())
    except (pydantic.PydanticUserError, pydantic.errors.PydanticInvalidForJsonSchema) as error:
        raise OptionError(place, hint, f"a type with a JSON schema: {error}") from error


_SECTION = re.compile(r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?):\s*$", re.M)
_ARGUMENT = re.compile(r"^\s+\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.+(?:\n\s{6,}.+)*)", re.M)
_PARAM = re.compile(r"^:param\s+(?:[\w.\[\]]+\s+)?(\w+):\s*(.+)", re.M)


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """A docstring's text before its sections, and what it says of each argument."""
    found = {name: said.strip() for name, said in _PARAM.findall(text)}
    parts = _SECTION.split(text)
    for title, body in zip(parts[1::2], parts[2::2], strict=False):
        if title in ("Args", "Arguments", "Parameters"):
            found |= {n: re.sub(r"\s+", " ", said).strip() for n, said in _ARGUMENT.findall(body)}
    described = re.split(r"^:\w+", parts[0], maxsplit=1, flags=re.M)[0]
    return described.strip(), found
