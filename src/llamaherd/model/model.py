"""A loaded GGUF model: weights, metadata, vocabulary, adapters."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llamaherd.errors import ContextCreateError, ModelLoadError, OptionError, UnsupportedError
from llamaherd.model.fingerprint import fingerprint
from llamaherd.model.gguf import GGUFFile, check_adapter, check_model
from llamaherd.model.gguf_mtp import mtp_obstacle
from llamaherd.model.memory import cache_bytes_per_token, default_n_ctx, default_threads
from llamaherd.model.native_params import NativeModelParams, native_context_params
from llamaherd.model.progress import progress_bar
from llamaherd.model.source import model_file
from llamaherd.model.vocab import Vocab
from llamaherd.native import bindings as c
from llamaherd.native import kernels, logs, nextn
from llamaherd.native.callbacks import Callback
from llamaherd.native.handles import AdapterHandle, ContextHandle, ModelHandle, text_buffer
from llamaherd.native.library import library
from llamaherd.native.openmp import let_team_go
from llamaherd.params import POOLINGS, ContextParams, ModelParams

TEMPLATE_KEY = "tokenizer.chat_template"

# GGUF keys of recommended sampling options (llama.h: enum llama_model_meta_key) -> our names.
_SAMPLING_KEYS: dict[str, tuple[str, type]] = {
    "TOP_K": ("top_k", int),
    "TOP_P": ("top_p", float),
    "MIN_P": ("min_p", float),
    "XTC_PROBABILITY": ("xtc_probability", float),
    "XTC_THRESHOLD": ("xtc_threshold", float),
    "TEMP": ("temperature", float),
    "PENALTY_LAST_N": ("repeat_last_n", int),
    "PENALTY_REPEAT": ("repeat_penalty", float),
    "MIROSTAT": ("mirostat", int),
    "MIROSTAT_TAU": ("mirostat_tau", float),
    "MIROSTAT_ETA": ("mirostat_eta", float),
}


class Model:
    """The weights of one GGUF file (or all parts of a split one). Any thread.

    Args:
        model: a path, or ``"demo"`` for the bundled model.
        params: how to load it.
        progress: called with the fraction loaded, from this thread; an exception that it raises
            stops loading and comes out of the constructor. Without it, a slow load shows a
            progress bar if stderr is a terminal.

    Raises:
        ModelLoadError: the file is missing, damaged, or nothing llama.cpp can run.
        OptionError: an option that this machine or library does not have.
        NativeLibraryError: there is no usable llama.cpp.

    Attributes:
        has_classifier: whether it scores what it reads (rerankers, classifiers).
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        params: ModelParams | None = None,
        *,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.path: Path = model_file(model)
        self.params = params or ModelParams()
        parts = _check_files(self.path, self.params)
        self._mtp_obstacle = mtp_obstacle(parts, self.params.kv_overrides)
        self.has_classifier = any(t.name.startswith("cls.") for p in parts for t in p.tensors)
        if progress is not None:
            self.handle = _load(self.path, self.params, progress)
        else:
            with progress_bar(f"loading {self.path.name}") as update:
                self.handle = _load(self.path, self.params, update)
        self.vocab = Vocab(self.handle)

    @property
    def runtime(self) -> str:
        """The llama.cpp that runs it, for instance ``llama.cpp 0.5.0``."""
        return f"llama.cpp {library().version}"

    def close(self) -> None:
        """Free the weights and whatever uses them. May be called twice."""
        if hasattr(self, "handle"):
            self.handle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @functools.cached_property
    def metadata(self) -> Mapping[str, str]:
        """The file's scalar metadata as llama.cpp reads it, overrides applied."""
        count = c.llama_model_meta_count(self.handle.pointer)
        pairs = (
            (self._text(c.llama_model_meta_key_by_index, i),
             self._text(c.llama_model_meta_val_str_by_index, i))
            for i in range(count)
        )  # fmt: skip
        return MappingProxyType(dict(pairs))

    def _text(self, function: Callable[..., int], *args: Any) -> str:
        """What a native function writes into (buffer, size); it returns the full length."""
        size = 256
        while True:
            buffer = text_buffer(size)
            length = function(self.handle.pointer, *args, buffer, size)
            if length < size:
                return buffer.value.decode("utf-8", "replace")
            size = length + 1

    @functools.cached_property
    def description(self) -> str:
        """Architecture, size and quantisation in a few words."""
        return self._text(c.llama_model_desc)

    @property
    def architecture(self) -> str:
        """``general.architecture``, for instance ``llama``."""
        return self.metadata.get("general.architecture", "")

    @functools.cached_property
    def fingerprint(self) -> str:
        """What tells this file from others, by content."""
        return fingerprint(self.path)

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return int(c.llama_model_size(self.handle.pointer))

    def n_threads_for(self, params: ContextParams) -> int:
        """Threads that a context with these options generates with."""
        return params.n_threads or default_threads(self.size_bytes)

    @property
    def n_params(self) -> int:
        """Number of weights."""
        return int(c.llama_model_n_params(self.handle.pointer))

    @property
    def n_ctx_train(self) -> int:
        """The context that the model was trained for, in tokens."""
        return int(c.llama_model_n_ctx_train(self.handle.pointer))

    @property
    def n_embd(self) -> int:
        """Width of the model's hidden state."""
        return int(c.llama_model_n_embd(self.handle.pointer))

    @property
    def n_embd_out(self) -> int:
        """Width of an embedding; differs from the hidden state's in few models."""
        return int(c.llama_model_n_embd_out(self.handle.pointer))

    @property
    def n_layer(self) -> int:
        """Number of layers."""
        return int(c.llama_model_n_layer(self.handle.pointer))

    @property
    def is_recurrent(self) -> bool:
        """Whether all its memory is a state of fixed size (Mamba, RWKV)."""
        return bool(c.llama_model_is_recurrent(self.handle.pointer))

    @property
    def is_hybrid(self) -> bool:
        """Whether some layers have a state of fixed size and others a memory of every token."""
        return bool(c.llama_model_is_hybrid(self.handle.pointer))

    @property
    def has_two_dimensions(self) -> bool:
        """Whether a position has several numbers, so that pictures have a width (M-RoPE)."""
        kind = c.llama_model_rope_type(self.handle.pointer)
        return kind in (c.LLAMA_ROPE_TYPE_MROPE, c.LLAMA_ROPE_TYPE_IMROPE)

    @property
    def forgets(self) -> bool:
        """Whether memory cannot be cut back to any position (recurrent, hybrid, sliding window).

        Whatever ``swa_full`` says: llama.cpp writes over what is out of the window then, too
        (llama_kv_cache::find_slot).
        """
        return self.is_recurrent or self.is_hybrid or self._slides

    @property
    def _slides(self) -> bool:
        return int(c.llama_model_n_swa(self.handle.pointer)) > 0

    @property
    def chat_templates(self) -> dict[str, str]:
        """Jinja sources by name; ``default`` is the one that the file puts first."""
        found = {}
        for key, source in self.metadata.items():
            if key == TEMPLATE_KEY:
                found["default"] = source
            elif key.startswith(TEMPLATE_KEY + "."):
                found[key[len(TEMPLATE_KEY) + 1 :]] = source
        return found

    @property
    def pooling(self) -> str | None:
        """How the file says that tokens become one embedding; None if it does not say."""
        kind = self.metadata.get(f"{self.architecture}.pooling_type", "")
        return POOLINGS[int(kind)] if kind.isdigit() and int(kind) < len(POOLINGS) else None

    @property
    def sampling_defaults(self) -> dict[str, Any]:
        """Sampling options that the model's file recommends."""
        found = {}
        for suffix, (name, kind) in _SAMPLING_KEYS.items():
            key = c.llama_model_meta_key_str(getattr(c, f"LLAMA_MODEL_META_KEY_SAMPLING_{suffix}"))
            value = self.metadata.get((key or b"").decode())
            if value is not None:
                found[name] = kind(float(value))
        return found

    def load_adapter(self, path: str | os.PathLike[str]) -> AdapterHandle:
        """A LoRA adapter for this model, owned by the caller and closed with the model.

        Raises:
            ModelLoadError: the file is missing, damaged, or made for another model.
        """
        file = Path(path).expanduser()
        check_adapter(file)
        logs.forget_recent()
        try:
            return AdapterHandle(self.handle, os.fsencode(file))
        except ValueError:
            said = logs.recent_complaints() or "llama.cpp refused the adapter"
            raise ModelLoadError(file, said, f"Use an adapter made for {self.path.name}") from None

    def n_ctx_for(self, params: ContextParams) -> int:
        """The context that was asked for, else the model's own as far as memory allows."""
        return params.n_ctx or default_n_ctx(self.handle, params)

    def cache_bytes_for(self, params: ContextParams) -> int:
        """Upper bound of what the key-value cache of such a context takes."""
        return self.n_ctx_for(params) * cache_bytes_per_token(self.handle, params)

    def new_context(
        self,
        params: ContextParams,
        *,
        n_seq: int | None = None,
        n_outputs_max: int = 0,
        n_rollback: int = 0,
    ) -> ContextHandle:
        """A context for this model, owned by the caller and closed with the model.

        Args:
            n_seq: sequences; None: one for each request that runs at a time.
            n_outputs_max: most tokens a step whose logits are wanted, which bounds a buffer of as
                many rows; 0: as many as a batch holds.
            n_rollback: last tokens of each sequence by which a recurrent state can go back, where
                the architecture can: so many more copies of the state.

        Raises:
            ContextCreateError: too little memory or options that do not go together.
            UnsupportedError: the model was loaded without its weights.
        """
        self._check_has_weights()  # llama.cpp would abort the process
        n_ctx = self.n_ctx_for(params)
        native = native_context_params(params, n_ctx, self.n_threads_for(params))
        native.n_seq_max = n_seq or params.n_parallel
        native.n_outputs_max = n_outputs_max
        if n_rollback:
            native.n_rs_seq = n_rollback
            # Those tokens of all sequences are computed at once. For a single one, too, one more:
            # llama_batch_allocr::split_equal has GGML_ASSERT(n_ubatch > n_rs_seq + 1).
            together = max(native.n_seq_max * (n_rollback + 1), n_rollback + 2)
            native.n_ubatch = max(native.n_ubatch, together)
            native.n_batch = max(native.n_batch, native.n_ubatch)
        if self._slides:
            # One part a batch: of several llama.cpp tries out where all will lie before it computes
            # the first, and does not put back what it dropped of windows on the way
            # (llama_kv_cache::prepare and apply_ubatch, v0.5).
            native.n_batch = native.n_ubatch = max(native.n_ubatch, params.n_parallel)
        return self._context(native)

    def new_mtp_context(self, params: ContextParams, *, n_ctx: int, n_seq: int) -> ContextHandle:
        """A context in which the multi-token-prediction layers run, owned by the caller.

        Args:
            n_ctx: tokens that its memory holds.
            n_seq: sequences; so many tokens a step may ask for logits.

        Raises:
            ContextCreateError: as :meth:`new_context`.
            UnsupportedError: there are no such layers, or llama.cpp cannot run them.
        """
        self._check_has_weights()
        self.check_has_mtp()  # llama.cpp would abort the process
        native = native_context_params(params, n_ctx, self.n_threads_for(params))
        native.ctx_type = c.LLAMA_CONTEXT_TYPE_MTP
        # Buffers of hidden states are as large; a step guesses for each request at least.
        native.n_batch = max(native.n_ubatch, params.n_parallel)
        native.n_seq_max = native.n_outputs_max = n_seq
        return self._context(native)

    def check_has_mtp(self) -> None:
        """Whether multi-token-prediction layers are there and loaded.

        Raises:
            UnsupportedError: why they cannot be used.
        """
        if not nextn.available():
            obstacle = f"{self.runtime} as built here does not hand their input over"
        elif not self.params.load_mtp:
            obstacle = "they were not loaded: set load_mtp=True"
        elif self._mtp_obstacle is None:
            return
        else:
            obstacle = self._mtp_obstacle
        raise UnsupportedError(
            f"{self.path.name} cannot guess by multi-token-prediction layers: {obstacle}"
        )

    def new_embedding_context(
        self,
        params: ContextParams,
        pooling: str,
        *,
        n_ctx: int,
        n_batch: int,
        n_seq: int,
        eval_callback: Any = None,
    ) -> ContextHandle:
        """A context that gives embeddings instead of logits, owned by the caller.

        Args:
            pooling: one of :data:`~llamaherd.params.POOLINGS`.
            n_ctx: tokens that its memory holds, where the model has one.
            n_batch: most tokens a call, all computed at once: pooling does not reach further.
            n_seq: most texts a call.
            eval_callback: a ``ggml_backend_sched_eval_callback`` that outlives the context.

        Raises:
            ContextCreateError, UnsupportedError: as :meth:`new_context`.
        """
        self._check_has_weights()
        native = native_context_params(params, n_ctx, self.n_threads_for(params))
        native.embeddings = True
        native.pooling_type = getattr(c, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
        native.n_seq_max, native.n_batch, native.n_ubatch = n_seq, n_batch, n_batch
        if eval_callback is not None:
            native.cb_eval = eval_callback
        return self._context(native)

    def _check_has_weights(self) -> None:
        if self.params.vocab_only:
            raise UnsupportedError(
                f"{self.path.name} was loaded with vocab_only=True: it has no weights to run"
            )

    def _context(self, native: Any) -> ContextHandle:
        logs.forget_recent()
        try:
            context = ContextHandle(self.handle, native)
        except MemoryError:
            said = logs.recent_complaints() or "llama.cpp gave no reason"
            raise ContextCreateError(
                f"no context of {native.n_ctx} tokens for {self.path.name}: {said}. "
                "Try a smaller n_ctx, or a smaller cache with type_k and type_v"
            ) from None
        # Tells llamaherd-kernels that the context is there: without it the plugin would compute
        # attention from the second graph on only, and a first answer would be rounded otherwise.
        c.llama_set_abort_callback(context.pointer, c.ggml_abort_callback(), None)
        return context


def _check_files(path: Path, params: ModelParams) -> tuple[GGUFFile, ...]:
    """Look for what native code would not survive, in the file and in what overrides it."""
    try:
        return check_model(path, params.kv_overrides)
    except ModelLoadError as error:
        if params.kv_overrides:
            check_model(path)  # raises if the file is to blame
            raise OptionError("kv_overrides", params.kv_overrides, error.finding) from None
        raise


def _load(path: Path, params: ModelParams, progress: Callable[[float], None] | None) -> ModelHandle:
    native = NativeModelParams(params)
    callback = None
    if progress is not None:
        callback = Callback(c.llama_progress_callback, _going_on(progress), on_error=False)
        native.struct.progress_callback = callback.pointer
    logs.forget_recent()
    with kernels.choice(params.kernels):
        pointer = c.llama_model_load_from_file(os.fsencode(path), native.struct)
    let_team_go()  # weights were packed by it; what computes has threads of its own
    handle = ModelHandle(pointer)
    try:
        if callback is not None:
            callback.reraise()
        logs.reraise()
    except BaseException:
        handle.close()
        raise
    if not pointer:
        said = logs.recent_complaints() or "llama.cpp refused it without a word"
        raise ModelLoadError(path, said, "Check the file against its source, or convert it anew")
    return handle


def _going_on(progress: Callable[[float], None]) -> Callable[[float, Any], bool]:
    def report(fraction: float, _user_data: Any) -> bool:
        progress(fraction)
        return True

    return report
