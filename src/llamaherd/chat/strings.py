"""What texts have in common, cut where markers begin and end."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPEN_MARKER = re.compile(r"(?:<[^<>]*|\[[A-Z_/]*)\Z")
_MARKER_REST = re.compile(r"\A[^<>]*>")
_MARKER = re.compile(r"<[^<>]*>|\[[A-Z_/]+\]")


def common_prefix(*texts: str) -> str:
    """The longest beginning of all ``texts`` that does not end inside a marker."""
    found = _shared(texts)
    if all(len(text) == len(found) for text in texts):
        return found
    return _OPEN_MARKER.sub("", found)


def _shared(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    for i, char in enumerate(first):
        if char != last[i]:
            return first[:i]
    return first


def common_suffix(*texts: str) -> str:
    """The longest end of all ``texts`` that does not begin inside a marker."""
    found = _shared([text[::-1] for text in texts])[::-1]
    if any(len(text) == len(found) for text in texts):
        return found
    rest = _MARKER_REST.match(found)
    inside = rest and any(_is_inside(text, len(text) - len(found)) for text in texts)
    return found[rest.end() :] if rest and inside else found


def _is_inside(text: str, at: int) -> bool:
    return text.rfind("<", 0, at) > text.rfind(">", 0, at)


def between(text: str, before: str, after: str) -> str | None:
    """What stands between the last ``before`` and the first ``after`` behind it."""
    start = text.rfind(before)
    end = text.find(after, start + len(before))
    return None if start < 0 or end < 0 else text[start + len(before) : end]


def markers(text: str) -> Sequence[str]:
    """All that looks like ``<marker>`` or ``[MARKER]``."""
    return _MARKER.findall(text)


def without_prefix(text: str, prefixes: Sequence[str]) -> str | None:
    """``text`` behind ``prefixes``, whatever the white space between them; None if not there."""
    parts = [re.escape(p.strip()) for p in prefixes if p.strip()]
    found = re.match(r"\s*" + r"\s*".join(parts) + r"\s*", text)
    return text[found.end() :] if found and parts else None
