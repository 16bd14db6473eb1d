"""JSON schemas of what a caller did not mean to leave open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAYS = {"additionalProperties", "patternProperties", "$ref", "anyOf", "oneOf", "allOf"}
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "oneOf", "prefixItems")  # closed parts of allOf would exclude each other


class Lenient(dict[str, Any]):
    """The schema of a tool that is not strict: keywords that cannot be enforced are let go."""


def closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's schema without properties that it does not name, unless it asks for them."""
    if "properties" not in schema or _SAYS & set(schema):
        return schema
    return {**schema, "additionalProperties": False}


def closed_throughout(schema: Any) -> Any:
    """The same for every object in it, which is what OpenAI's ``strict`` means."""
    if not isinstance(schema, Mapping):
        return schema
    found = dict(closed(schema))
    for key in _NAMED:
        if isinstance(named := found.get(key), Mapping):
            found[key] = {name: closed_throughout(part) for name, part in named.items()}
    for key in _LISTED:
        if isinstance(listed := found.get(key), list):
            found[key] = [closed_throughout(part) for part in listed]
    if "items" in found:
        found["items"] = closed_throughout(found["items"])
    return found
