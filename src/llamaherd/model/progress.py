"""A progress bar for slow loads, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 0.5  # loads shorter than this show nothing


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None] | None]:
    """Yield a function to call with the fraction done, or None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    bar = _LateBar(title)
    try:
        yield bar.update
    finally:
        bar.stop()


class _LateBar:
    """A Rich bar on stderr that appears once the work has taken :data:`PATIENCE_S`."""

    def __init__(self, title: str) -> None:
        self._title, self._start = title, time.monotonic()
        self._progress: Any = None

    def update(self, fraction: float) -> None:
        if self._progress is None:
            if time.monotonic() - self._start < PATIENCE_S:
                return
            self._show()
        self._progress.update(self._task, completed=fraction)

    def _show(self) -> None:
        from rich.console import Console  # Rich takes 50 ms to import: only when it is needed
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(self._title, total=1.0)
        self._progress.start()

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
