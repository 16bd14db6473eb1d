"""An answer as blocks that follow one another: thoughts, text, calls. Pure.

OpenAI's deltas may hold several of these at once; Anthropic's, the Responses API's and Ollama's
streams tell of one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

JSON = dict[str, Any]
Kind = Literal["thinking", "text", "call"]
Moment = Literal["start", "delta", "stop"]


@dataclass
class Block:
    """One of them.

    Attributes:
        index: its number in the answer.
        text: all of it so far; of a call, its arguments as JSON.
        call_id, name: of a call.
        call_index: the number of a call among the calls.
    """

    kind: Kind
    index: int
    text: str = ""
    call_id: str = ""
    name: str = ""
    call_index: int = -1

    @property
    def arguments(self) -> JSON | None:
        """Of a call; None: they were cut off."""
        try:
            return json.loads(self.text or "{}")  # type: ignore[no-any-return]
        except ValueError:
            return None


Event = tuple[Moment, Block, str]
"""What happens to a block; with "delta" the text that it grows by."""


class Blocks:
    """Cuts deltas into blocks."""

    def __init__(self) -> None:
        self.all: list[Block] = []
        self._open: Block | None = None

    def feed(self, delta: JSON) -> Iterator[Event]:
        """What a delta, or a whole message, does."""
        if thoughts := delta.get("reasoning_content"):
            yield from self._grow("thinking", thoughts)
        if text := delta.get("content"):
            yield from self._grow("text", text)
        for number, call in enumerate(delta.get("tool_calls") or ()):
            yield from self._call(call.get("index", number), call)

    def finish(self) -> Iterator[Event]:
        """The end of the block that is still open."""
        block, self._open = self._open, None
        if block is not None:
            yield "stop", block, ""

    def _grow(self, kind: Kind, text: str) -> Iterator[Event]:
        if self._open is None or self._open.kind != kind:
            yield from self._begin(Block(kind, len(self.all)))
        yield from self._add(text)

    def _call(self, number: int, call: JSON) -> Iterator[Event]:
        function = call["function"]
        if self._open is None or self._open.call_index != number:
            made = Block("call", len(self.all), "", call["id"], function["name"], number)
            yield from self._begin(made)
        if arguments := function.get("arguments"):
            yield from self._add(arguments)

    def _begin(self, block: Block) -> Iterator[Event]:
        yield from self.finish()
        self._open = block
        self.all.append(block)
        yield "start", block, ""

    def _add(self, text: str) -> Iterator[Event]:
        assert self._open is not None
        self._open.text += text
        yield "delta", self._open, text
