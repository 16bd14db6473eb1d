"""How a template writes calls: one call, two calls, and what they have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from llamaherd.chat.learn_parameters import learn_parameters
from llamaherd.chat.probe import CONTENT, IDS, KEYS, NAMES, REASONING_KEYS, THOUGHT, Bench
from llamaherd.chat.strings import common_prefix, common_suffix, without_prefix
from llamaherd.chat.syntax import (
    ARGUMENTS,
    ID,
    INDEX,
    NAME,
    JsonStyle,
    Parameters,
    ToolSyntax,
    Wrapper,
)
from llamaherd.chat.writing import written

_ONE: dict[str, Any] = {KEYS[0]: "qzvalue é", KEYS[1]: "qzmore"}
_TWO: dict[str, Any] = {KEYS[0]: "qzother"}


def learn_tools(
    bench: Bench, header: str, reasoning: Wrapper | None, opened: str, end: str
) -> ToolSyntax | None:
    """The syntax of calls; None if the template writes none that is understood.

    Args:
        header: what the template writes before every answer.
        reasoning: around the thoughts that may come before calls.
        opened: what it writes before an answer of text.
        end: what it writes behind any answer.
    """
    for as_text in (False, True):
        benches = [Bench(bench.template, content, as_text) for content in ("", None)]
        benches.sort(key=lambda b: len(b.calls(_ONE) or ""))  # the shorter has less around calls
        for one in benches:
            found = _Learner(one, header, reasoning, opened, end).syntax()
            if found is not None:
                return found
    return None


class _Learner:
    """One way to give calls to a template, and what comes of it."""

    def __init__(
        self, bench: Bench, header: str, reasoning: Wrapper | None, opened: str, end: str
    ) -> None:
        self.bench, self.header, self.reasoning = bench, header, reasoning
        self.opened, self.end = opened, end
        self.parameters: Parameters | None = None

    def syntax(self) -> ToolSyntax | None:
        """How calls are written when given in this way."""
        one = self._answer(_ONE)
        if one is None or NAMES[0] not in one:
            return None
        style = _style(one)
        self.parameters = None if style else learn_parameters(self._answer)
        if not style and not self.parameters:
            return None
        one = self._collapsed(one, [_ONE])
        if one.count(ARGUMENTS) != 1 or NAME not in one:
            return None
        found = ToolSyntax(one, parameters=self.parameters, json=style or JsonStyle())
        found = self._with_two(found)
        return replace(
            found,
            empty=self._empty(found),
            after_text=self._after_text(found),
            exclusive=NAMES[0] not in (self._answer(_ONE, content=CONTENT) or ""),
            one_remark=self._refuses_two_remarks(),
            content=self.bench.content,
            as_text=self.bench.as_text,
            short_ids=self._wants_short_ids(),
        )

    def _answer(self, *arguments: Any, content: str | None = None) -> str | None:
        """An answer of calls, without what ends a turn."""
        text = self.bench.calls(*arguments, content=content)
        if text is None or not text.startswith(self.header):
            return None
        text = text[len(self.header) :]
        if text.startswith(self.opened):
            text = text[len(self.opened) :]
        elif self.reasoning:
            wrapped = (self.reasoning.open, self.reasoning.close)
            text = without_prefix(text, wrapped) or text
        return _without_end(text, self.end)

    def _collapsed(self, text: str, arguments: list[dict[str, Any]]) -> str:
        """``text`` with slots for all that is known."""
        for value in arguments:
            span = self._span(text, value)
            if span is not None:
                text = text[: span[0]] + ARGUMENTS + text[span[1] :]
        for name, identity in zip(NAMES, IDS, strict=True):
            text = text.replace(name, NAME).replace(identity, ID)
        return text

    def _span(self, text: str, value: dict[str, Any]) -> tuple[int, int] | None:
        """Where these arguments stand."""
        if self.parameters is None:
            return next(
                (s for s in _json_spans(text) if json.loads(text[slice(*s)]) == value), None
            )
        expected = written(self.parameters, value)
        at = text.find(expected)
        return (at, at + len(expected)) if at >= 0 else None

    def _with_two(self, one: ToolSyntax) -> ToolSyntax:
        """What two calls tell beyond one: what is of each, what of all, what stands between."""
        text = self._answer(_ONE, _TWO)
        text = "" if text is None else self._collapsed(text, [_ONE, _TWO])
        if text.count(ARGUMENTS) != 2:
            return replace(one, parallel=False)
        first, middle, last = text.split(ARGUMENTS)
        first, middle = _numbered(first, middle)
        head = common_suffix(first, middle)
        middle = middle[: len(middle) - len(head)]
        tail = common_prefix(last, middle)
        if NAME not in head + tail:
            return replace(one, parallel=False)
        return replace(
            one,
            call=head + ARGUMENTS + tail,
            open=first[: len(first) - len(head)],
            close=last[len(tail) :],
            separator=middle[len(tail) :],
            closes=last == one.tail or one.tail != tail,
        )

    def _empty(self, syntax: ToolSyntax) -> str:
        """What stands for no arguments, where they are written one by one."""
        text = self._answer({})
        if text is None or self.parameters is None:
            return ""
        rest = self._collapsed(text, []).rpartition(NAME)[2]
        head = re.escape(syntax.head.rpartition(NAME)[2]).replace(INDEX, r"\d+")
        found = re.fullmatch(f"{head}(.*?){re.escape(syntax.tail + syntax.close)}", rest, re.DOTALL)
        return found[1] if found else ""

    def _after_text(self, syntax: ToolSyntax) -> str | None:
        text = self._answer(_ONE, content=CONTENT)
        if text is None or CONTENT not in text:
            return None
        text = self._collapsed(text[text.rindex(CONTENT) + len(CONTENT) :], [_ONE])
        at = text.find(re.split(f"[{ID}{INDEX}]", syntax.open + syntax.head)[0])
        two_turns = bool(self.end.strip()) and self.end.strip() in text[: max(at, 0)]
        return text[:at] if at >= 0 and not two_turns else None

    def _refuses_two_remarks(self) -> bool:
        thoughts = dict.fromkeys(REASONING_KEYS, THOUGHT)
        return self.bench.calls({}, content=CONTENT, **thoughts) is None

    def _wants_short_ids(self) -> bool:
        bench = replace(self.bench, ids=("call_0", "call_1"))
        return bench.calls({}) is None


def _json_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where JSON objects stand in a text."""
    decoder = json.JSONDecoder()
    for match in re.finditer("{", text):
        try:
            _, end = decoder.raw_decode(text, match.start())
        except ValueError:
            continue
        yield match.start(), end


