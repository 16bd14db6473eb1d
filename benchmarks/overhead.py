"""The processor time that a wrapper takes beside what it wraps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from statistics import median


def seconds(run: Callable[[], object]) -> float:
    """Processor time of this thread."""
    start = time.thread_time()
    run()
    return time.thread_time() - start


def exhausted(stream: Iterable[object]) -> None:
    """Read to the end."""
    for _ in stream:
        pass


def compare(ours: Callable[[], object], bare: Callable[[], object], n: int) -> float:
    """The median of the differences in seconds, the first of each left out."""
    pairs = [(seconds(bare), seconds(ours)) for _ in range(n + 1)][1:]
    return median(wrapped - plain for plain, wrapped in pairs)
