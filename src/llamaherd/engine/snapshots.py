"""Saved states of sequences, kept within a budget of bytes. Pure.

Memory that cannot be cut back to any position (recurrent, hybrid, sliding window) is reused through
snapshots: a state saved where prompts part is restored for the next prompt that comes that far. A
prefix that was saved to a file (``saved_prompts.py``) becomes a snapshot too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a sequence held.

    Attributes:
        tokens: which tokens.
        key: with which adapters they were read.
        state: llama.cpp's copy of the cells or the recurrent state.
    """

    tokens: tuple[int, ...]
    key: Hashable
    state: bytes


class Snapshots:
    """The least recently used go first. Engine's thread only.

    Args:
        max_bytes: that all states together may take.

    Attributes:
        n_bytes: what they take.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._found: OrderedDict[tuple[Hashable, tuple[int, ...]], Snapshot] = OrderedDict()
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._found)

    def add(self, snapshot: Snapshot) -> None:
        """Keep a state; one larger than the whole budget is not kept."""
        name = snapshot.key, snapshot.tokens
        if (old := self._found.pop(name, None)) is not None:
            self.n_bytes -= len(old.state)
        self._found[name] = snapshot
        self.n_bytes += len(snapshot.state)
        while self.n_bytes > self._max_bytes:
            _, oldest = self._found.popitem(last=False)
            self.n_bytes -= len(oldest.state)

    def longest(self, tokens: Sequence[int], key: Hashable, most: int) -> Snapshot | None:
        """The longest one of up to ``most`` tokens that ``tokens`` begin with."""
        for n in sorted({len(held) for _, held in self._found if len(held) <= most}, reverse=True):
            name = key, tuple(tokens[:n])
            if name in self._found:
                self._found.move_to_end(name)
                return self._found[name]
        return None

    def clear(self) -> None:
        """Keep nothing."""
        self._found.clear()
        self.n_bytes = 0
