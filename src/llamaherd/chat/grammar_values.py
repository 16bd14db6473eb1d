"""Grammar of arguments that are written one by one, from the tool's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llamaherd.chat.lark import Lark
from llamaherd.chat.syntax import KEY, Codec, Form, Parameters
from llamaherd.chat.values import json_type, resolved, types_of
from llamaherd.errors import GrammarError

Schema = Mapping[str, Any]
_DEFINITIONS = ("$defs", "definitions")
_NOT_IN_TEXT = frozenset({"format", "contentEncoding", "contentMediaType", "not", "allOf"})
_NOT_IN_LITERALS = frozenset(
    {"minItems", "maxItems", "uniqueItems", "prefixItems", "contains", "patternProperties",
     "minProperties", "maxProperties", "propertyNames", "dependentRequired", "if", "not", "allOf",
     "minLength", "maxLength", "pattern", "format"}
)  # fmt: skip


class Values:
    """Parameters and their values of one tool.

    Args:
        root: the tool's schema, for ``$ref``.
        tool: its name, for messages.
        lenient: let keywords go that cannot be enforced.
    """

    def __init__(
        self, lark: Lark, parameters: Parameters, root: Schema, tool: str, *, lenient: bool = False
    ) -> None:
        self.lark, self.parameters, self.root, self.tool = lark, parameters, root, tool
        self.lenient = lenient

    def members(self, schema: Schema, empty: str = "") -> str:
        """All parameters, in the schema's order, the optional ones optional."""
        properties = self._properties(schema)
        required = set(schema.get("required", ()))
        more, begin = '""', '""'
        separator = self.lark.literal(self.parameters.separator)
        for key, value in reversed(properties):
            one = self.parameter(key, value)
            following = f"{separator} {one} {more}" if separator != '""' else f"{one} {more}"
            first = f"{one} {more}"
            if key not in required:
                following, first = f"{following} | {more}", f"{first} | {begin}"
            more, begin = self.lark.rule(following), self.lark.rule(first)
        if empty and not required:
            return self.lark.choice(begin, self.lark.literal(empty))
        return begin

    def _properties(self, schema: Schema) -> list[tuple[str, Any]]:
        found = dict(schema.get("properties") or {})
        for key in schema.get("required", ()):
            found.setdefault(key, True)
        return sorted(found.items()) if self.parameters.sorted else list(found.items())

    def parameter(self, key: str, schema: Any) -> str:
        """One parameter in every form that its schema admits."""
        schema = self._resolved(schema)
        types = {"number" if t == "integer" else t for t in types_of(schema, self.root)}
        bodies = [
            self._form(form, key, kind, schema)
            for kind, form in self.parameters.forms.items()
            if kind in types
        ]
        if not bodies:
            raise self._refusal(f"{key!r}, which the template cannot write as {sorted(types)}")
        return self.lark.choice(*bodies)

    def _form(self, form: Form, key: str, kind: str, schema: Any) -> str:
        before, after = form.before.replace(KEY, key), form.after.replace(KEY, key)
        if form.codec is Codec.RAW:
            value = self._raw(schema, after)
        else:
            value = f"{self._value(form.codec, kind, schema)} {self.lark.literal(after)}"
        return self.lark.rule(f"{self.lark.literal(before)} {value}")

    def _raw(self, schema: Any, after: str) -> str:
        """A string without quotes, up to the marker behind it."""
        fixed = [v for v in self._fixed(schema) or () if isinstance(v, str)]
        if fixed:
            return f"{self.lark.choice(*map(self.lark.literal, fixed))} {self.lark.literal(after)}"
        schema = schema if isinstance(schema, Mapping) else {}
        schema = self._enforceable(schema, _NOT_IN_TEXT)
        return self.lark.until(after, self._text_pattern(schema))

    def _text_pattern(self, schema: Schema) -> str:
        if "pattern" not in schema:
            return f"/(?s:.{{{_length(schema)}}})/" if _length(schema) != "0," else "/(?s:.*)/"
        pattern = str(schema["pattern"])
        begin = "" if pattern.startswith("^") else "(?s:.*)"
        end = "" if pattern.endswith("$") else "(?s:.*)"
        pattern = pattern.removeprefix("^").removesuffix("$").replace("/", "\\/")
        whole = f"/{begin}({pattern}){end}/"
        if _length(schema) == "0,":
            return whole
        return self.lark.terminal(f"{whole} & /(?s:.{{{_length(schema)}}})/")

    # -- values that are literals -------------------------------------------------------------

    def _value(self, codec: Codec, kind: str, schema: Any) -> str:
        if codec is Codec.JSON or (kind == "number" and codec is not Codec.NESTED):
            return self.lark.json(self._only(kind, schema))
        fixed = self._fixed(schema)
        if fixed is not None:
            spelled = [self._spelled(v, codec) for v in fixed if json_type(v) == kind]
            return self.lark.choice(*(self.lark.literal(s) for s in spelled))
        return _LITERALS[kind](self, codec, schema if isinstance(schema, Mapping) else {})

    def _any(self, codec: Codec, schema: Any) -> str:
        """A value inside another one."""
        schema = self._resolved(schema)
        types = {"number" if t == "integer" else t for t in types_of(schema, self.root)}
        if codec is Codec.NESTED and types & {"string"}:
            raise self._refusal("a string in a list or object, which")
        return self.lark.choice(*(self._value(codec, kind, schema) for kind in sorted(types)))

    def _boolean(self, codec: Codec, _schema: Schema) -> str:
        return '("True" | "False")' if codec is Codec.PYTHON else '("true" | "false")'

    def _null(self, codec: Codec, _schema: Schema) -> str:
        return '("None" | "null")' if codec is not Codec.PYTHON else '"None"'

    def _string(self, codec: Codec, schema: Schema) -> str:
        self._enforceable(schema, _NOT_IN_LITERALS)
        if codec is Codec.QUOTED:
            quote = self.parameters.quote
            return f"{self.lark.literal(quote)} {self.lark.until(quote)}"
        return self.lark.rule(_PYTHON_STRING)

    def _array(self, codec: Codec, schema: Schema) -> str:
        schema = self._enforceable(schema, _NOT_IN_LITERALS)
        if codec is Codec.NESTED:
            return f"({self.parameter('item', schema.get('items', True))})*"
        item = self._any(codec, schema.get("items", self._unsaid(codec)))
        comma = '", "' if codec is Codec.PYTHON else '","'
        return self.lark.rule(f'"[" ({item} ({comma} {item})*)? "]"')

    def _object(self, codec: Codec, schema: Schema) -> str:
        schema = self._enforceable(schema, _NOT_IN_LITERALS)
        if codec is Codec.NESTED:
            return self.members(schema)
        comma, colon = ('", "', '": "') if codec is Codec.PYTHON else ('","', '":"')
        required, properties = set(schema.get("required", ())), self._properties(schema)
        more, begin = '""', '""'
        for key, value in reversed(properties):
            one = f"{self._key(codec, key)} {colon} {self._any(codec, value)}"
            following, first = f"{comma} {one} {more}", f"{one} {more}"
            if key not in required:
                following, first = f"{following} | {more}", f"{first} | {begin}"
            more, begin = self.lark.rule(following), self.lark.rule(first)
        if not properties and isinstance(extra := schema.get("additionalProperties"), Mapping):
            one = f"{self._any_key(codec)} {colon} {self._any(codec, extra)}"
            begin = self.lark.rule(f"({one} ({comma} {one})*)?")
        return self.lark.rule(f'"{{" {begin} "}}"')

    def _key(self, codec: Codec, key: str) -> str:
        return self.lark.literal(repr(key) if codec is Codec.PYTHON else key)

    def _any_key(self, codec: Codec) -> str:
        return self.lark.rule(_PYTHON_STRING if codec is Codec.PYTHON else "/[^\\s,:{}\\[\\]]+/")

    def _unsaid(self, _codec: Codec) -> Schema:
        """Items of which the schema says nothing: plain values, since depth must end."""
        return {"type": ["string", "number", "boolean", "null"]}

    def _spelled(self, value: Any, codec: Codec) -> str:
        if codec is Codec.PYTHON:
            return repr(value)
        if codec is Codec.QUOTED and isinstance(value, str):
            return f"{self.parameters.quote}{value}{self.parameters.quote}"
        return json.dumps(value, ensure_ascii=False)

    # -- schemas ------------------------------------------------------------------------------

    def _resolved(self, schema: Any) -> Any:
        for _ in range(20):
            if not (isinstance(schema, Mapping) and "$ref" in schema):
                return schema
            schema = resolved(schema["$ref"], self.root)
        raise self._refusal("a $ref that refers to itself, which")

    def _fixed(self, schema: Any) -> list[Any] | None:
        if not isinstance(schema, Mapping):
            return None
        if "const" in schema:
            return [schema["const"]]
        values = schema.get("enum")
        return list(values) if isinstance(values, list) else None

    def _only(self, kind: str, schema: Any) -> Schema:
        """The schema for values of one type, able to stand alone."""
        found = dict(schema) if isinstance(schema, Mapping) else {}
        types = types_of(schema, self.root)
        wanted = {"number", "integer"} & types if kind == "number" else {kind}
        if isinstance(found.get("type"), list) or "type" not in found:
            found["type"] = sorted(wanted)[0] if len(wanted) == 1 else "number"
        for key in ("anyOf", "oneOf"):
            if isinstance(found.get(key), list):
                found[key] = [s for s in found[key] if types_of(s, self.root) & wanted]
                found.pop("type", None)
        if isinstance(found.get("enum"), list):
            found["enum"] = [v for v in found["enum"] if json_type(v) == kind]
        definitions = {k: self.root[k] for k in _DEFINITIONS if k in self.root}
        options: dict[str, Any] = {
            "whitespace_flexible": False,
            "item_separator": ", ",
            "key_separator": ": ",
        }
        if self.lenient:
            options["lenient"] = True
        return {**definitions, **found, "x-guidance": options}

    def _enforceable(self, schema: Schema, unenforceable: frozenset[str]) -> Schema:
        """The schema without keywords that it may have and this syntax cannot enforce."""
        bad = unenforceable & set(schema)
        if bad and not self.lenient:
            raise self._refusal(min(bad))
        return {key: value for key, value in schema.items() if key not in bad}

    def _refusal(self, what: str) -> GrammarError:
        return GrammarError(
            f"the schema of tool {self.tool!r} has {what} cannot be enforced in the way in which "
            "this model writes arguments"
        )


def _length(schema: Schema) -> str:
    return f"{schema.get('minLength', 0)},{schema.get('maxLength', '')}"


_PYTHON_STRING = r"""/'([^'\\\n]|\\.)*'|"([^"\\\n]|\\.)*"/"""
_LITERALS = {
    "boolean": Values._boolean,
    "null": Values._null,
    "string": Values._string,
    "array": Values._array,
    "object": Values._object,
}
