"""Values as templates spell them -> JSON text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from llamaherd.chat.syntax import Codec

Schema = Mapping[str, Any]
_TYPES = ("string", "number", "integer", "boolean", "null", "array", "object")


def types_of(schema: Schema | bool | None, root: Schema, depth: int = 0) -> frozenset[str]:
    """The JSON types that a schema admits, as far as a look at its keywords tells."""
    if not isinstance(schema, Mapping) or depth > 20:
        return frozenset(_TYPES)
    if isinstance(target := resolved(schema.get("$ref"), root), Mapping):
        return types_of(target, root, depth + 1)
    if isinstance(kind := schema.get("type"), str):
        return frozenset([kind])
    if isinstance(kind, list):
        return frozenset(kind)
    if "const" in schema:
        return frozenset([json_type(schema["const"])])
    if isinstance(schema.get("enum"), list):
        return frozenset(json_type(value) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return frozenset().union(*(types_of(s, root, depth + 1) for s in schema[key]))
    for part in schema.get("allOf", ()):
        found = types_of(part, root, depth + 1)
        if len(found) < len(_TYPES):
            return found
    return frozenset(_TYPES)


def resolved(reference: object, root: Schema) -> Any:
    """What a local ``$ref`` points at; None if there is nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def json_type(value: object) -> str:
    """The JSON type of a Python value; every number is "number"."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def property_schema(parameters: Schema, key: str) -> Any:
    """What a tool's schema says about one argument."""
    target = resolved(parameters.get("$ref"), parameters)
    parameters = target if isinstance(target, Mapping) else parameters
    properties = parameters.get("properties")
    if isinstance(properties, Mapping) and key in properties:
        return properties[key]
    return parameters.get("additionalProperties")


def to_json(text: str, codec: Codec, types: frozenset[str], quote: str = '"') -> str | None:
    """A complete value as JSON text; None if it is none of ``types`` in this spelling.

    Args:
        types: what the schema admits. A text that could be a string or something else is something
            else only if the schema admits that.
        quote: what stands around strings, for :attr:`Codec.QUOTED`.
    """
    found = _SPELLINGS[codec](text.strip(), quote)
    kind = None if found is None else json_type(json.loads(found))
    admitted = kind in types or (kind == "number" and "integer" in types)
    if codec is not Codec.RAW:
        return found
    if found is not None and admitted and kind != "string":
        return found
    return json.dumps(text, ensure_ascii=False) if "string" in types else None


def _json(text: str, _quote: str) -> str | None:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return _python(text, _quote)
    return text


def _python(text: str, _quote: str) -> str | None:
    try:
        return json.dumps(ast.literal_eval(text), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return text


_WORDS = {"None": "null", "True": "true", "False": "false"}
_BARE = re.compile(r"[^\s,:\[\]{}]+")


def _quoted(text: str, quote: str) -> str | None:
    """JSON whose strings stand raw between ``quote`` and whose keys may be bare."""
    parts = text.split(quote)
    if len(parts) % 2 == 0:
        return None
    found = [
        json.dumps(part, ensure_ascii=False) if i % 2 else _BARE.sub(_word, part)
        for i, part in enumerate(parts)
    ]
    joined = "".join(found)
    try:
        json.loads(joined)
    except (ValueError, RecursionError):
        return None
    return joined


def _word(match: re.Match[str]) -> str:
    word = match[0]
    following = match.string[match.end() : match.end() + 1]
    if following == ":":
        return json.dumps(word, ensure_ascii=False)
    return _WORDS.get(word, word)


_SPELLINGS = {
    Codec.RAW: _json,
    Codec.JSON: _json,
    Codec.PYTHON: _python,
    Codec.QUOTED: _quoted,
}
