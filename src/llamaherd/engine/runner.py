"""Carries a plan out on a llama_context. The only file of the engine that decodes.

Used by the engine's thread; :meth:`Runner.abort` alone may be called from others.
"""

from __future__ import annotations

import ctypes
from ctypes import c_void_p
from typing import cast

import numpy as np
import numpy.typing as npt

from llamaherd.engine.plan import Change, Cut, Follower, Plan, Restore, Share, Slice
from llamaherd.engine.request import AdapterKey, Span
from llamaherd.engine.scheduler import OUTPUT_ROWS
from llamaherd.errors import ContextCreateError, DecodeError, OptionError, UnsupportedError
from llamaherd.model import Model
from llamaherd.model.control_vector import combined
from llamaherd.native import bindings as c
from llamaherd.native import logs, nextn
from llamaherd.native.callbacks import AbortFlag
from llamaherd.native.handles import AdapterHandle, Batch, EmbeddingBatch
from llamaherd.native.library import symbol
from llamaherd.native.openmp import let_team_go
from llamaherd.params import INT32_MAX, ContextParams
from llamaherd.places import end_in_memory

KEPT_SEQUENCES = 28
"""Sequences beside those of running requests: each can hold what a request left behind, and costs
next to nothing where all share their cells."""

_MEANINGS = {
    1: "the cache has no room for the batch",
    2: "aborted",
    -1: "the batch is invalid",
    -2: "memory could not be allocated",
    -3: "the computation failed",
}
ABORTED = 2
MEMORY_BROKEN = -1000
"""A change of memory failed: nothing is known of what it holds (not a code of llama.cpp)."""


def meaning(code: int) -> str:
    """What a return code of ``llama_decode`` says."""
    return _MEANINGS.get(code, logs.recent_complaints() or "unknown")


