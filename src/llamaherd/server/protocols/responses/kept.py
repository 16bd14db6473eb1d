"""Responses that later requests may go on from, in memory. Pure; one thread."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """One of them.

    Attributes:
        owner: who may see it.
        response: as it was sent.
        earlier: the items before its input, of the responses that it goes on from.
        given: the items of its input.
    """

    owner: str
    response: JSON
    earlier: Sequence[JSON]
    given: Sequence[JSON]

    @property
    def items(self) -> list[JSON]:
        """The whole conversation, up to its end."""
        return [*self.earlier, *self.given, *self.response["output"]]


class KeptResponses:
    """The latest responses; the oldest make room.

    Args:
        most: of them.
        most_bytes: of their inputs and outputs as JSON, each counted once.
    """

    def __init__(self, most: int = 1024, most_bytes: int = 64 << 20) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, tuple[Kept, int]] = OrderedDict()
        self._n_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, kept: Kept) -> None:
        """Keep one."""
        size = len(json.dumps([kept.given, kept.response]))
        self._kept[kept.response["id"]] = kept, size
        self._n_bytes += size
        while len(self._kept) > self._most or self._n_bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def get(self, name: str, owner: str) -> Kept | None:
        """One of somebody's, if it is still there."""
        kept, _ = self._kept.get(name, (None, 0))
        return kept if kept is not None and kept.owner == owner else None

    def remove(self, name: str, owner: str) -> bool:
        """Forget one; whether it was there."""
        if self.get(name, owner) is None:
            return False
        self._drop(name)
        return True

    def _drop(self, name: str) -> None:
        _, size = self._kept.pop(name)
        self._n_bytes -= size
