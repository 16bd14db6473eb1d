"""The threads that GNU's OpenMP keeps for each thread that has computed.

While such a team has nothing to do, its members spin for some milliseconds, so that the next
operation finds them awake. But libgomp counts the members of all teams of the process, and once
they are more than the cores, all of them sleep at once instead and every operation first has to
wake them: a model that was loaded by one thread and computes on another runs at two thirds of its
speed. So whoever has nothing to compute for a while lets its team go.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

from llamaherd.native.library import library

_SOFT = 1  # omp_pause_soft: what the program declared survives, OpenMP 5.0, section 3.2.45


def let_team_go() -> None:
    """End the threads that wait for this one; they are made anew when it computes again.

    Takes a tenth of a millisecond. Without GNU's OpenMP it does nothing.
    """
    pause = _pause()
    if pause is not None:
        pause(_SOFT)


@functools.cache
def _pause() -> Callable[[int], int] | None:
    found = library().symbol("omp_pause_resource_all")
    # LLVM's runtime has the function as well, but would stop the threads of everybody.
    if found is None or library().symbol("__kmpc_fork_call") is not None:
        return None
    found.argtypes, found.restype = [ctypes.c_int], ctypes.c_int
    return found
