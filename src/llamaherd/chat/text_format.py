"""What an answer's text must be, apart from calls and thoughts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llguidance import regex_to_lark
from llguidance.gbnf_to_lark import any_to_lark

from llamaherd.chat.lark import Lark
from llamaherd.errors import GrammarError


class TextFormat(Protocol):
    """Something that a text can be held to."""

    def rule(self, lark: Lark) -> str:
        """The name of a rule that accepts just that."""


@dataclass(frozen=True)
class JsonFormat:
    """An instance of a JSON schema, without white space outside of strings."""

    schema: Mapping[str, Any] | bool

    def rule(self, lark: Lark) -> str:
        """See :class:`TextFormat`."""
        return lark.json_of(self.schema)


@dataclass(frozen=True)
class RegexFormat:
    """A match of a regular expression, in the syntax of Rust's regex crate, from end to end."""

    pattern: str

    def rule(self, lark: Lark) -> str:
        """See :class:`TextFormat`."""
        return lark.rule(f"/{regex_to_lark(self.pattern, use_ascii='')}/")


@dataclass(frozen=True)
class ChoiceFormat:
    """One of several texts."""

    texts: Sequence[str]

    def rule(self, lark: Lark) -> str:
        """See :class:`TextFormat`."""
        return lark.choice(*(json.dumps(text, ensure_ascii=False) for text in self.texts))


@dataclass(frozen=True)
class GrammarFormat:
    """What a GBNF or Lark grammar accepts."""

    text: str

    def rule(self, lark: Lark) -> str:
        """See :class:`TextFormat`."""
        try:
            return lark.nested(any_to_lark(self.text))
        except Exception as error:  # llguidance's converter raises nothing more special
            raise GrammarError(f"the grammar does not parse: {error}") from error
