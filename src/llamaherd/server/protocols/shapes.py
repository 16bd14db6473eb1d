"""Parts of a request's body, as what they must be. Pure; all raise OptionError with the place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llamaherd.errors import OptionError

JSON = dict[str, Any]


def as_text(place: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise OptionError(place, value, "a string")
    return value


def as_object(place: str, value: Any) -> JSON:
    """An object."""
    if not isinstance(value, dict):
        raise OptionError(place, value, "an object")
    return value


def as_list(place: str, value: Any) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise OptionError(place, value, "a list")
    return value


def as_flag(place: str, value: Any) -> bool:
    """A boolean; null is false."""
    if value is not None and not isinstance(value, bool):
        raise OptionError(place, value, "true or false")
    return bool(value)


def as_count(place: str, value: Any, least: int = 0) -> int:
    """An integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(place, value, f"an integer of at least {least}")
    return value


def objects(place: str, value: Any) -> Iterator[tuple[str, JSON]]:
    """The objects of a list, each with its place."""
    for index, each in enumerate(as_list(place, value)):
        at = f"{place}[{index}]"
        yield at, as_object(at, each)


def kind_of(place: str, value: JSON, default: str | None = None) -> str:
    """The ``type`` of an object."""
    return as_text(f"{place}.type", value.get("type", default))
