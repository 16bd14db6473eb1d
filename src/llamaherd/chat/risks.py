"""What could make something huge before it could be measured, and is refused first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from llamaherd.chat.limits import (
    CHARS_A_STEP,
    CONTAINERS,
    HOLDERS,
    ITEMS_A_STEP,
    MAX_BITS,
    MAX_CHARS,
    MAX_ITEMS,
    MAX_NUMBER,
    LimitError,
    weight,
)

_WIDE = re.compile(r"\d{5}")
_NESTED_SPEC = re.compile(r"[:!][^{}]*\{|%[^a-zA-Z%]*\*")
_HARMFUL_METHODS = frozenset(  # format is one unless it is wrapped
    {"expandtabs", "translate", "maketrans", "encode", "format", "format_map"}
)
_Arguments = tuple[Any, ...]


def check_binop(operator: str, left: Any, right: Any) -> None:
    """Before ``left operator right``."""
    if operator == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, (str, bytes, list, tuple)) and isinstance(other, int):
                _check_size(len(one) * other, MAX_CHARS if isinstance(one, str) else MAX_ITEMS)
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            _check_size(left.bit_length() * abs(right), MAX_BITS)
    elif operator == "%" and isinstance(left, str):
        check_format(left, "%", (right,))


def check_format(text: str, mark: str, values: Iterable[Any]) -> None:
    """Before a format string of either kind, whose fields begin with ``mark``, gets values."""
    if _WIDE.search(text) or _NESTED_SPEC.search(text):
        raise LimitError("a format has a huge or computed width")
    chars = sum((weight(v) + 1) * CHARS_A_STEP for v in values if isinstance(v, (str, *HOLDERS)))
    _check_size(len(text) + text.count(mark) * chars)


def check_str_method(text: str, name: str, args: _Arguments, kwargs: dict[str, Any]) -> None:
    """Before a method of a text."""
    if name in _HARMFUL_METHODS:
        raise LimitError(f"it calls {name} of a text")
    if name in ("ljust", "rjust", "center", "zfill"):
        _check_numbers([*args, *kwargs.values()])
    elif name == "replace":
        _check_replace(text, *args[:2])
    elif name == "join":
        _check_join(args[0] if args else (), text)


def _check_widths(_: Any, *args: Any, **kwargs: Any) -> None:
    _check_numbers((*args, *kwargs.values()))


def _check_indent(text: Any, width: Any = 4, *args: Any, **kwargs: Any) -> None:
    _check_numbers([width, *args, *kwargs.values()])
    longest = len(width) if isinstance(width, str) else MAX_NUMBER
    _check_size(str(text).count("\n") * longest, MAX_CHARS * 10)


def _check_format_filter(text: Any, *args: Any, **kwargs: Any) -> None:
    check_format(str(text), "%", [*args, *kwargs.values()])


def _check_replace(text: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> None:
    text, old, new = str(text), str(old), str(new)
    _check_size(len(text) + text.count(old) * len(new))


def _check_join(items: Any, d: Any = "", *_: Any, **__: Any) -> None:
    if isinstance(items, (*CONTAINERS, str)) and isinstance(d, str):
        _check_size(len(items) * len(d))


def _check_sum(items: Any, attribute: Any = None, start: Any = 0) -> None:
    """A sum of lists copies what it has with each of them."""
    if isinstance(items, CONTAINERS) and not isinstance(start, (int, float)):
        copied = (weight(items) + weight(start) + 1) * ITEMS_A_STEP
        _check_size(len(items) * copied, MAX_CHARS * 10)


def _check_numbers(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            raise LimitError(f"a width or count is larger than {MAX_NUMBER}")


def _check_size(size: int, limit: int = MAX_CHARS) -> None:
    if size > limit:
        raise LimitError("it makes something huge")


FILTER_CHECKS: dict[str, Callable[..., None]] = {
    **dict.fromkeys(
        ("center", "batch", "slice", "tojson", "round", "truncate", "filesizeformat"),
        _check_widths,
    ),
    "indent": _check_indent,
    "format": _check_format_filter,
    "replace": _check_replace,
    "join": _check_join,
    "sum": _check_sum,
}
