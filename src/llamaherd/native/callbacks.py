"""Python functions as C callbacks whose exceptions surface in the caller.

C code cannot unwind a Python exception. The wrapper stores it and returns ``on_error``, which tells
C to stop; :meth:`Callback.reraise` then raises it on the Python side of the native call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any


class Callback:
    """A C callback made from a Python function.

    Keep the object alive as long as native code may call it. One native call at a time may use it.

    Args:
        prototype: the CFUNCTYPE, for instance ``bindings.llama_progress_callback``.
        function: called with the C arguments.
        on_error: returned to C when ``function`` raised.
    """

    def __init__(self, prototype: Any, function: Callable[..., Any], on_error: Any = None) -> None:
        self._error: BaseException | None = None

        def guarded(*args: Any) -> Any:
            try:
                return function(*args)
            except BaseException as error:
                self._error = error
                return on_error

        self.pointer = prototype(guarded)

    def reraise(self) -> None:
        """Raise what the function raised during the last native call, if anything."""
        error, self._error = self._error, None
        if error is not None:
            raise error


class AbortFlag:
    """A flag that stops a running ``llama_decode`` from another thread, without Python's lock.

    llama.cpp asks its abort callback at every graph node, hundreds of times a token; a Python
    callback would take the GIL each time. The C library's ``strlen`` is the callback instead and a
    two-byte buffer its argument: an empty string means go on, one character means stop (the result
    is read as C ``bool``, its lowest byte).
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        strlen = (ctypes.cdll.msvcrt if hasattr(ctypes, "windll") else ctypes.CDLL(None)).strlen
        self.address = ctypes.cast(strlen, ctypes.c_void_p)
        self.argument = ctypes.cast(self._flag, ctypes.c_void_p)

    def set(self) -> None:
        """Stop the running decode at its next graph node."""
        self._flag[0] = b"\x01"

    def clear(self) -> None:
        """Let decoding run again."""
        self._flag[0] = b"\x00"

    @property
    def is_set(self) -> bool:
        """Whether decoding is to stop."""
        return self._flag[0] != b"\x00"
