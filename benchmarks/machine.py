"""What every benchmark prints first, and how ratios are formed."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence

from llamaherd import __version__
from llamaherd.model.memory import physical_cores
from llamaherd.native.library import library


def headline() -> str:
    """Machine, threads and versions."""
    return (
        f"{cpu_name()}, {physical_cores()} cores · Python {platform.python_version()} · "
        f"llama.cpp {library().version} · llamaherd {__version__}"
    )


def cpu_name() -> str:
    """The processor as Linux names it, else as Python does."""
    try:
        with open("/proc/cpuinfo") as lines:
            found = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        found = []
    return found[0] if found else platform.processor() or platform.machine()


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Our rate over theirs: the median over pairs that were measured one after the other."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
