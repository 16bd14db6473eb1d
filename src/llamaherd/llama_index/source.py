"""Where a component's answers come from: a model of this process, or one on a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llamaherd.llama import Llama
from llamaherd.model.gguf import read_gguf
from llamaherd.model.source import model_file
from llamaherd.remote import RemoteLlama
from llamaherd.shared import shared_llama

AnyLlama = Llama | RemoteLlama


class LocalSource:
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

    @property
    def ready(self) -> Llama | None:
        """The model, if this object holds it."""
        return None if self._llama is None or self._llama.closed else self._llama

    def get(self) -> Llama:
        """The model; the first call may load it.

        Raises:
            LlamaHerdError: as :class:`Llama`.
        """
        with self._lock:
            found = self.ready
            if found is None:
                found = shared_llama(self._model, **self._load_options)
                self._llama = found
            return found

    async def aget(self) -> Llama:
        """:meth:`get` for coroutines: a load does not block the event loop."""
        found = self.ready
        return found if found is not None else await asyncio.to_thread(self.get)

    def title(self) -> str:
        """What the model's file calls it; loads it."""
        return self.get().metadata.get("general.name") or self.name

    def __reduce__(self) -> Any:
        return LocalSource, (self._model, self._load_options)


class ServerSource:
    """A model that a llamaherd server runs. Any thread. Nothing is asked before it is used."""

    def __init__(
        self,
        base_url: str,
        model: str | None,
        api_key: str | None,
        timeout: float | None,
        max_retries: int,
    ) -> None:
        self._arguments = base_url, model, api_key, timeout, max_retries
        self._llama = RemoteLlama(
            base_url, model=model, api_key=api_key, timeout_s=timeout, max_retries=max_retries
        )

    @property
    def name(self) -> str:
        """What to call the model."""
        return self._llama.model_path

    def get(self) -> RemoteLlama:
        """The line to the server."""
        return self._llama

    async def aget(self) -> RemoteLlama:
        """:meth:`get` for coroutines."""
        return self._llama

    def title(self) -> str:
        """The name by which the server knows it."""
        return self.name

    def __reduce__(self) -> Any:
        return ServerSource, self._arguments
