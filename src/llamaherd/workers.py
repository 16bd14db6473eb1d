"""Threads that own native objects: joined at exit, given up in a forked child.

A daemon thread inside native code would outlive the modules it uses, so it is joined before the
interpreter is taken down. In a child process the thread stayed behind, so nothing may wait for it.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol

FORKED = "the model was loaded before this process was forked: load it in the child"


class Worker(Protocol):
    """Who owns such a thread."""

    def close(self) -> None:
        """End and join the thread."""

    def abandon(self, why: str) -> None:
        """Be closed without waiting for the thread or freeing anything; say ``why`` if used."""


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
