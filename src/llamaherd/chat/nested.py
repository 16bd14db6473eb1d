"""Objects and lists that are written as parameters inside a parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llamaherd.chat.matching import Match, match_pattern
from llamaherd.chat.syntax import KEY, Codec, Form
from llamaherd.chat.values import property_schema, to_json, types_of


def nested_json(
    text: str, form: Form, schema: Any, root: Mapping[str, Any], types: frozenset[str]
) -> str:
    """A value and all that is in it as JSON text.

    What the schema does not say is told from the text: members are a list if they are all called
    ``item``, and a value without members is a string unless it is JSON of another type.
    """
    members = _members(text, form)
    if not members and not (types == {"object"} or types == {"array"} or not text):
        return to_json(text, Codec.RAW, types) or json.dumps(text, ensure_ascii=False)
    schema = schema if isinstance(schema, Mapping) else {}
    if "object" not in types or (
        "array" in types and members and all(key == "item" for key, _ in members)
    ):
        return f"[{', '.join(_one(v, form, schema.get('items'), root) for _, v in members)}]"
    found = (
        f"{json.dumps(k, ensure_ascii=False)}: {_one(v, form, property_schema(schema, k), root)}"
        for k, v in members
    )
    return f"{{{', '.join(found)}}}"


def _one(text: str, form: Form, schema: Any, root: Mapping[str, Any]) -> str:
    types = types_of(schema, root)
    if types & {"object", "array"}:
        return nested_json(text, form, schema, root, types)
    return to_json(text, Codec.RAW, types) or json.dumps(text, ensure_ascii=False)


def _members(text: str, form: Form) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        begun = match_pattern(text, at, form.before, (), ended=True)
        if not isinstance(begun, Match):
            return []
        end = _end(text, begun.end, form, begun.slots[KEY])
        if end is None:
            return []
        found.append((begun.slots[KEY], text[begun.end : end[0]]))
        at = end[1]
    return found


def _end(text: str, start: int, form: Form, key: str) -> tuple[int, int] | None:
    """Where the member ends that began before ``start``: members of its name may be in it."""
    opened, closed = form.before.replace(KEY, key), form.after.replace(KEY, key)
    depth, at = 1, start
    while depth:
        close = text.find(closed, at)
        if close < 0:
            return None
        again = text.find(opened, at, close)
        depth += 1 if again >= 0 else -1
        at = again + len(opened) if again >= 0 else close + len(closed)
    return at - len(closed), at
