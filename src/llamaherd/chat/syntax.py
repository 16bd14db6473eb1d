"""What is known about how a model writes its answers: thoughts, text and tool calls.

Learned from a chat template (`learn.py`), read by the parser and by the grammar. A pattern is
literal text of the template in which single characters of a private Unicode range, the slots, stand
for what varies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

NAME, ID, INDEX, ARGUMENTS, KEY, VALUE = "\ue000\ue001\ue002\ue003\ue004\ue005"
"""Slots: the tool's name, a call's id or number, its arguments; a parameter's name and value."""

Pattern = str
_MARKER = re.compile(r"<[^<>]*>|\[[A-Z_]{3,}\]")
_PIECES = re.compile("[\ue000-\ue005]|[^\ue000-\ue005]+")


def pieces(pattern: Pattern) -> list[str]:
    """A pattern's literal texts and slots, in order."""
    return _PIECES.findall(pattern)


class Codec(Enum):
    """How a value is spelled."""

    RAW = "raw"  # a string as it is, without quotes or escapes
    JSON = "json"
    PYTHON = "python"  # repr(): single quotes, True, None
    QUOTED = "quoted"  # like JSON, with quotes of its own and bare keys
    NESTED = "nested"  # an object's members, and a list's items, are parameters in a parameter


@dataclass(frozen=True)
class Form:
    """How a parameter of one JSON type is written: ``pattern`` holds a KEY and a VALUE."""

    pattern: Pattern
    codec: Codec

    @property
    def before(self) -> Pattern:
        """Everything up to the value."""
        return self.pattern.partition(VALUE)[0]

    @property
    def after(self) -> Pattern:
        """Everything behind the value."""
        return self.pattern.partition(VALUE)[2]


@dataclass(frozen=True)
class Parameters:
    """Arguments that are written one by one.

    Attributes:
        forms: JSON type ("string", "number", "boolean", "null", "array", "object") -> form; a type
            that the template cannot write is missing.
        separator: text between two parameters.
        quote: what stands around strings, for :attr:`Codec.QUOTED`.
        sorted: whether the template writes parameters in the order of their names.
    """

    forms: Mapping[str, Form]
    separator: str = ""
    quote: str = '"'
    sorted: bool = False


@dataclass(frozen=True)
class JsonStyle:
    """How the template spaces JSON; None for white space that is not always the same."""

    item: str | None = ", "
    key: str | None = ": "
    escaped: bool = False  # characters beyond ASCII are \\uXXXX


@dataclass(frozen=True)
class ToolSyntax:
    """How a model calls tools.

    Attributes:
        call: one call, with NAME, ARGUMENTS and perhaps ID and INDEX.
        open, close: text around all calls of an answer.
        separator: text between two calls.
        parameters: how arguments are written, if not as a JSON object.
        json: how JSON is spaced.
        empty: what stands for no arguments at all, where they are written one by one.
        closes: whether the template writes ``close`` even behind a single call.
        parallel: whether several calls fit into one answer.
        after_text: what stands between an answer's text and the calls; None if the template never
            writes both.
        exclusive: whether calls get lost beside text.
        one_remark: whether text and thoughts beside calls are refused together.
        content: the ``content`` that the template wants beside calls, if there is no text.
        as_text: whether the template wants arguments as JSON text instead of an object.
        short_ids: whether ids must be nine letters and digits.
    """

    call: Pattern
    open: str = ""
    close: str = ""
    separator: str = ""
    closes: bool = True
    parameters: Parameters | None = None
    json: JsonStyle = field(default_factory=JsonStyle)
    empty: str = ""
    parallel: bool = True
    after_text: str | None = ""
    exclusive: bool = False
    one_remark: bool = False
    content: str | None = ""
    as_text: bool = False
    short_ids: bool = False

    @property
    def head(self) -> Pattern:
        """The call before its arguments."""
        return self.call.partition(ARGUMENTS)[0]

    @property
    def tail(self) -> Pattern:
        """The call behind its arguments."""
        return self.call.partition(ARGUMENTS)[2]

    @property
    def trigger(self) -> str:
        """The literal text with which calls begin in the middle of an answer."""
        begin = f"{(self.after_text or '').strip()}{self.open}{self.head}"
        literal = pieces(begin)[0]
        return "" if literal == NAME else literal.strip()

    @property
    def marked(self) -> bool:
        """Whether calls may follow text: something tells them from it."""
        return bool(_MARKER.match(self.trigger)) or (
            self.after_text is not None and self.trigger[:1] not in ("", "{", "[")
        )


@dataclass(frozen=True)
class Wrapper:
    """Text before and after a part of an answer; both may be empty."""

    open: str = ""
    close: str = ""


@dataclass(frozen=True)
class AnswerSyntax:
    """How a model's whole answer is written.

    Attributes:
        header: what stands in a prompt right before an assistant's answer.
        content: around text.
        reasoning: around thoughts; None if the template knows none.
        reasoning_key: the message's field for them; None if the template reads none.
        switches: variables of the template that turn thinking on and off.
        tools: how calls are written; None if the template cannot write them.
        end: what the template writes behind an answer.
    """

    header: str = ""
    content: Wrapper = field(default_factory=Wrapper)
    reasoning: Wrapper | None = None
    reasoning_key: str | None = None
    switches: tuple[str, ...] = ()
    tools: ToolSyntax | None = None
    end: str = ""
