"""One model of a server: what it is, whether it is in memory, who uses it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from llamaherd.errors import ClosedError
from llamaherd.llama import Llama
from llamaherd.model.cache_size import cache_size
from llamaherd.model.gguf import check_model
from llamaherd.model.memory import CACHE_SHARE, LEAST_N_CTX, free_bytes
from llamaherd.model.source import model_file
from llamaherd.server.settings import ModelSettings

logger = logging.getLogger("llamaherd.server")

State = Literal["unloaded", "loading", "loaded"]
TOLD_EVERY_S = 2
"""Seconds between two lines in the log about how far a model is loaded."""


class Resident:
    """A model that may be in memory.

    Attributes:
        llm: the loaded model.
        loading: the task that loads it.
        waiting: requests that wait for it, each to be told.
        leaving: whether it is to be unloaded once its requests have ended.
        running: requests that use it.
        last_used: of the monotonic clock.
        since: seconds since the epoch when the server learned of it.
        pending: whether it is yet to be loaded because the server starts with it.
        n_bytes: of memory that it takes; 0: nobody knows yet.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.llm: Llama | None = None
        self.loading: asyncio.Task[None] | None = None
        self.waiting: list[asyncio.Future[None]] = []
        self.leaving = False
        self.running = 0
        self.last_used = time.monotonic()
        self.n_bytes = 0
        self.since = int(time.time())
        self.pending = settings.preload

    @property
    def name(self) -> str:
        """What responses call it."""
        return self.settings.name

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.llm is not None:
            return "loaded"
        return "unloaded" if self.loading is None else "loading"

    def estimate(self) -> None:
        """Guess from the file how much memory it will take. Any thread.

        Raises:
            ModelLoadError: the file is no model.
        """
        parts = check_model(model_file(self.settings.file))
        first, n_ctx = parts[0], self.settings.options.get("n_ctx")
        context = cache_size(first)
        if n_ctx:
            cache = context.at(n_ctx)
        else:  # the engine's own choice: the model's, in half of the free memory
            trained = first.integer(f"{first.architecture}.context_length") or LEAST_N_CTX
            cache = min(context.at(trained), int(free_bytes() * CACHE_SHARE))
        self.n_bytes = sum(part.path.stat().st_size for part in parts) + cache

    def measure(self) -> None:
        """Note how much memory it takes, now that it is loaded."""
        assert self.llm is not None
        self.n_bytes = self.llm.memory_bytes()
        self.pending = False


def load(settings: ModelSettings, stop: threading.Event) -> Llama:
    """Load a model with its adapters, unless it is told to ``stop``. Any thread.

    Raises:
        ClosedError: it was told so.
        LlamaHerdError: as ``Llama``.
    """
    llm = Llama(settings.file, progress=_progress(settings.name, stop), **settings.options)
    try:
        for name, file in settings.adapters.items():
            llm.load_lora(name, file)
    except BaseException:
        llm.close()
        raise
    return llm


def _progress(name: str, stop: threading.Event) -> Callable[[float], None]:
    told_at = time.monotonic()

    def report(fraction: float) -> None:
        nonlocal told_at
        if stop.is_set():
            raise ClosedError(f"the server stopped while {name} was loaded")
        if time.monotonic() >= told_at + TOLD_EVERY_S:
            told_at = time.monotonic()
            logger.info("loading %s: %.0f%%", name, 100 * fraction)

    return report