class Runner:
    """A context with its batch, memory and logits.

    Args:
        follower: reads along.

    Attributes:
        can_cut: whether memory can be cut back to any position and shared.
        n_rollback: otherwise, by how many tokens of its last step a sequence can go back.
        n_seq: sequences.
        n_cells: tokens that all sequences together can hold.
        n_ctx: tokens that one sequence can hold.
        n_batch: most tokens a step.
        n_ubatch: most tokens computed at a time, which bounds a span that is read whole.

    Raises:
        ContextCreateError: llama.cpp cannot make the context.
        UnsupportedError: memory cannot go back as far as the follower guesses.
    """

    def __init__(
        self, model: Model, params: ContextParams, follower: Follower | None = None
    ) -> None:
        self.can_cut = not model.forgets
        self.n_seq = params.n_parallel + (KEPT_SEQUENCES if self.can_cut else 0)
        self.n_rollback = 0 if self.can_cut or follower is None else follower.most_guessed
        self._context = model.new_context(
            params,
            n_seq=self.n_seq,
            n_outputs_max=OUTPUT_ROWS + params.n_parallel,
            n_rollback=self.n_rollback,
        )
        self._pointer = pointer = self._context.pointer  # closed by this object alone
        # A recurrent state has the same size however many tokens it has seen.
        self.n_cells = int(c.llama_n_ctx(pointer)) * (self.n_seq if model.is_recurrent else 1)
        # llama.cpp rounds up; a caller who asks for 100 tokens gets 100.
        self.n_ctx = min(int(c.llama_n_ctx_seq(pointer)), params.n_ctx or INT32_MAX)
        self.n_batch = int(c.llama_n_batch(pointer))
        self.n_ubatch = int(c.llama_n_ubatch(pointer))
        self._n_vocab = len(model.vocab)
        self._n_per_position = 4 if model.has_two_dimensions else 1
        self._memory = c.llama_get_memory(pointer)
        self._has_encoder = bool(c.llama_model_has_encoder(model.handle.pointer))
        self._batch = Batch(self.n_batch)
        self._abort = AbortFlag()
        self._adapters: AdapterKey = ()
        callback = ctypes.cast(self._abort.address, c.ggml_abort_callback)
        c.llama_set_abort_callback(pointer, callback, self._abort.argument)
        if params.control_vectors:
            self._apply_control_vectors(model, params)
        self._decode = c.llama_decode
        # Waits for the decoding; as a number, since a pointer would be a new object at each step.
        self._logits_address = symbol("llama_get_logits")
        self._logits_address.argtypes, self._logits_address.restype = [c_void_p], c_void_p
        self._rows_at: int | None = None
        self._rows: list[npt.NDArray[np.float32]] = []  # of logits, those that were asked for
        self._follower, self._n_hidden = follower, model.n_embd_out
        if follower is not None:
            self._begin_to_follow(follower, model)

    def _begin_to_follow(self, follower: Follower, model: Model) -> None:
        has_states = model.is_hybrid or model.is_recurrent
        if has_states and c.llama_n_rs_seq(self._context.pointer) < self.n_rollback:
            self.close()
            raise UnsupportedError(
                f"{model.path.name} cannot be used with a draft_model: llama.cpp cannot cut its "
                "memory back when guesses fail"
            )
        nextn.give_hidden_states(self._context.pointer, outputs_only=False)
        follower.begin(self.n_seq, self.n_cells)

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
        """Free the context with its memory."""
        self._batch.close()
        self._context.close()

    def rest(self) -> None:
        """Nothing is to be computed for a while."""
        let_team_go()

    def abort(self) -> None:
        """Make the running decode return soon with :data:`ABORTED`. Any thread."""
        self._abort.set()

    def rearm(self) -> None:
        """Take an earlier :meth:`abort` back."""
        self._abort.clear()
        logs.expect_while(self._aborting)  # on this thread

    def _aborting(self) -> bool:
        return self._abort.is_set

    def run(self, plan: Plan) -> list[int]:
        """Change memory, then decode all slices: spans one by one, then all tokens in one call.

        Returns:
            For each slice, the row at which its logits end: those of its last token are at
            ``row``, earlier ones (``outputs="all"``) at the places before it. Spans have none.

        Raises:
            DecodeError: llama.cpp refused or failed, or :meth:`abort` was called.
        """
        for change in plan.memory:
            self._change(change)
        if plan.adapters != self._adapters:
            self._apply_adapters(plan.adapters)
        batch = self._batch
        batch.clear()
        ends = []
        for piece in plan.slices:
            if piece.span is None:
                batch.add(piece.tokens, piece.position, piece.seq_id, piece.outputs)
            else:
                self._run_span(piece.span, piece)
            ends.append(batch.n_tokens - 1)
        if batch.n_tokens:  # last, since each call replaces the logits of the one before
            self._run_batch(batch.native)
        if self._follower is not None:
            self._follower.read(plan.slices, ends, self._hidden_states)
        return ends

    def _hidden_states(self, row: int, n: int) -> npt.NDArray[np.float32]:
        return nextn.hidden_states(self._context.pointer, row, n, self._n_hidden)

    def _run_span(self, span: Span, piece: Slice) -> None:
        at, upto = piece.start - span.start, piece.stop - span.start
        rows, positions = span.embeddings[at:upto], self._positions(span, piece)
        c.llama_set_causal_attn(self._context.pointer, not span.whole)
        try:
            for n in range(0, len(rows), self.n_batch):
                part = slice(n, n + self.n_batch)
                batch = EmbeddingBatch(rows[part], positions[:, part], piece.seq_id)
                self._run_batch(batch.native)
        finally:
            c.llama_set_causal_attn(self._context.pointer, True)

    def _positions(self, span: Span, piece: Slice) -> npt.NDArray[np.int32]:
        """Of the places of a slice, shape (numbers a position has, places)."""
        if span.grid is not None:
            moving = np.array([[1], [1], [1], [0]], dtype=np.int32)  # the fourth is not used
            moved: npt.NDArray[np.int32] = span.grid + moving * np.int32(piece.position)
            return moved
        along = np.arange(len(piece.tokens), dtype=np.int32) + np.int32(piece.position)
        return np.tile(along, (self._n_per_position, 1))

    def _run_batch(self, native: c.llama_batch) -> None:
        logs.forget_recent()
        code = self._decode(self._pointer, native)
        if code:
            c.llama_synchronize(self._pointer)
            raise DecodeError(code, meaning(code))
        address = self._logits_address(self._pointer)
        if address != self._rows_at:
            self._rows_at = address
            self._rows.clear()

    # -- memory -------------------------------------------------------------------------------

    def _change(self, change: Change) -> None:
        if isinstance(change, Share):  # cells are marked for a second sequence; nothing is copied
            n = change.n_kept
            c.llama_memory_seq_cp(self._memory, change.source, change.target, 0, n)
            if self._follower is not None:
                self._follower.share(change)
            return
        if isinstance(change, Cut):
            n_kept, n_wanted = self.cut(change.seq_id, change.n_kept), change.n_kept
        else:
            n_kept, n_wanted = self._restore(change), end_in_memory(change.snapshot.tokens)
        if n_kept != n_wanted:
            raise DecodeError(MEMORY_BROKEN, f"{change} left {n_kept} tokens")

    def cut(self, seq_id: int, n_kept: int) -> int:
        """Drop the memory of a sequence from position ``n_kept`` on.

        Returns:
            How many are left: 0 where the memory can only be dropped whole.
        """
        if not c.llama_memory_seq_rm(self._memory, seq_id, n_kept, -1):
            c.llama_memory_seq_rm(self._memory, seq_id, -1, -1)  # a whole sequence always goes
            n_kept = 0
        if self._follower is not None:
            self._follower.cut(seq_id, n_kept)
        return n_kept

    def clear(self) -> None:
        """Drop the memory of all sequences, and what memory notes of their places."""
        c.llama_memory_clear(self._memory, False)
        for seq_id in range(self.n_seq):
            self.cut(seq_id, 0)  # for who follows

    def n_resident(self, seq_id: int) -> int:
        """The position behind a sequence's last one in memory."""
        return int(c.llama_memory_seq_pos_max(self._memory, seq_id)) + 1

    def state(self, seq_id: int) -> bytes:
        """A copy of what a sequence holds, for :class:`Restore`."""
        size = c.llama_state_seq_get_size(self._context.pointer, seq_id)
        buffer = bytearray(size)
        view = (ctypes.c_uint8 * size).from_buffer(buffer)
        n = c.llama_state_seq_get_data(self._context.pointer, view, size, seq_id)
        if n != size:
            raise DecodeError(MEMORY_BROKEN, f"the state of {size} bytes came as {n}")
        del view
        return bytes(buffer)

    def _restore(self, change: Restore) -> int:
        state = change.snapshot.state
        data = ctypes.cast(ctypes.c_char_p(state), ctypes.POINTER(ctypes.c_uint8))
        if not c.llama_state_seq_set_data(self._context.pointer, data, len(state), change.seq_id):
            return 0
        return self.n_resident(change.seq_id)

    # -- results ------------------------------------------------------------------------------

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """The model's output at a row of the last batch, shape (n_vocab,).

        A view of native memory: writing changes what samplers see; valid until the next step.
        """
        index = self._batch.outputs[row]
        if index >= len(self._rows):
            self._map_rows()
        return self._rows[index]

    def _map_rows(self) -> None:
        """Rows lie where they lay in the step before: one array each, not one a token."""
        if not self._rows_at:
            raise DecodeError(0, "the model gave no logits")
        shape = len(self._batch.outputs), self._n_vocab
        native = (ctypes.c_float * (shape[0] * shape[1])).from_address(self._rows_at)
        self._rows = list(np.ctypeslib.as_array(native).reshape(shape))

    def _apply_control_vectors(self, model: Model, params: ContextParams) -> None:
        n_layer, n_embd = model.n_layer, model.n_embd
        first, last = _layer_range(params.control_vector_layers, n_layer)
        data = combined(params.control_vectors, n_layer, n_embd)
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        context = self._context.pointer
        if c.llama_set_adapter_cvec(context, pointer, data.size, n_embd, first, last):
            raise ContextCreateError("llama.cpp refused the control vectors")

    def _apply_adapters(self, adapters: AdapterKey) -> None:
        """Compute with these from now on; the context points into them, so they must live on."""
        n = len(adapters)
        handles = [cast(AdapterHandle, handle) for handle, _ in adapters]
        pointers = (c.llama_adapter_lora_p * n)(*(handle.pointer for handle in handles))
        scales = (ctypes.c_float * n)(*(scale for _, scale in adapters))
        code = c.llama_set_adapters_lora(self._context.pointer, pointers, n, scales)
        if code:
            raise DecodeError(code, "the adapters could not be applied")
        self._adapters = adapters


def _layer_range(layers: list[int] | None, n_layer: int) -> tuple[int, int]:
    if layers is None:
        return 1, n_layer - 1
    if len(layers) != 2 or not 1 <= layers[0] <= layers[1] < n_layer:
        expected = f"[first, last] with 1 <= first <= last <= {n_layer - 1}"
        raise OptionError("control_vector_layers", layers, expected)
    return layers[0], layers[1]