def _style(text: str) -> JsonStyle | None:
    """How the arguments are spaced, if they stand there as JSON."""
    for start, end in _json_spans(text):
        if json.loads(text[start:end]) == _ONE:
            return _json_style(text[start:end])
    return None


def _json_style(text: str) -> JsonStyle:
    escaped = "\\u00e9" in text
    for item, key in ((", ", ": "), (",", ":"), (", ", ":"), (",", ": ")):
        if text == json.dumps(_ONE, ensure_ascii=escaped, separators=(item, key)):
            return JsonStyle(item, key, escaped)
    return JsonStyle(None, None, escaped)


def _without_end(text: str, after_plain: str) -> str:
    """An answer without what ends a turn; ``after_plain`` follows an answer of text."""
    end = common_suffix(text, after_plain)
    text = text[: len(text) - len(end)]
    known = max(text.rfind(name) for name in (*NAMES, *KEYS))
    again = text.find(end.strip(), known) if end.strip() else -1
    return text[:again] if again >= 0 else text


def _numbered(first: str, middle: str) -> tuple[str, str]:
    """Numbers that count calls become slots."""
    ones, twos = list(re.finditer(r"\d+", first)), list(re.finditer(r"\d+", middle))
    for one, two in zip(reversed(ones), reversed(twos), strict=False):
        if int(two[0]) == int(one[0]) + 1:
            first = first[: one.start()] + INDEX + first[one.end() :]
            middle = middle[: two.start()] + INDEX + middle[two.end() :]
    return first, middle
