"""Find, check and load llama.cpp's shared libraries, once a process and at first use.

Looked for in this order: ``LLAMAHERD_LIBLLAMA`` (a file, or a folder that holds it), the installed
``llama-cpp-python`` distribution (its files are listed without importing it), the system's linker.

Libraries are loaded by their soname (``libllama.so.0``): a wheel holds copies instead of links, and
``libllama.so`` beside ``libllama.so.0`` would be a second llama.cpp in the same process.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamaherd.errors import NativeLibraryError
from llamaherd.native.logs import route_logs

if TYPE_CHECKING:
    from _ctypes import CFuncPtr

ENV = "LLAMAHERD_LIBLLAMA"
DISTRIBUTION = "llama-cpp-python"
SUPPORTED = ((0, 5), (0, 6))
"""llama.cpp versions from the first, below the second."""
REMEDY = (
    f"install the tested build with `pip install 'llamaherd'` (it brings {DISTRIBUTION}), "
    f"or point {ENV} at libllama of llama.cpp >= "
    f"{'.'.join(map(str, SUPPORTED[0]))}, < {'.'.join(map(str, SUPPORTED[1]))}"
)


@dataclass(frozen=True)
class Library:
    """llama.cpp as loaded into this process.

    Attributes:
        path: libllama itself.
        version: what ``llama_version()`` says.
        llama, mtmd: ctypes handles; a symbol of ggml is found through the one that links it.
    """

    path: Path
    version: str
    llama: ctypes.CDLL
    mtmd: ctypes.CDLL | None

    def symbol(self, name: str) -> CFuncPtr | None:
        """The exported function of that name, without a prototype; None if there is none."""
        for library in (self.llama, self.mtmd):
            try:
                if library is not None:
                    return library[name]
            except AttributeError:
                continue
        return None


_lock = threading.Lock()
_loaded: Library | None = None


def library() -> Library:
    """The loaded library; loads it at the first call. Any thread.

    Raises:
        NativeLibraryError: none was found, it does not load, or its version is not supported.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load(find())
        return _loaded


def symbol(name: str) -> CFuncPtr:
    """The exported function ``name``, to be given a prototype.

    Raises:
        NativeLibraryError: the library has no such function.
    """
    loaded = library()
    found = loaded.symbol(name)
    if found is None:
        raise NativeLibraryError(f"{loaded.path} (llama.cpp {loaded.version}) lacks {name}")
    return found


def keeping_the_lock(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A function of its own prototype that is called without letting go of Python's lock.

    For those that return at once and are called often: whoever takes the lock meanwhile makes the
    caller wait for more than the call itself.
    """
    address = ctypes.cast(symbol(name), ctypes.c_void_p).value
    assert address is not None
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


def find() -> Path:
    """Where libllama is, without loading it.

    Raises:
        NativeLibraryError: nowhere; the message lists the places.
    """
    if chosen := os.environ.get(ENV):
        return _from_environment(Path(chosen))
    found = _in_distribution() or _in_system()
    if found is None:
        raise NativeLibraryError(
            f"libllama was found neither in the distribution {DISTRIBUTION} nor in the system's "
            f"library path: {REMEDY}"
        )
    return found


def _from_environment(chosen: Path) -> Path:
    found = _best(chosen.iterdir()) if chosen.is_dir() else chosen if chosen.is_file() else None
    if found is None:
        raise NativeLibraryError(f"{ENV}={chosen} is neither libllama nor a folder that holds it")
    return found


def distribution_files(folder: str) -> list[Path]:
    """Files of the installed llama-cpp-python under ``folder`` (``lib``, ``include``), or none."""
    import importlib.metadata  # takes 25 ms to import; a library named by the user does without

    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(f.locate())) for f in files if f.parts[-2:-1] == (folder,)]


def _in_distribution() -> Path | None:
    return _best(f for f in distribution_files("lib") if f.parent.parent.name != "llama_cpp") or (
        _best(distribution_files("lib"))
    )


def _in_system() -> Path | None:
    name = ctypes.util.find_library("llama")
    return Path(name) if name else None


_PATTERNS = {
    "linux": r"libllama\.so(\.\d+)?",
    "darwin": r"libllama(\.\d+)?\.dylib",
    "win32": r"(lib)?llama\.dll",
}


def _best(files: Iterable[Path]) -> Path | None:
    """Of the names that libllama goes by, the soname (one number) before the plain one."""
    pattern = re.compile(_PATTERNS.get(sys.platform, _PATTERNS["linux"]))
    named = [f for f in files if pattern.fullmatch(f.name) and f.is_file()]
    return max(named, key=lambda f: len(f.name), default=None)


def _load(path: Path) -> Library:
    llama = _open(path)
    version = _version(llama, path)
    loaded = Library(path, version, llama, _open_mtmd(path))
    route_logs(llama, "llama_log_set")  # sets ggml's as well
    if loaded.mtmd is not None:
        route_logs(loaded.mtmd, "mtmd_log_set")
        route_logs(loaded.mtmd, "mtmd_helper_log_set")
    _init_backends(loaded)
    return loaded


def _open(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(os.fspath(path))
    except OSError as error:
        raise NativeLibraryError(f"{path} does not load: {error}. To mend it, {REMEDY}") from error


def _open_mtmd(llama: Path) -> ctypes.CDLL | None:
    path = llama.with_name(llama.name.replace("llama", "mtmd"))
    return _open(path) if path.is_file() else None


def _version(llama: ctypes.CDLL, path: Path) -> str:
    try:
        function = llama.llama_version
    except AttributeError:
        text = "older than 0.5 (it has no llama_version)"
    else:
        function.restype = ctypes.c_char_p
        text = str(function(), "ascii")
        numbers = tuple(map(int, re.findall(r"\d+", text)[:2]))
        if SUPPORTED[0] <= numbers < SUPPORTED[1]:
            return text
    raise NativeLibraryError(f"{path} is llama.cpp {text}, which is not supported: {REMEDY}")


def _init_backends(loaded: Library) -> None:
    """Initialise ggml; builds with separate backend files load those beside libllama."""
    loaded.llama.ggml_backend_reg_count.restype = ctypes.c_size_t
    if not loaded.llama.ggml_backend_reg_count():
        load_all = loaded.llama.ggml_backend_load_all_from_path
        load_all.argtypes, load_all.restype = [ctypes.c_char_p], None
        load_all(os.fsencode(loaded.path.parent))
    loaded.llama.llama_backend_init.restype = None
    loaded.llama.llama_backend_init()
