"""What a template may do before it is stopped, and what its values weigh.

A *step* is about a microsecond of work. Whatever may take longer than that pays for it in steps:
by the length of a text or container where it is only touched (:func:`size`), by all it holds where
something will go through all of it (:func:`weight`): to write it, to compare it, to hash it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import GeneratorType
from typing import Any

import jinja2
from jinja2.nodes import EvalContext
from jinja2.runtime import Macro, Undefined
from jinja2.utils import Namespace

MAX_SECONDS = 3.0
MAX_STEPS = 4_000_000
MAX_CHARS = 16_000_000  # of any text
MAX_ITEMS = 500_000  # of any container, and of all it holds where it is gone through
MAX_NUMBER = 10_000  # as an argument of a filter or method: a width, a count
MAX_BITS = 4096  # of an integer
MAX_SOURCE_CHARS = 500_000
MAX_NODES = 50_000  # of its syntax tree

CHARS_A_STEP = 128  # so that all texts ever made hold at most MAX_STEPS times this
ITEMS_A_STEP = 8
_STEPS_BETWEEN_LOOKS = 500

_NOTHING: dict[Any, Any] = {}
_VIEWS = (type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))
CONTAINERS = (list, tuple, dict, *_VIEWS, set, frozenset)
SMALL = frozenset({float, bool, type(None), Undefined, Macro, EvalContext})
HOLDERS = (*CONTAINERS, Namespace)  # what may hold other values, and is written with them


class LimitError(jinja2.TemplateRuntimeError):
    """A template did more than a template needs to."""


class Budget:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self.steps, self.ends_at = MAX_STEPS, time.monotonic() + MAX_SECONDS
        self.next_look = self.steps

    def look(self) -> None:
        """Whether there is any left; the clock is looked at every few steps."""
        self.next_look = self.steps - _STEPS_BETWEEN_LOOKS
        if self.steps < 0:
            raise LimitError(f"it takes more than {MAX_STEPS} steps")
        if time.monotonic() > self.ends_at:
            raise LimitError(f"it takes more than {MAX_SECONDS:g} s")


def cost(values: Iterable[Any], measure: Callable[[Any], int] | None = None) -> int:
    """The steps that arguments cost together: by ``measure``, or by weight."""
    steps = 0
    for value in values:
        kind = type(value)
        if kind is str:
            steps += len(value) // CHARS_A_STEP
        elif kind not in SMALL:
            steps += (measure or weight)(value)
    return steps


def size(value: Any) -> int:
    """The steps that ``value`` costs without looking inside, if it is not too large."""
    if isinstance(value, str):
        return chars_cost(len(value))
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise LimitError(f"a number has more than {MAX_BITS} bits")
    elif isinstance(value, CONTAINERS):
        if len(value) > MAX_ITEMS:
            raise LimitError(f"a list has more than {MAX_ITEMS} items")
        return len(value) // ITEMS_A_STEP
    elif isinstance(value, range):
        return len(value) // ITEMS_A_STEP
    return 0


def chars_cost(count: int) -> int:
    """The steps that a text of ``count`` characters costs, if it is not too long."""
    if count > MAX_CHARS:
        raise LimitError(f"a text is longer than {MAX_CHARS} characters")
    return count // CHARS_A_STEP


def weight(value: Any) -> int:
    """The steps that it takes to go through all of ``value``, what it holds twice twice."""
    if not isinstance(value, HOLDERS):
        return size(value)
    items = chars = 0
    todo: list[Any] = [value]
    while todo:
        found = _held(todo.pop())
        items += len(found)
        for item in found:
            if isinstance(item, str):
                chars += len(item)
            elif isinstance(item, HOLDERS):
                todo.append(item)
        if items > MAX_ITEMS or chars > MAX_CHARS:
            raise LimitError(f"a list holds more than {MAX_ITEMS} items or too much text")
    return items // ITEMS_A_STEP + chars // CHARS_A_STEP


def _held(holder: Any) -> Any:
    if isinstance(holder, Namespace):
        holder = holder._Namespace__attrs
    return [*holder, *holder.values()] if isinstance(holder, dict) else holder


def listed(items: Any) -> list[Any]:
    """The items of something that may not end."""
    found = []
    for item in items:
        found.append(item)
        if len(found) > MAX_ITEMS:
            raise LimitError(f"a loop goes over more than {MAX_ITEMS} items")
    return found


def materialised(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same values, generators as lists: what is not made yet cannot be measured."""
    for value in values:
        if type(value) is GeneratorType:
            return tuple(listed(v) if isinstance(v, GeneratorType) else v for v in values)
    return values
