"""Threads that own native objects: joined at exit, given up in a forked child.

A daemon thread inside native code would outlive the modules it uses, so it is joined before the
interpreter is taken down. In a child process the thread stayed behind, so nothing may wait for it.
"""

from __future__ import annotations

import atexit
import os
import queue
import weakref
from collections.abc import Callable
from typing import Protocol

FORKED = "the model was loaded before this process was forked: load it in the child"
RESTS_AFTER_S = 0.02
"""A worker without work rests after so long: one who is asked again and again never does."""


class Worker(Protocol):
    """Who owns such a thread."""

    def close(self) -> None:
        """End and join the thread."""

    def abandon(self, why: str) -> None:
        """Be closed without waiting for the thread or freeing anything; say ``why`` if used."""


class Inbox:
    """What a worker's thread is told to do. Any thread puts in, the worker's takes out."""

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def put(self, command: Callable[[], None]) -> None:
        """Have it carried out between two steps."""
        self._commands.put(command)

    def __len__(self) -> int:
        return self._commands.qsize()

    def carry_out(self) -> None:
        """All that has come."""
        while not self._commands.empty():
            self._commands.get()()

    def wait(self, rest: Callable[[], None]) -> None:
        """Until something has come, and carry it out; ``rest`` if that takes a while."""
        try:
            command = self._commands.get(timeout=RESTS_AFTER_S)
        except queue.Empty:
            rest()
            command = self._commands.get()
        command()
        self.carry_out()


_OPEN: weakref.WeakSet[Worker] = weakref.WeakSet()


def track(worker: Worker) -> None:
    """Look after a worker as long as it exists."""
    _OPEN.add(worker)


def _close_all() -> None:
    for worker in list(_OPEN):
        worker.close()


def _abandon_all() -> None:
    for worker in list(_OPEN):
        worker.abandon(FORKED)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
