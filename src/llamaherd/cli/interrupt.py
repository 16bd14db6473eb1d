"""What Ctrl-C does while something must not be torn apart."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C call ``act``; a second one raises KeyboardInterrupt.

    What runs is not torn apart: an answer's last chunk still arrives, native code returns. Only
    the main thread can do this; others change nothing, nor does a process that was started to
    ignore Ctrl-C.
    """
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        act()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
