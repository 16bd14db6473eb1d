"""Arguments as a template writes them: the other direction of the parser, for learning."""

from __future__ import annotations

import json
from typing import Any

from llamaherd.chat.syntax import KEY, VALUE, Codec, Parameters
from llamaherd.chat.values import json_type


def written(parameters: Parameters, arguments: dict[str, Any]) -> str:
    """The arguments as text."""
    items = sorted(arguments.items()) if parameters.sorted else arguments.items()
    return parameters.separator.join(_one(parameters, k, v) for k, v in items)


def _one(parameters: Parameters, key: str, value: Any) -> str:
    form = parameters.forms[json_type(value)]
    return form.pattern.replace(KEY, key).replace(VALUE, _value(parameters, form.codec, value))


def _value(parameters: Parameters, codec: Codec, value: Any) -> str:
    if codec is Codec.JSON:
        return json.dumps(value, ensure_ascii=False)
    if codec is Codec.QUOTED:
        return _quoted(value, parameters.quote)
    if codec is Codec.NESTED:
        return _nested(parameters, value)
    return str(value) if codec is Codec.RAW else repr(value)


def _quoted(value: Any, quote: str) -> str:
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_quoted(v, quote)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_quoted(v, quote) for v in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nested(parameters: Parameters, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_one(parameters, "item", v) for v in value)
    return written(parameters, value)
