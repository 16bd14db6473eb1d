"""Patterns against text that may not have ended: yes up to here, no, or not yet known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from llamaherd.chat.syntax import ARGUMENTS, ID, INDEX, KEY, NAME, Pattern, pieces

MAX_KEY_CHARS = 512


@dataclass(frozen=True)
class Match:
    """A pattern was found; ``end`` is where, ``slots`` what it held."""

    end: int
    slots: Mapping[str, str] = field(default_factory=dict)


class _Partial:
    """The text could still go on to match."""


PARTIAL = _Partial()
Result = Match | _Partial | None
"""None: it does not match, whatever follows."""


def match_literal(text: str, at: int, literal: str, *, ended: bool = False) -> Result:
    """``literal`` in ``text``; white space inside it is optional, behind it taken only as written.

    Models space their markers differently from their templates, and a value may begin with spaces.
    """
    if text.startswith(literal, at):
        return Match(at + len(literal))
    core = literal.rstrip()
    for char in core:
        if char.isspace():
            continue
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return None if ended else PARTIAL
        if text[at] != char:
            return None
        at += 1
    for char in literal[len(core) :]:
        if at == len(text) and not ended:
            return PARTIAL
        if at < len(text) and text[at] == char:
            at += 1
    return Match(at)


Follows = Callable[[int], Result]


def match_pattern(
    text: str,
    at: int,
    pattern: Pattern,
    names: Iterable[str],
    *,
    follows: Follows | None = None,
    ended: bool = False,
) -> Result:
    """A call's or parameter's beginning.

    Args:
        names: the tools that a NAME may be, or the names that a KEY has already.
        follows: what must match behind the pattern, if it ends with an open slot.
    """
    results = list(_matches(text, at, pieces(pattern), {}, list(names), follows, ended))
    full = [r for r in results if isinstance(r, Match)]
    if full:
        return max(full, key=lambda m: m.end)
    return PARTIAL if results else None


def _matches(
    text: str,
    at: int,
    todo: list[str],
    slots: dict[str, str],
    names: list[str],
    follows: Follows | None,
    ended: bool,
) -> Iterable[Match | _Partial]:
    if not todo:
        result = Match(at) if follows is None else follows(at)
        if isinstance(result, Match):
            yield Match(at, slots)
        elif result is PARTIAL:
            yield PARTIAL
        return
    piece, rest = todo[0], todo[1:]
    for found, value in _piece(text, at, piece, rest, slots, names, ended):
        if isinstance(found, Match):
            known = slots if value is None else {**slots, piece: value}
            yield from _matches(text, found.end, rest, known, names, follows, ended)
        elif found is PARTIAL:
            yield PARTIAL


def _piece(
    text: str,
    at: int,
    piece: str,
    rest: list[str],
    slots: Mapping[str, str],
    names: list[str],
    ended: bool,
) -> Iterable[tuple[Result, str | None]]:
    if piece in slots:
        yield _exact(text, at, slots[piece], ended), slots[piece]
    elif piece == NAME:
        for name in names:
            found = _exact(text, at, name, ended)
            yield (
                (_whole_name(text, found, ended) if not "".join(rest[:1]).strip() else found),
                name,
            )
    elif piece == INDEX:
        yield _span(text, at, str.isdigit, ended)
    elif piece == ID:
        yield _span(text, at, lambda c: c.isalnum() or c in "-_.:", ended)
    elif piece == KEY:
        yield from _until(text, at, rest[0] if rest else "", ended)
    else:
        yield match_literal(text, at, piece, ended=ended), None


def _exact(text: str, at: int, expected: str, ended: bool) -> Result:
    if text.startswith(expected, at):
        return Match(at + len(expected))
    return PARTIAL if not ended and expected.startswith(text[at:]) else None


def _whole_name(text: str, found: Result, ended: bool) -> Result:
    """A name that no literal ends, if it is not the beginning of a longer one."""
    if not isinstance(found, Match):
        return found
    following = text[found.end : found.end + 1]
    if not following:
        return found if ended else PARTIAL
    return None if following.isalnum() or following in "_-." else found


def _span(
    text: str, at: int, allowed: Callable[[str], bool], ended: bool
) -> tuple[Result, str | None]:
    end = at
    while end < len(text) and end - at < MAX_KEY_CHARS and allowed(text[end]):
        end += 1
    if end == len(text) and not ended:
        return PARTIAL, None
    return (Match(end) if end > at else None), text[at:end]


def _until(text: str, at: int, literal: str, ended: bool) -> Iterable[tuple[Result, str | None]]:
    """A parameter's name: short, on one line, up to the literal behind it."""
    first = literal.lstrip()[:1]
    end = text.find(first, at, at + MAX_KEY_CHARS) if first else -1
    if end < 0:
        open_end = not ended and len(text) - at < MAX_KEY_CHARS and "\n" not in text[at:].strip()
        yield (PARTIAL if open_end else None), None
    elif end > at and "\n" not in text[at:end].strip():
        yield Match(end), text[at:end].strip()


def first_literal(pattern: Pattern) -> str:
    """The literal text with which a pattern begins; empty if that is a slot."""
    found = pieces(pattern)
    return found[0] if found and found[0] not in (NAME, ID, INDEX, KEY, ARGUMENTS) else ""
