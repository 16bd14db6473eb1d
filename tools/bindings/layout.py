"""Python text laid out as `ruff format` does: on one line where it fits, else one item a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LIMIT = 100
INDENT = "    "


@dataclass(frozen=True)
class Group:
    """Items in brackets: a tuple, a list, a call's arguments."""

    items: Sequence[str | Group]
    before: str = "("
    after: str = ")"


def tuple_of(items: Sequence[str | Group]) -> str | Group:
    if not items:
        return "()"
    return Group(items, after=",)" if len(items) == 1 else ")")


def layout(item: str | Group, indent: str = "", suffix: str = "") -> str:
    """An item at `indent`, followed by `suffix`; a group too long for a line is spread."""
    flat = indent + _flat(item) + suffix
    if isinstance(item, str) or len(flat) <= LIMIT:
        return flat + "\n"
    inside = "".join(layout(each, indent + INDENT, ",") for each in item.items)
    return f"{indent}{item.before}\n{inside}{indent}{item.after.removeprefix(',')}{suffix}\n"


def _flat(item: str | Group) -> str:
    if isinstance(item, str):
        return item
    return item.before + ", ".join(_flat(each) for each in item.items) + item.after


def settled(text: str, blank_lines: int) -> str:
    """The text with at most that many blank lines in a row, and one newline at its end."""
    longest = "\n" * (blank_lines + 1)
    return re.sub(longest + "\n+", longest, text).rstrip("\n") + "\n"


def quoted(text: str) -> str:
    """A string literal in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
