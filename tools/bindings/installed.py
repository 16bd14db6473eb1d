"""Where the headers, the libraries and the C compiler's own headers are.

llama-cpp-python's files are listed, its Python code is never imported.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

DISTRIBUTION = "llama-cpp-python"
HEADERS = (
    "ggml.h",
    "ggml-alloc.h",
    "ggml-backend.h",
    "ggml-cpu.h",
    "ggml-opt.h",
    "gguf.h",
    "llama.h",
    "mtmd.h",
    "mtmd-helper.h",
)
# In the order in which they depend on each other.
LIBRARIES = ("ggml-base", "ggml-cpu", "ggml", "llama", "mtmd")


class NotFoundError(Exception):
    """Something the generator needs is not installed; the message says what and how to mend it."""


def include_dir() -> Path:
    """The folder of llama.h in the installed distribution."""
    return _located("llama.h").parent


def library_dir() -> Path:
    """The folder of libllama in the installed distribution."""
    return _located(*_file_names("llama")).parent


def missing_headers(include: Path) -> list[str]:
    return [name for name in HEADERS if not (include / name).is_file()]


def load_libraries(folder: Path) -> list[ctypes.CDLL]:
    """Those of LIBRARIES that `folder` has, loaded."""
    found = []
    for name in LIBRARIES:
        paths = [folder / file for file in _file_names(name) if (folder / file).exists()]
        if paths:
            found.append(ctypes.CDLL(str(paths[0]), mode=ctypes.RTLD_GLOBAL))
    if not found:
        raise NotFoundError(f"no llama.cpp library in {folder}; give its folder with --library")
    return found


def exported(libraries: list[ctypes.CDLL], name: str) -> bool:
    return any(hasattr(library, name) for library in libraries)


def version(libraries: list[ctypes.CDLL]) -> str:
    """What llama_version() says."""
    for library in libraries:
        if hasattr(library, "llama_version"):
            library.llama_version.restype = ctypes.c_char_p
            return str(library.llama_version().decode())
    raise NotFoundError(
        "none of the libraries has llama_version(); is this llama.cpp older than 0.5?"
    )


def compiler() -> str:
    """The C compiler's command: $CC, else cc, gcc or clang."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    raise NotFoundError(
        "no C compiler: install gcc or clang, or name one in CC (its stddef.h is needed)"
    )


def system_includes() -> list[str]:
    """Where the C compiler finds <stddef.h> and the like; libclang's wheel brings none."""
    command = [compiler(), "-E", "-v", "-x", "c", os.devnull]
    environment = {**os.environ, "LC_ALL": "C"}
    printed = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stderr
    lines = iter(printed.splitlines())
    for line in lines:
        if line.startswith("#include <...>"):
            break
    folders = []
    for line in lines:
        if not line.startswith(" "):
            break
        folders.append(line.removesuffix(" (framework directory)").strip())
    return folders


def _file_names(library: str) -> tuple[str, ...]:
    return f"lib{library}.so", f"lib{library}.dylib", f"{library}.dll", f"lib{library}.dll"


def _located(*names: str) -> Path:
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        raise NotFoundError(
            f"{DISTRIBUTION} is not installed: pip install {DISTRIBUTION}"
        ) from None
    for file in files:
        if file.name in names and Path(str(file.locate())).is_file():
            return Path(str(file.locate()))
    raise NotFoundError(
        f"the installed {DISTRIBUTION} has no {' or '.join(names)}; use --include and --library"
    )
