"""Lark text for llguidance, rule by rule. Source: llguidance's docs/syntax.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llamaherd.chat.syntax import JsonStyle

COMPACT = JsonStyle(",", ":")


class Lark:
    """A grammar under construction.

    Args:
        specials: text of control tokens -> token id. Where a literal holds such a text, the token
            itself is meant: as plain bytes it would never match what the model writes.
        ends: text of the tokens that end an answer: none of a grammar's business.
    """

    def __init__(self, specials: Mapping[str, int], ends: Sequence[str] = ()) -> None:
        self._specials, self._ends = specials, ends
        found = "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True) if s)
        self._split = re.compile(f"({found})" if found else r"(?!)()")
        self._rules: dict[str, str] = {}
        self._names: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The grammar; its first rule is ``start``."""
        return "\n".join(f"{name}: {body}" for name, body in self._rules.items()) + "\n"

    def set(self, name: str, body: str) -> None:
        """Define a rule under a name of its own."""
        self._rules[name] = body

    def rule(self, body: str, options: str = "") -> str:
        """A rule's name; the same rule is written once."""
        key = f"{options}:{body}"
        if key not in self._names:
            name = f"r{len(self._names)}"
            self._names[key] = name
            self._rules[name + options] = body
        return self._names[key]

    def terminal(self, body: str) -> str:
        """A terminal's name: a regular expression of several."""
        key = f"terminal:{body}"
        if key not in self._names:
            self._names[key] = f"T{len(self._names)}"
            self._rules[self._names[key]] = body
        return self._names[key]

    def literal(self, text: str) -> str:
        """Exactly this text."""
        parts = [part for part in self._split.split(text) if part]
        return " ".join(self._part(part) for part in parts) or '""'

    def closing(self, text: str) -> str:
        """The text behind the last call, without what ends the answer itself."""
        for end in self._ends:
            text = text.rstrip().removesuffix(end) if text.rstrip().endswith(end) else text
        return self.literal(text) if text else ""

    def _part(self, part: str) -> str:
        if part in self._specials:
            return f"<[{self._specials[part]}]>"
        return json.dumps(part, ensure_ascii=False)

    def choice(self, *bodies: str) -> str:
        """One of several."""
        distinct = list(dict.fromkeys(bodies))
        return distinct[0] if len(distinct) == 1 else self.rule(" | ".join(distinct))

    def maybe(self, body: str) -> str:
        """It or nothing."""
        return "" if body in ("", '""') else f"({body})?"

    def json(self, schema: Mapping[str, Any] | bool) -> str:
        """A JSON value."""
        return self.rule(f"%json {json.dumps(schema, ensure_ascii=False)}")

    def json_of(
        self,
        schema: Mapping[str, Any] | bool,
        style: JsonStyle = COMPACT,
        *,
        lenient: bool = False,
    ) -> str:
        """A JSON value with no more white space than the style has.

        Args:
            lenient: let keywords go that llguidance cannot enforce.
        """
        whole = schema if isinstance(schema, Mapping) else {"anyOf": [schema]}
        options = {**json_options(style), **({"lenient": True} if lenient else {})}
        return self.json({**whole, "x-guidance": options})

    def nested(self, grammar: str) -> str:
        """What a grammar of its own accepts."""
        return self.rule(f"%lark {{\n{grammar}\n}}")

    def until(self, literal: str, content: str = "/(?s:.*)/") -> str:
        """Text of the regular expression ``content`` up to the first ``literal``, and that."""
        first, *rest = [part for part in self._split.split(literal) if part]
        if first in self._specials:
            body = f"{self.rule(content)} {self._part(first)}"
        else:
            body = self.rule(f"{content} {self._part(first)}", "[lazy]")
        return " ".join([body, *(self._part(part) for part in rest)])


def json_options(style: JsonStyle) -> dict[str, Any]:
    """llguidance's options for JSON that is spaced like the template's."""
    options: dict[str, Any] = {"whitespace_flexible": style.item is None}
    if style.item is not None:
        options |= {"item_separator": style.item, "key_separator": style.key}
    if style.escaped:
        options["json_allow_general_unicode_escapes"] = True
    return options
