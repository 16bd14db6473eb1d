"""Where a component's answers come from: a model of this process, loaded when first needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llamaherd.llama import Llama
from llamaherd.model.gguf import read_gguf
from llamaherd.model.source import model_file
from llamaherd.shared import shared_llama


class ModelSource:
    """A model's file and how to load it. Any thread.

    Components with equal sources share one engine (:func:`shared_llama`). A copy, also one that was
    pickled, loads for itself, which in one process finds the same engine.

    Raises:
        ModelLoadError: there is no such file.
    """

    def __init__(self, model: str, load_options: Mapping[str, Any]) -> None:
        self._model, self._load_options = model, dict(load_options)
        self._lock = threading.Lock()
        self._llama: Llama | None = None
        if not model_file(model).is_file():
            read_gguf(model_file(model))  # says why not

    @property
    def name(self) -> str:
        """What to call the model before it is loaded."""
        return Path(self._model).stem

    def get(self) -> Llama:
        """The model; the first call may load it.

        Raises:
            LlamaHerdError: as :class:`Llama`.
        """
        with self._lock:
            if self._llama is None or self._llama.closed:
                self._llama = shared_llama(self._model, **self._load_options)
            return self._llama

    async def aget(self) -> Llama:
        """:meth:`get` for coroutines: a load does not block the event loop."""
        found = self._llama
        if found is not None and not found.closed:
            return found
        return await asyncio.to_thread(self.get)

    def __reduce__(self) -> Any:
        return ModelSource, (self._model, self._load_options)
