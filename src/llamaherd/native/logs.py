"""llama.cpp's log lines go to ``logging.getLogger("llamaherd.native")``, never to the screen.

ggml may log from any thread; ctypes takes the GIL around the callback. The last lines are kept,
so that an error can say what native code said before it gave up.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("llamaherd.native")
logging.getLogger("llamaherd").addHandler(logging.NullHandler())  # silence logging.lastResort

# ggml.h: enum ggml_log_level. CONT (5) goes on with the line before it, at that line's level.
_CONT = 5
_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}

_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class _LogRouter:
    """Joins pieces into lines and passes them on. Called with the GIL, from any thread."""

    def __init__(self) -> None:
        self.recent: deque[str] = deque(maxlen=64)
        self.error: BaseException | None = None
        self._level = logging.INFO
        self._line = ""

    def __call__(self, level: int, text: bytes, _user_data: object) -> None:
        try:
            self._take(level, text)
        except BaseException as error:  # Ctrl-C, or a handler of the user's: C cannot unwind it
            self.error = error

    def _take(self, level: int, text: bytes) -> None:
        if level != _CONT:
            self._flush()
            self._level = _LEVELS.get(level, logging.INFO)
        self._line += text.decode("utf-8", "replace")
        if self._line.endswith("\n"):
            self._flush()

    def _flush(self) -> None:
        line, self._line = self._line.strip(), ""
        if not line:
            return
        if self._level >= logging.WARNING:
            self.recent.append(line)
        expected = getattr(_thread, "expected", None)
        logger.log(logging.DEBUG if expected and expected() else self._level, "%s", line)


_router = _LogRouter()
_thread = threading.local()
_callback = _LogCallback(_router)  # lives as long as the process: native code keeps the pointer


def route_logs(library: ctypes.CDLL, setter: str) -> None:
    """Make a library log through Python from now on, by its function of that name."""
    function = library[setter]
    function.argtypes, function.restype = [_LogCallback, ctypes.c_void_p], None
    function(_callback, None)


def expect_while(condition: Callable[[], bool]) -> None:
    """While this holds, what native code complains of on this thread was wanted: log as DEBUG."""
    _thread.expected = condition


forget_recent: Callable[[], None] = _router.recent.clear
"""Drop the remembered lines, before a call whose complaints matter. Called at every step."""


def reraise() -> None:
    """Raise what interrupted a log callback since the last time, for instance Ctrl-C."""
    error, _router.error = _router.error, None
    if error is not None:
        raise error


def recent_complaints() -> str:
    """Native warnings and errors since :func:`forget_recent`, joined into one line."""
    return "; ".join(dict.fromkeys(_router.recent))
