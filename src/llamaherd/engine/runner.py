"""Carries a plan out on a llama_context. The only file that decodes.

Used by the engine's thread; :meth:`Runner.abort` alone may be called from others.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from llamaherd.engine.scheduler import LOGPROB_CHUNK_TOKENS, Cut, Plan, Share
from llamaherd.errors import DecodeError
from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native import logs
from llamaherd.native.callbacks import AbortFlag
from llamaherd.native.handles import AdapterHandle, Batch
from llamaherd.params import INT32_MAX, ContextParams

_MEANINGS = {
    1: "the cache has no room for the batch",
    2: "aborted",
    -1: "the batch is invalid",
    -2: "memory could not be allocated",
    -3: "the computation failed",
}
ABORTED = 2
Adapters = Sequence[tuple[AdapterHandle, float]]
"""LoRA adapters with their scales."""


class Runner:
    """A context with its batch, memory and logits.

    Raises:
        ContextCreateError: llama.cpp cannot make the context.
    """

    def __init__(self, model: Model, params: ContextParams) -> None:
        n_rows = LOGPROB_CHUNK_TOKENS + params.n_parallel
        self._context = model.new_context(params, n_outputs_max=n_rows)
        pointer = self._context.pointer
        self.n_cells = int(c.llama_n_ctx(pointer))
        # llama.cpp rounds up; a caller who asks for 100 tokens gets 100.
        self.n_ctx = min(int(c.llama_n_ctx_seq(pointer)), params.n_ctx or INT32_MAX)
        self.n_batch = int(c.llama_n_batch(pointer))
        self._n_vocab = len(model.vocab)
        self._memory = c.llama_get_memory(pointer)
        self._has_encoder = bool(c.llama_model_has_encoder(model.handle.pointer))
        self._batch = Batch(self.n_batch)
        self._abort = AbortFlag()
        self._adapters: Adapters = ()
        callback = ctypes.cast(self._abort.address, c.ggml_abort_callback)
        c.llama_set_abort_callback(pointer, callback, self._abort.argument)
        self._decode, self._row_of = c.llama_decode, c.llama_get_logits_ith

    @property
    def generates(self) -> bool:
        """Whether the model draws tokens: embedding models have no memory of what they read.

        Models with an encoder of their own would need its pass first, which is not built yet.
        """
        return bool(self._memory) and not self._has_encoder

    @property
    def context(self) -> c.llama_context_p:
        """The native context, for samplers that read its logits."""
        return self._context.pointer  # type: ignore[no-any-return]

    def close(self) -> None:
        """Free the context with its memory and adapters."""
        self._batch.close()
        self._context.close()
        for adapter, _ in self._adapters:
            adapter.close()

    def abort(self) -> None:
        """Make the running decode return soon with :data:`ABORTED`. Any thread."""
        self._abort.set()

    def rearm(self) -> None:
        """Take an earlier :meth:`abort` back."""
        self._abort.clear()

    def run(self, plan: Plan) -> list[int]:
        """Cut, then decode all slices in one call.

        Returns:
            For each slice, the row at which its logits end: those of its last token are at
            ``row``, earlier ones (``outputs="all"``) at the places before it.

        Raises:
            DecodeError: llama.cpp refused or failed, or :meth:`abort` was called.
        """
        for change in plan.memory:
            if isinstance(change, Cut):
                if self.cut(change.seq_id, change.n_kept) != change.n_kept:
                    raise DecodeError(0, "memory could not be cut back")
            else:
                self._share(change)
        logs.forget_recent()
        batch = self._batch
        batch.clear()
        ends = []
        for piece in plan.slices:
            tokens = piece.request.tokens
            batch.add(tokens, piece.start, piece.stop, piece.seq_id, piece.outputs)
            ends.append(batch.n_tokens - 1)
        code = self._decode(self._context.pointer, batch.native)
        if code:
            self._fail(code)
        return ends

    def _fail(self, code: int) -> None:
        message = _MEANINGS.get(code, logs.recent_complaints() or "unknown")
        raise DecodeError(code, message)

    def cut(self, seq_id: int, n_kept: int) -> int:
        """Drop the memory of a sequence behind its first ``n_kept`` tokens.

        Returns:
            How many are left: 0 where the memory can only be dropped whole.
        """
        if c.llama_memory_seq_rm(self._memory, seq_id, n_kept, -1):
            return n_kept
        c.llama_memory_seq_rm(self._memory, seq_id, -1, -1)  # a whole sequence always goes
        return 0

    def _share(self, share: Share) -> None:
        """Cells are marked for a second sequence; nothing is copied."""
        c.llama_memory_seq_cp(self._memory, share.source, share.target, 0, share.n_tokens)

    def n_resident(self, seq_id: int) -> int:
        """Tokens of a sequence in memory, counted by their last position."""
        return int(c.llama_memory_seq_pos_max(self._memory, seq_id)) + 1

    def logit(self, row: int, token: int) -> float:
        """One number of :meth:`logits`."""
        return float(self._row_of(self._context.pointer, row)[token])

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """The model's output at a row of the last batch, shape (n_vocab,).

        A view of native memory: writing changes what samplers see; valid until the next step.
        """
        pointer = self._row_of(self._context.pointer, row)
        if not pointer:
            raise DecodeError(0, f"no logits at row {row}")
        return np.ctypeslib.as_array(pointer, shape=(self._n_vocab,))

    def apply_adapters(self, adapters: Adapters) -> None:
        """Use these LoRA adapters with these scales from the next step on."""
        n = len(adapters)
        pointers = (c.llama_adapter_lora_p * n)(*(a.pointer for a, _ in adapters))
        scales = (ctypes.c_float * n)(*(scale for _, scale in adapters))
        code = c.llama_set_adapters_lora(self._context.pointer, pointers, n, scales)
        if code:
            raise DecodeError(code, "the adapters could not be applied")
        self._adapters = adapters  # the context points into them
