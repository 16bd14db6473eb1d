"""Which texts share a batch. Pure: no ctypes, no threads.

Calls take turns, one text each, so that a call of one text does not wait for a call of thousands.
A text longer than a batch is read alone, if need be piece by piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar


class Call:
    """Texts that were asked for together.

    Args:
        texts: token ids, none of them empty.
    """

    def __init__(self, texts: Sequence[Sequence[int]]) -> None:
        assert all(map(len, texts)), "an empty text must be refused before"
        self.texts = texts
        self.n_longest = max(map(len, texts), default=0)
        self.n_taken = 0  # texts[:n_taken] stand in batches

    @property
    def next_text(self) -> Sequence[int]:
        """The first text that stands in no batch yet."""
        return self.texts[self.n_taken]


C = TypeVar("C", bound=Call)


@dataclass(frozen=True)
class Slice(Generic[C]):
    """Tokens ``[start, stop)`` of the text at ``index`` of a call."""

    call: C
    index: int
    start: int
    stop: int

    @property
    def tokens(self) -> Sequence[int]:
        """The token ids."""
        text = self.call.texts[self.index]
        return text if self.stop - self.start == len(text) else text[self.start : self.stop]

    @property
    def is_last(self) -> bool:
        """Whether the text ends with it."""
        return self.stop == len(self.call.texts[self.index])


class Packer(Generic[C]):
    """Texts that wait, of all calls."""

    def __init__(self) -> None:
        self._calls: deque[C] = deque()
        self._unfinished: Slice[C] | None = None  # of a long text; the next batch goes on there

    @property
    def calls(self) -> list[C]:
        """Those of which something is left to read."""
        reading = [self._unfinished.call] if self._unfinished else []
        return [*reading, *(call for call in self._calls if call not in reading)]

    @property
    def longest(self) -> int:
        """Tokens of the longest text of a waiting call."""
        return max((call.n_longest for call in self.calls), default=0)

    @property
    def is_inside_text(self) -> bool:
        """Whether the next batch goes on with a text whose beginning is in memory."""
        return self._unfinished is not None

    def add(self, call: C) -> None:
        """Queue the texts of a call."""
        if call.texts:
            self._calls.append(call)

    def drop(self, call: C) -> None:
        """Forget what is left of a call."""
        if self._unfinished is not None and self._unfinished.call is call:
            self._unfinished = None
        if call in self._calls:
            self._calls.remove(call)

    def next_batch(self, n_tokens: int, n_piece: int, n_seq: int) -> list[Slice[C]]:
        """What is read next: whole texts, or one piece of a long text. Empty if nothing waits.

        Args:
            n_tokens: most tokens of a batch of several texts.
            n_piece: most tokens of a text that is read alone, at least ``n_tokens``.
            n_seq: most texts of a batch.
        """
        if self._unfinished is not None:
            return [self._next_piece(self._unfinished, n_piece)]
        batch: list[Slice[C]] = []
        room = n_tokens
        while self._calls and len(batch) < n_seq:
            length = len(self._calls[0].next_text)
            if length > room:
                break
            batch.append(self._take(length))
            room -= length
        if self._calls and not batch:
            return [self._take(min(n_piece, len(self._calls[0].next_text)))]
        return batch

    def _take(self, n_tokens: int) -> Slice[C]:
        """The beginning of the next text of the call whose turn it is, which goes to the end."""
        call = self._calls.popleft()
        piece = Slice(call, call.n_taken, 0, n_tokens)
        call.n_taken += 1
        if call.n_taken < len(call.texts):
            self._calls.append(call)
        if not piece.is_last:
            self._unfinished = piece
        return piece

    def _next_piece(self, read: Slice[C], n_tokens: int) -> Slice[C]:
        end = min(read.stop + n_tokens, len(read.call.texts[read.index]))
        piece = Slice(read.call, read.index, read.stop, end)
        self._unfinished = None if piece.is_last else piece
        return piece
