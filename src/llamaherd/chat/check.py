"""Whether what was learned from a template holds: its own calls, read back."""

from __future__ import annotations

import json
from dataclasses import replace

from llamaherd.chat.events import CallArguments, CallEnd, CallStart, Event
from llamaherd.chat.parser import SyntaxParser, parse
from llamaherd.chat.probe import KEYS, NAMES, TOOLS, Arguments, Bench
from llamaherd.chat.strings import common_suffix
from llamaherd.chat.syntax import AnswerSyntax

_PROBES: tuple[Arguments, ...] = ({KEYS[0]: "a b", KEYS[1]: "ü"}, {KEYS[1]: "x"})


def verified(syntax: AnswerSyntax, bench: Bench, header: str) -> AnswerSyntax:
    """The syntax, without its calls if the template's own cannot be read by it.

    Args:
        header: what the template writes before every answer.
    """
    tools = syntax.tools
    if tools is None:
        return syntax
    bench = replace(bench, content=tools.content, as_text=tools.as_text)
    counts = (1, 2) if tools.parallel else (1,)
    good = all(_reads_back(syntax, bench, header, _PROBES[:count]) for count in counts)
    return syntax if good else replace(syntax, tools=None)


def _reads_back(
    syntax: AnswerSyntax, bench: Bench, header: str, calls: tuple[Arguments, ...]
) -> bool:
    text = bench.calls(*calls)
    if text is None:
        return False
    answer = text[len(header) :]
    answer = answer[: len(answer) - len(common_suffix(answer, syntax.end))]
    events = list(parse(SyntaxParser(syntax, TOOLS), answer))
    names = [event.name for event in events if isinstance(event, CallStart)]
    ends = [event for event in events if isinstance(event, CallEnd)]
    expected = [(name, dict(arguments)) for name, arguments in zip(NAMES, calls, strict=False)]
    if len(ends) != len(calls) or len(names) != len(calls):
        return False
    return [(name, _arguments(events, i)) for i, name in enumerate(names)] == expected


def _arguments(events: list[Event], index: int) -> object:
    parts = (e.text for e in events if isinstance(e, CallArguments) and e.index == index)
    return json.loads("".join(parts))
