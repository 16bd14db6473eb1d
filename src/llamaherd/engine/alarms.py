"""Deadlines: one thread an engine that acts at given moments, started by the first."""

from __future__ import annotations

import heapq
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Alarms(Generic[_T]):
    """Calls ``action(subject)`` when a moment has come, if the subject still exists. Any thread.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._closed = clock, False
        self._changed = threading.Condition()
        self._numbers = itertools.count()  # two of the same moment go in order of arrival
        self._due: list[tuple[float, int, weakref.ref[_T], Callable[[_T], None]]] = []
        self._thread: threading.Thread | None = None

    def set(self, moment: float, subject: _T, action: Callable[[_T], None]) -> None:
        """Act at ``moment``."""
        with self._changed:
            entry = moment, next(self._numbers), weakref.ref(subject), action
            heapq.heappush(self._due, entry)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._work, name="llamaherd-deadlines", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Forget all of them and let the thread end."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()

    def _work(self) -> None:
        while (entry := self._next_due()) is not None:
            subject, action = entry[2](), entry[3]
            if subject is not None:
                action(subject)
            del subject

    def _next_due(self) -> tuple[float, int, weakref.ref[_T], Callable[[_T], None]] | None:
        with self._changed:
            while not self._closed:
                wait_s = self._due[0][0] - self._clock() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._due)
                self._changed.wait(wait_s)
        return None
