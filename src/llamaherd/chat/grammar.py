"""The grammar that enforces a template's own syntax of calls, as Lark text for llguidance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llamaherd.chat.grammar_values import Values
from llamaherd.chat.lark import Lark
from llamaherd.chat.schemas import Lenient, closed
from llamaherd.chat.syntax import (
    ARGUMENTS,
    ID,
    INDEX,
    NAME,
    AnswerSyntax,
    ToolSyntax,
    pieces,
)
from llamaherd.chat.text_format import TextFormat
from llamaherd.errors import UnsupportedError

Tool = Mapping[str, Any]


@dataclass(frozen=True)
class Demand:
    """What an answer must be.

    Attributes:
        tools: that may be called.
        required: whether one must be.
        parallel: whether several calls may be made.
        text: what the answer's text must be; None for anything.
        in_thought: whether the prompt has begun a thought.
        may_think: whether a thought may come first.
        specials: text of control tokens -> token id.
        ends: text of the tokens that end an answer.
    """

    tools: Sequence[Tool] = ()
    required: bool = False
    parallel: bool = True
    text: TextFormat | None = None
    in_thought: bool = False
    may_think: bool = True
    specials: Mapping[str, int] = field(default_factory=dict)
    ends: Sequence[str] = ()


def grammar(syntax: AnswerSyntax, demand: Demand) -> str:
    """Lark text that accepts what ``demand`` asks for, written as the template writes it.

    Raises:
        UnsupportedError: the template cannot write calls.
        GrammarError: a tool's schema has a keyword that cannot be enforced in this syntax.
    """
    return _Grammar(syntax, demand).text()


class _Grammar:
    def __init__(self, syntax: AnswerSyntax, demand: Demand) -> None:
        self.syntax, self.demand = syntax, demand
        self.lark = Lark(demand.specials, demand.ends)

    def text(self) -> str:
        self.lark.set("start", "")  # comes first
        space = _SPACE if self.syntax.content.open else ""
        body = self.lark.choice(*self._bodies(self._calls_syntax()))
        self.lark.set("start", f"{self._thought()} {space} {body}".strip())
        return self.lark.text

    def _bodies(self, calls: ToolSyntax | None) -> list[str]:
        """What may follow the thought."""
        close = self.syntax.content.close.strip()
        if self.demand.required or self.demand.text is not None or not close:
            texts = [] if self.demand.required else self._texts()
            return texts + (self._calling(calls) if calls else [])
        opened = self.lark.literal(self.syntax.content.open.lstrip())
        text = f"{opened} {self.lark.until(close)}".removeprefix('"" ')
        if calls is None:
            return [text]
        begin = (calls.open + calls.head).lstrip()
        if begin.startswith(close):
            return [f"{text} ({self._section(calls, begin[len(close) :])})?"]
        return [text, self._section(calls, begin)]

    def _calls_syntax(self) -> ToolSyntax | None:
        if not self.demand.tools:
            return None
        if self.syntax.tools is None:
            raise UnsupportedError("the model's chat template cannot write tool calls")
        return self.syntax.tools

    def _thought(self) -> str:
        """The thought that comes first, with the white space behind it."""
        reasoning = self.syntax.reasoning
        if reasoning is None or not (self.demand.in_thought or self.demand.may_think):
            return ""
        closed = f"{self.lark.until(reasoning.close.strip())} {_SPACE}"
        if self.demand.in_thought:
            return closed
        opened = self.lark.literal(reasoning.open.strip())
        bare = self.lark.literal(reasoning.close.strip())  # how some models say: no thought
        return self.lark.maybe(f"{_SPACE} ({opened} {closed} | {bare} {_SPACE})")

    def _texts(self) -> list[str]:
        """Answers without calls."""
        content = self.syntax.content
        if self.demand.text is not None:
            answer = self.demand.text.rule(self.lark)
        else:
            answer = self._free_text()
        opened = self.lark.literal(content.open.lstrip())
        closed = self.lark.literal(content.close)
        return [" ".join(p for p in (opened, answer, closed) if p != '""')]

    def _free_text(self) -> str:
        calls = self.syntax.tools
        if not self.demand.tools or calls is None or calls.marked or self.syntax.content.open:
            return self.lark.rule("/(?s:.*)/")
        first = re.escape(calls.trigger[:1] or "{")
        return self.lark.rule(f"/([^\\s{first}](?s:.*))?/")  # what begins like a call is one

    def _calling(self, calls: ToolSyntax) -> list[str]:
        """Answers with calls, after a text if the grammar allows one."""
        direct = self._section(calls, (calls.open + calls.head).lstrip())
        if self.demand.required or self.demand.text is not None or not calls.marked:
            return [direct if self.syntax.content.open else f"{_SPACE} {direct}"]
        begin = ((calls.after_text or "").strip() + calls.open + calls.head).lstrip()
        trigger = self._engaged_by(calls)
        text = f"{self.lark.until(trigger)} {self._section(calls, begin[len(trigger) :])}"
        if not self.syntax.content.open:
            return [text]
        return [direct, f"{self.lark.literal(self.syntax.content.open.lstrip())} {text}"]

    def _engaged_by(self, calls: ToolSyntax) -> str:
        """The first marker of a call that is not also the end of a text."""
        found = 0
        for marker in _MARKER.finditer(calls.trigger):
            if marker.start() != found:
                break
            found = marker.end()
            begun = calls.trigger[:found]
            others = (self.syntax.content.close, self.syntax.end)
            if not any(other.strip().startswith(begun) for other in others):
                return begun
        return calls.trigger

    def _section(self, calls: ToolSyntax, opened: str) -> str:
        """All calls of an answer; ``opened`` is what the first begins with."""
        parts = [self._call(calls, opened)]
        if calls.parallel and self.demand.parallel:
            again = self._call(calls, calls.separator + calls.head)
            parts.append(f"({again})*")
        close = self.lark.closing(calls.close)
        parts.append(close if calls.closes else self.lark.maybe(close))
        return " ".join(p for p in parts if p not in ("", '""'))

    def _call(self, calls: ToolSyntax, head: str) -> str:
        return self.lark.choice(*(self._call_of(calls, head, tool) for tool in self.demand.tools))

    def _call_of(self, calls: ToolSyntax, head: str, tool: Tool) -> str:
        function = tool["function"]
        found = []
        pattern = (head + ARGUMENTS + calls.tail).replace(NAME, function["name"])
        for piece in pieces(pattern):
            if piece == ARGUMENTS:
                found.append(self._arguments(calls, function))
            elif piece == ID:
                found.append("/[a-zA-Z0-9]{9}/")
            elif piece == INDEX:
                found.append("/[0-9]{1,4}/")
            else:
                found.append(self.lark.literal(piece))
        return self.lark.rule(" ".join(found))

    def _arguments(self, calls: ToolSyntax, function: Mapping[str, Any]) -> str:
        given = function.get("parameters") or {"type": "object", "properties": {}}
        schema, lenient = closed(given), isinstance(given, Lenient)
        if calls.parameters is None:
            return self.lark.json_of(schema, calls.json, lenient=lenient)
        values = Values(self.lark, calls.parameters, schema, function["name"], lenient=lenient)
        return values.members(schema, calls.empty)


_MARKER = re.compile(r"<[^<>]*>|\[[A-Z_]{3,}\]|\s+")
_SPACE = "/[ \\n]{0,4}/"
