"""Reads batches of texts on a llama_context. The only file of this folder that decodes.

Used by the embedder's thread; :meth:`EmbeddingRunner.abort` alone may be called from others.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from llamaherd.embed.head import head_skipper
from llamaherd.embed.packing import Slice
from llamaherd.embed.pooling import Vector
from llamaherd.errors import DecodeError, UnsupportedError
from llamaherd.model import Model
from llamaherd.model.gguf_architectures import WITHOUT_MEMORY
from llamaherd.model.memory import default_n_ctx
from llamaherd.native import bindings as c
from llamaherd.native import logs
from llamaherd.native.callbacks import AbortFlag
from llamaherd.native.handles import AdapterHandle, ContextHandle
from llamaherd.native.openmp import let_team_go
from llamaherd.params import ContextParams

N_SEQ_MAX = 256  # LLAMA_MAX_SEQ in llama.cpp's llama-cparams.h
N_CTX_STEP = 256  # llama.cpp rounds contexts up to it
Adapters = Sequence[tuple[Hashable, float]]
"""LoRA adapters (:class:`AdapterHandle`) with their scales."""


class EmbeddingRunner:
    """A context of one kind of pooling.

    Args:
        n_longest: tokens of the longest text that it must be able to read.

    Raises:
        ContextCreateError: too little memory for texts of this length.
    """

    def __init__(
        self,
        model: Model,
        params: ContextParams,
        pooling: str,
        *,
        n_longest: int,
        adapters: Adapters = (),
    ) -> None:
        self.pooling = pooling
        self._resources = ExitStack()
        self._abort = AbortFlag()
        self._reads_pieces = can_read_pieces(model)
        self.n_batch = min(params.n_ubatch, params.n_batch, most_tokens(model, params))
        self.n_longest = _rounded_up(max(n_longest, self.n_batch))
        self.n_piece = self.n_batch if self._reads_pieces else self.n_longest
        self.n_seq = 1 if _one_at_a_time(model) else min(N_SEQ_MAX, self.n_batch)
        self._head_skipper = head_skipper() if self._reads_pieces else None
        for adapter in _handles(adapters):
            adapter.hold()  # the context points into them
            self._resources.callback(adapter.release)
        try:
            self._context = self._new_context(model, params)
            self._prepare(model, adapters)
        except BaseException:
            self.close()
            raise

    def _new_context(self, model: Model, params: ContextParams) -> ContextHandle:
        skipper = self._head_skipper
        context = model.new_embedding_context(
            params,
            self.pooling,
            n_ctx=self.n_longest,
            n_batch=self.n_piece,
            n_seq=self.n_seq,
            eval_callback=None if skipper is None else skipper.pointer,
        )
        self._resources.callback(context.close)
        return context

    def _prepare(self, model: Model, adapters: Adapters) -> None:
        pointer, handle = self._context.pointer, model.handle.pointer
        is_rank = self.pooling == "rank"
        width = c.llama_model_n_cls_out if is_rank else c.llama_model_n_embd_out
        self._n_out = int(width(handle))
        self._memory = c.llama_get_memory(pointer)
        encodes = not self._memory or c.llama_model_has_encoder(handle)
        self._read = c.llama_encode if encodes else c.llama_decode
        self._batch = _Batch(self.n_piece)
        callback = ctypes.cast(self._abort.address, c.ggml_abort_callback)
        c.llama_set_abort_callback(pointer, callback, self._abort.argument)
        if adapters:
            self._apply(adapters)

    def close(self) -> None:
        """Free the context."""
        self._resources.close()

    def rest(self) -> None:
        """Nothing is to be computed for a while."""
        let_team_go()

    def abort(self) -> None:
        """Make a running :meth:`read` raise soon. Any thread; not to be taken back."""
        self._abort.set()

    def read(self, slices: Sequence[Slice[Any]]) -> list[Vector]:
        """The vectors of a batch, one for each slice; a slice that goes on needs the one before.

        Raises:
            DecodeError: llama.cpp refused or failed, or :meth:`abort` was called.
        """
        if slices[0].start == 0:
            self._forget()
        elif not self._reads_pieces:
            raise DecodeError(0, "this model cannot read a text in pieces")
        self._batch.fill(slices)
        logs.forget_recent()
        code = self._read(self._context.pointer, self._batch.native)
        if code:
            raise DecodeError(code, logs.recent_complaints() or "llama.cpp gave no reason")
        if self._head_skipper is not None:
            self._head_skipper.reraise()
        return self._tokens(slices) if self.pooling == "none" else self._pooled(len(slices))

    def _forget(self) -> None:
        if self._memory:
            c.llama_memory_clear(self._memory, False)

    def _pooled(self, n: int) -> list[Vector]:
        """llama_get_embeddings_seq for the sequences 0 to n-1, copied."""
        rows = np.empty((n, self._n_out), dtype=np.float32)
        for seq_id, row in enumerate(rows):
            source = c.llama_get_embeddings_seq(self._context.pointer, seq_id)
            if not source:
                raise DecodeError(0, f"no embedding of sequence {seq_id}")
            ctypes.memmove(row.ctypes.data, source, row.nbytes)
        return list(rows)

    def _tokens(self, slices: Sequence[Slice[Any]]) -> list[Vector]:
        """A row for each token, in the order of the batch."""
        source = c.llama_get_embeddings(self._context.pointer)
        if not source:
            raise DecodeError(0, "no embeddings of tokens")
        rows = np.ctypeslib.as_array(source, shape=(self._batch.n_tokens, self._n_out)).copy()
        ends = itertools.accumulate(piece.stop - piece.start for piece in slices)
        return np.split(rows, list(ends)[:-1])

    def _apply(self, adapters: Adapters) -> None:
        n = len(adapters)
        pointers = (c.llama_adapter_lora_p * n)(*(a.pointer for a in _handles(adapters)))
        scales = (ctypes.c_float * n)(*(scale for _, scale in adapters))
        code = c.llama_set_adapters_lora(self._context.pointer, pointers, n, scales)
        if code:
            raise DecodeError(code, "the adapters could not be applied")


def _handles(adapters: Adapters) -> list[AdapterHandle]:
    return [cast(AdapterHandle, adapter) for adapter, _ in adapters]


def most_tokens(model: Model, params: ContextParams) -> int:
    """How long a text may be.

    Raises:
        UnsupportedError: the model gives no embeddings, or was loaded with control vectors.
    """
    if params.control_vectors:
        raise UnsupportedError(
            "control vectors are not applied to embeddings: load the model without them to embed"
        )
    if c.llama_model_has_encoder(model.handle.pointer) and _has_decoder(model):
        raise UnsupportedError(
            f"{model.path.name} is an encoder with a decoder: what its decoder makes of a text "
            "depends on an answer, so it gives no embeddings"
        )
    if can_read_pieces(model):
        return params.n_ctx or default_n_ctx(model.handle, params)
    return min(model.n_ctx_train, params.n_ctx or model.n_ctx_train)  # positions end there


def _has_decoder(model: Model) -> bool:
    return bool(c.llama_model_has_decoder(model.handle.pointer))


def can_read_pieces(model: Model) -> bool:
    """Whether a token looks only at those before it, so that long texts can be read in pieces."""
    causal = model.metadata.get(f"{model.architecture}.attention.causal", "true")
    return causal == "true" and not _is_encoder(model)


def _is_encoder(model: Model) -> bool:
    has_encoder = bool(c.llama_model_has_encoder(model.handle.pointer))
    return has_encoder or model.architecture in WITHOUT_MEMORY


def _one_at_a_time(model: Model) -> bool:
    """Recurrent memory reads sequences one after the other and holds a state for each."""
    pointer = model.handle.pointer
    return bool(c.llama_model_is_recurrent(pointer) or c.llama_model_is_hybrid(pointer))


def _rounded_up(n_tokens: int) -> int:
    """To a power of two, so that growing texts make few new contexts."""
    return max(N_CTX_STEP, 1 << (n_tokens - 1).bit_length())


class _Batch:
    """A ``llama_batch`` over NumPy arrays: filled without a Python step for each token."""

    def __init__(self, capacity: int) -> None:
        self._token, self._pos, self._seq_id = np.zeros((3, capacity), dtype=np.int32)
        self._one = np.ones(capacity, dtype=np.int32)  # each token belongs to one sequence
        self._output = np.ones(capacity, dtype=np.int8)  # pooling needs all of them
        size = self._seq_id.itemsize
        self._seq_ids = self._seq_id.ctypes.data + size * np.arange(capacity, dtype=np.uintp)
        self.native = c.llama_batch(
            token=_pointer(self._token, ctypes.c_int32),
            pos=_pointer(self._pos, ctypes.c_int32),
            n_seq_id=_pointer(self._one, ctypes.c_int32),
            seq_id=_pointer(self._seq_ids, ctypes.POINTER(ctypes.c_int32)),
            logits=_pointer(self._output, ctypes.c_int8),
        )
        self.n_tokens = 0

    def fill(self, slices: Sequence[Slice[Any]]) -> None:
        """Slice i becomes sequence i."""
        lengths = [piece.stop - piece.start for piece in slices]
        n = self.n_tokens = self.native.n_tokens = sum(lengths)
        tokens = itertools.chain.from_iterable(piece.tokens for piece in slices)
        self._token[:n] = np.fromiter(tokens, dtype=np.int32, count=n)
        self._seq_id[:n] = np.repeat(np.arange(len(slices), dtype=np.int32), lengths)
        self._pos[:n] = np.concatenate(
            [np.arange(piece.start, piece.stop, dtype=np.int32) for piece in slices]
        )


def _pointer(array: npt.NDArray[Any], kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))
