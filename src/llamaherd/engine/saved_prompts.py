"""Files that hold what a model remembers of a prompt.

NumPy's ``.npz`` (an uncompressed zip, whose checksums find damage) of ``tokens`` (int32), ``state``
(the bytes of llama_state_seq_get_data) and ``made_by`` (what the state depends on: model, adapters,
llama.cpp, cache). The name of a file is the SHA-256 of ``made_by`` and the tokens, so a folder
holds each prompt once. llama.cpp trusts the bytes: load only what you or your programs saved.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from llamaherd.engine.request import AdapterKey, StateEvent
from llamaherd.engine.snapshots import Snapshot
from llamaherd.errors import SavedPromptError

SUFFIX = ".prompt.npz"


def file_name(made_by: str, tokens: tuple[int, ...]) -> str:
    """The content's name."""
    ids = np.asarray(tokens, dtype="<i4").tobytes()
    return hashlib.sha256(made_by.encode() + b"\n" + ids).hexdigest() + SUFFIX


def save(path: Path, made_by: str, event: StateEvent) -> None:
    """Write a file; another process sees it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                tokens=np.asarray(event.tokens, dtype="<i4"),
                state=np.frombuffer(event.state, dtype=np.uint8),
                made_by=np.asarray(made_by),
            )
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def load(path: Path, made_by: str, key: AdapterKey) -> Snapshot:
    """Read a file.

    Raises:
        SavedPromptError: it is missing, damaged, or made by another model, adapter, cache type or
            version of llama.cpp.
    """
    try:
        _refuse_compressed(path)
        with np.load(path, allow_pickle=False) as found:
            maker = str(found["made_by"])
            if maker != made_by:
                raise SavedPromptError(path, f"made by {maker}, and this is {made_by}")
            tokens, state = found["tokens"], found["state"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SavedPromptError(path, f"not a saved prompt, or damaged ({error})") from None
    return Snapshot(_tokens(path, tokens), key, state.tobytes())


def _refuse_compressed(path: Path) -> None:
    """A small file must not unpack to something enormous."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise SavedPromptError(path, "compressed, which saved prompts never are")


def _tokens(path: Path, tokens: np.ndarray[Any, Any]) -> tuple[int, ...]:
    if tokens.dtype != np.dtype("<i4") or tokens.ndim != 1 or not tokens.size:
        raise SavedPromptError(path, "its tokens are no list of ids")
    return tuple(int(token) for token in tokens)
