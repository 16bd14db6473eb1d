"""Load llamaherd-kernels, the ggml plugin with faster matrix products, where it is of use.

A plugin registers once for the whole process and must do so before the first model is loaded.
Looked for in this order: ``LLAMAHERD_KERNELS`` (the plugin's file, or ``off``), the installed
package ``llamaherd_kernels`` (its folder is looked up without importing it).
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import platform
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llamaherd.native.library import library

ENV = "LLAMAHERD_KERNELS"
PACKAGE = "llamaherd_kernels"
FILE = "libggml-herd.so"


@dataclass(frozen=True)
class Kernels:
    """The plugin as this process has it.

    Attributes:
        path: its file, if there is one.
        instructions: the instruction set in use; None: the plugin is not.
        reason: why it is not in use; None: it is.
        failed: weight types that ggml computes because a self-test went wrong.
    """

    path: Path | None
    instructions: str | None = None
    reason: str | None = None
    failed: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Whether models get packed weights."""
        return self.reason is None

    def __str__(self) -> str:
        if self.reason is not None:
            return f"not used: {self.reason}"
        left = f"; failed the self-test and left to llama.cpp: {', '.join(self.failed)}"
        return f"{self.instructions}{left if self.failed else ''}"


_lock = threading.Lock()
_status: Kernels | None = None
_plugin: ctypes.CDLL | None = None


def status() -> Kernels:
    """Whether the plugin is in use; loads it at the first call. Any thread.

    Raises:
        NativeLibraryError: there is no usable llama.cpp.
    """
    global _status
    with _lock:
        if _status is None:
            _status = _load()
        return _status


def loaded() -> bool:
    """Whether the plugin was asked for and is in use; loads nothing."""
    return _status is not None and _status.active


def packed_bytes() -> int:
    """Memory of the packed weights of all models of this process; loads nothing."""
    return int(_plugin.llamaherd_kernels_bytes()) if loaded() and _plugin is not None else 0


def packed_size(name: str, kind: int, shape: Sequence[int]) -> int:
    """Bytes that a weight will take packed; 0: it stays as it is. Loads the plugin. Any thread.

    Args:
        name: the tensor's name.
        kind: its type (enum ggml_type).
        shape: its dimensions, the length of a row first.

    Raises:
        NativeLibraryError: there is no usable llama.cpp.
    """
    if not status().active or _plugin is None:
        return 0
    k, rows, *others = (*shape, 1)[: max(2, len(shape))]
    slices = math.prod(others)
    return int(_plugin.llamaherd_kernels_packed_size(name.encode(), kind, k, rows, slices))


@contextmanager
def choice(wanted: str) -> Iterator[None]:
    """Models loaded on this thread meanwhile have packed weights, or with ``"off"`` none."""
    if wanted == "off" and _status is None:
        yield  # nothing was loaded, and nothing has to be
        return
    if not status().active or _plugin is None:
        yield
        return
    before = _plugin.llamaherd_kernels_enable(wanted != "off")
    try:
        yield
    finally:
        _plugin.llamaherd_kernels_enable(before)


def _find() -> Path | None:
    if chosen := os.environ.get(ENV):
        return Path(chosen)
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders))) / FILE if folders else None


def _load() -> Kernels:
    global _plugin
    if os.environ.get(ENV) == "off":
        return Kernels(None, reason=f"{ENV}=off")
    path = _find()
    if path is None:
        about = (
            "" if platform.machine() in ("x86_64", "AMD64") else f" (not for {platform.machine()})"
        )
        return Kernels(None, reason=f"llamaherd-kernels is not installed{about}")
    try:
        _plugin = _declared(ctypes.CDLL(os.fspath(path)))
    except OSError as error:
        return Kernels(path, reason=f"it does not load: {error}")
    except AttributeError as error:
        return Kernels(path, reason=f"of another version than this llamaherd: {error}")
    found = _plugin.llamaherd_kernels_instructions()
    if found is None:
        return Kernels(path, reason="no kernels for this CPU: AVX2, FMA and F16C are needed")
    if not _register(path):
        refusal = _plugin.llamaherd_kernels_refusal().decode()
        return Kernels(path, reason=refusal or "llama.cpp refused it")
    failed = _plugin.llamaherd_kernels_failed().decode().split()
    return Kernels(path, found.decode(), failed=tuple(failed))


def _declared(plugin: ctypes.CDLL) -> ctypes.CDLL:
    for word in ("instructions", "refusal", "failed"):
        getattr(plugin, f"llamaherd_kernels_{word}").restype = ctypes.c_char_p
    plugin.llamaherd_kernels_bytes.restype = ctypes.c_size_t
    plugin.llamaherd_kernels_packed_size.restype = ctypes.c_size_t
    name, kind, size = ctypes.c_char_p, ctypes.c_int32, ctypes.c_int64
    plugin.llamaherd_kernels_packed_size.argtypes = [name, kind, size, size, size]
    plugin.llamaherd_kernels_enable.restype = ctypes.c_bool
    plugin.llamaherd_kernels_enable.argtypes = [ctypes.c_bool]
    return plugin


def _register(path: Path) -> bool:
    """Load through llama.cpp's own registry; loading it a second time changes nothing."""
    load = library().llama.ggml_backend_load
    load.argtypes, load.restype = [ctypes.c_char_p], ctypes.c_void_p
    return bool(load(os.fsencode(path)))
