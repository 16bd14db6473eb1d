"""What a model remembers of prompts, kept in files beyond the life of a process."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from llamaherd.adapters import Adapters
from llamaherd.engine import AdapterKey, Ask, Engine, StateEvent
from llamaherd.engine import saved_prompts as files
from llamaherd.errors import OptionError, SavedPromptError
from llamaherd.model import Model
from llamaherd.params import ContextParams

logger = logging.getLogger("llamaherd.prompt_cache")

_STATE_DEPENDS_ON = (
    "flash_attn", "type_k", "type_v", "swa_full", "control_vectors", "control_vector_layers",
    "rope_scaling_type", "rope_freq_base", "rope_freq_scale", "yarn_ext_factor",
    "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow", "yarn_orig_ctx",
)  # fmt: skip


class PromptCache:
    """Saves prompts and restores them. Any thread.

    Args:
        params: of the context.
        folder: where files lie unless a path is given.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        adapters: Adapters,
        params: ContextParams,
        folder: Path | None,
    ) -> None:
        self._model, self._engine, self._adapters = model, engine, adapters
        self._folder = folder
        options = asdict(params)
        state = " ".join(f"{name}={options[name]}" for name in _STATE_DEPENDS_ON)
        self._made_by = f"{model.runtime} {state} {dict(model.params.kv_overrides)}"

    def save(self, ask: Ask, path: Path | None) -> Path:
        """Read a prompt and save what the model remembers of it.

        Raises:
            OptionError: no path, and no folder; or a prompt of a single token.
        """
        request = ask.request
        if len(request.prompt) < 2:
            raise OptionError("prompt", list(request.prompt), "at least two tokens to be saved")
        made_by = self._maker(request.adapters)
        if path is None and self._folder is None:
            raise OptionError("path", None, "a file, or prompt_cache=FOLDER when loading the model")
        for _, event in self._engine.stream([ask]):
            if isinstance(event, StateEvent):
                if path is None:
                    assert self._folder is not None
                    path = self._folder / files.file_name(made_by, event.tokens)
                files.save(path, made_by, event)
        assert path is not None
        return path

    def load(self, path: Path, key: AdapterKey) -> int:
        """Restore a saved prompt for those that begin alike; returns its length in tokens.

        Raises:
            SavedPromptError: the file is missing, damaged, or made by something else.
        """
        snapshot = files.load(path, self._maker(key), key)
        outside = [t for t in snapshot.tokens if not 0 <= t < len(self._model.vocab)]
        if outside:
            raise SavedPromptError(path, f"token {outside[0]} is not in the vocabulary")
        self._engine.remember(snapshot)
        return len(snapshot.tokens)

    def load_folder(self) -> None:
        """Restore every file of the folder that this model made; others are left alone."""
        if self._folder is None:
            return
        for path in sorted(self._folder.glob(f"*{files.SUFFIX}")):
            try:
                n = self.load(path, self._adapters.default)
                logger.info("%s: a prompt of %d tokens", path.name, n)
            except SavedPromptError as error:
                logger.info("passed over: %s", error)

    def _maker(self, key: AdapterKey) -> str:
        return f"{self._model.fingerprint} {self._adapters.describe(key)} {self._made_by}"
