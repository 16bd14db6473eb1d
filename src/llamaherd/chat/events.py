"""What a parsed answer consists of, in the order in which it becomes known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ContentDelta:
    """More of the text meant for the user."""

    text: str


@dataclass(frozen=True)
class ReasoningDelta:
    """More of the model's thoughts."""

    text: str


@dataclass(frozen=True)
class CallStart:
    """A call of a known tool begins; ``id`` is None where the model writes none before it."""

    index: int
    name: str
    id: str | None


@dataclass(frozen=True)
class CallArguments:
    """More of a call's arguments, as JSON text."""

    index: int
    text: str


@dataclass(frozen=True)
class CallEnd:
    """A call is complete, and its arguments are a JSON object."""

    index: int


@dataclass(frozen=True)
class CallBroken:
    """A call that had begun is none; its text follows as content."""

    index: int
    note: str


@dataclass(frozen=True)
class Note:
    """Text that began like a call and is not one; it comes as content."""

    note: str


Event = ContentDelta | ReasoningDelta | CallStart | CallArguments | CallEnd | CallBroken | Note
