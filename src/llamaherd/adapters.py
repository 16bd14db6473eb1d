"""The LoRA adapters of one model, by name."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llamaherd.engine import AdapterKey
from llamaherd.errors import OptionError
from llamaherd.model import Model
from llamaherd.model.fingerprint import fingerprint

DEFAULT = "default"
"""Name of the adapter that ``lora_path`` loads."""


class Adapters:
    """Loads adapters and finds them by name. Any thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._loaded: dict[str, tuple[Any, str]] = {}
        self.default: AdapterKey = ()

    def load(self, name: str, path: str | os.PathLike[str]) -> None:
        """Load a file under a name of its own.

        Raises:
            ModelLoadError: the file is missing, damaged, or made for another model.
            OptionError: the name is taken.
        """
        with self._lock:
            if name in self._loaded:
                raise OptionError("name", name, f"another one: {sorted(self._loaded)} are loaded")
            handle = self._model.load_adapter(path)
            self._loaded[name] = handle, fingerprint(Path(path).expanduser())

    def key(self, scales: Mapping[str, float] | None) -> AdapterKey:
        """What a request's tokens are computed with; None: the default.

        Raises:
            OptionError: a name that was not loaded, or a scale that is no finite number.
        """
        if scales is None:
            return self.default
        unknown = [name for name in scales if name not in self._loaded]
        if unknown:
            raise OptionError("lora", unknown[0], f"one of the loaded: {sorted(self._loaded)}")
        for name, scale in scales.items():
            if not isinstance(scale, (int, float)) or not math.isfinite(scale):
                raise OptionError(f"lora[{name!r}]", scale, "a finite number")
        return tuple((self._loaded[name][0], scales[name]) for name in sorted(scales))

    def describe(self, key: AdapterKey) -> str:
        """The content of adapters and their scales, for what depends on them."""
        contents = dict(self._loaded.values())
        return "+".join(f"{contents[handle][:16]}*{scale:g}" for handle, scale in key)

    def close(self) -> None:
        """Free them, once no context points into them any more."""
        for handle, _ in self._loaded.values():
            handle.close()
