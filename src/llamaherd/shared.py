"""One loaded model for everyone in the process who asks for the same.

Integrations make many small objects that name a model; the weights and the engine behind them
are loaded once, live as long as somebody holds them, and answer all of them in one batch.
"""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llamaherd.declared import split_options
from llamaherd.llama import Llama
from llamaherd.model.source import model_file
from llamaherd.params import (
    ContextParams,
    MediaParams,
    ModelParams,
    SamplingParams,
)

_Key = tuple[object, ...]

OWN = {
    name: parameter.default
    for name, parameter in inspect.signature(Llama).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
}
"""Options that no class of ``params.py`` declares, with their defaults."""
FILES = ("draft_model", "lora_path", "mmproj", "clip_model_path")
"""Those that name a file, compared by what lies there."""
NOT_COMPARED = ("model", "model_path", "progress", "verbose")
"""Those that leave the loaded model what it is."""


def shared_llama(model: str | os.PathLike[str], **options: Any) -> Llama:
    """The Llama of these options: the one that somebody holds already, or a new one.

    Only weak references are kept, so a Llama that nobody holds any more is closed. Do not close a
    shared one: others may use it (who asks later gets a new one). Threads that ask for the same at
    the same time wait for one load; other models load meanwhile.

    Args:
        model: a path to a GGUF file, or ``"demo"``. Files are compared by resolved path, size and
            time of change.
        options: as for :class:`Llama`. Compared by meaning: an option left out equals its default
            given. ``progress`` and ``verbose`` are heard only by the call that loads.

    Raises:
        LlamaHerdError: as :class:`Llama`.
    """
    key = _key(model, options)
    with _lock:
        turn = _turns.setdefault(key, _Turn())
    with turn.lock:
        found = _loaded.get(key)
        if found is None or found.closed:
            found = _loaded[key] = Llama(model, **options)
        return found


class _Turn:
    """Whose turn it is to load a model; gone when nobody waits for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_lock = threading.Lock()
_turns: weakref.WeakValueDictionary[_Key, _Turn] = weakref.WeakValueDictionary()
_loaded: weakref.WeakValueDictionary[_Key, Llama] = weakref.WeakValueDictionary()


def _key(model: str | os.PathLike[str], options: Mapping[str, Any]) -> _Key:
    """What tells loaded models apart. ``repr`` of checked values, since 1, 1.0 and True differ."""
    declared = {name: value for name, value in options.items() if name not in OWN}
    kinds = ModelParams, ContextParams, MediaParams, SamplingParams
    loading, context, media, sampling = split_options(declared, *kinds, also=tuple(OWN))
    drawn = SamplingParams(**sampling)
    return (
        _stamp(model_file(model)),
        repr(ModelParams(**loading)),
        repr(ContextParams(**context)),
        repr(MediaParams(**media)),
        # Not all of them: what is left out comes from the model's own recommendations.
        *sorted(f"{name}={getattr(drawn, name)!r}" for name in sampling),
        *sorted(
            _compared(name, value) for name, value in options.items() if _is_compared(name, value)
        ),
    )


def _is_compared(name: str, value: object) -> bool:
    return name in OWN and name not in NOT_COMPARED and value != OWN[name]


def _compared(name: str, value: Any) -> tuple[str, str]:
    if name in FILES and isinstance(value, (str, os.PathLike)):
        path = Path(value).expanduser()
        return name, repr(_stamp(path) if path.exists() else path)
    if name == "prompt_cache":
        return name, repr(Path(value).expanduser().resolve())
    if name == "ambient":
        return name, repr(id(value))  # the Llama keeps it
    return name, repr(float(value) if isinstance(value, int) else value)


def _stamp(path: Path) -> _Key:
    """A file at a moment; loading says what is wrong with one that does not exist."""
    found = path.resolve()
    if not found.exists():
        return (str(found),)
    status = found.stat()
    return str(found), status.st_size, status.st_mtime_ns


def _start_anew() -> None:
    """In a forked child: no lock is held, and nothing that was loaded works."""
    global _lock, _turns, _loaded
    _lock = threading.Lock()
    _turns, _loaded = weakref.WeakValueDictionary(), weakref.WeakValueDictionary()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
