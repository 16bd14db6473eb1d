"""Owners of native objects: each frees what it holds exactly once.

``close()`` may be called any number of times, from any thread; ``with`` closes; ``__del__`` is the
safety net, also when ``__init__`` failed half-way. Who needs an object beyond the moment holds it:
a context and an adapter hold their model, a call into the vocabulary holds it while it runs. A
closed object gives out no pointer any more, and is freed when the last holder lets go.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from llamaherd.errors import ClosedError
from llamaherd.native import bindings as c

_H = TypeVar("_H", bound="Handle")
_lock = threading.RLock()  # a garbage collection may close a handle while its thread has the lock


class Handle:
    """Base of all owners. Subclasses set ``_owned`` and implement ``_free``."""

    _owned: Any = None
    _n_holders = 0
    closed = False
    """Whether :meth:`close` was called."""

    def _free(self, owned: Any) -> None:
        raise NotImplementedError

    @property
    def pointer(self) -> Any:
        """The native object.

        Raises:
            ClosedError: it is closed; native code would crash on it.
        """
        if self.closed or not self._owned:
            what = type(self).__name__.removesuffix("Handle").lower()
            raise ClosedError(f"this {what} is closed: load the model again")
        return self._owned

    def hold(self) -> None:
        """Keep the native object alive until :meth:`release`, even if it is closed meanwhile.

        Raises:
            ClosedError: it is closed already.
        """
        with _lock:
            _ = self.pointer
            self._n_holders += 1

    def release(self) -> None:
        """Let go of what :meth:`hold` kept."""
        with _lock:
            self._n_holders -= 1
        self._free_if_unused()

    def held(self) -> _Held:
        """:meth:`hold` for the length of a ``with``."""
        return _Held(self)

    def close(self) -> None:
        """Give the native object up; later calls do nothing."""
        self.closed = True
        self._free_if_unused()

    def _free_if_unused(self) -> None:
        with _lock:
            if not self.closed or self._n_holders or not self._owned:
                return
            owned, self._owned = self._owned, None
        self._free(owned)

    def __enter__(self: _H) -> _H:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # At interpreter exit module globals may be gone; the process frees the memory then.
        if c is not None and _lock is not None:
            self.close()


class _Held:
    """Keeps a handle's object alive for the length of a ``with``."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __enter__(self) -> None:
        self._handle.hold()

    def __exit__(self, *_error: object) -> None:
        self._handle.release()


class ModelHandle(Handle):
    """A ``llama_model``. Loading is :mod:`llamaherd.model`'s business."""

    def __init__(self, pointer: c.llama_model_p) -> None:
        self._owned = pointer

    def _free(self, owned: Any) -> None:
        c.llama_model_free(owned)


class PartOfModel(Handle):
    """What points into a model, and so holds it."""

    def __init__(self, model: ModelHandle) -> None:
        model.hold()
        self._model: ModelHandle | None = model

    def close(self) -> None:
        super().close()
        if not self._owned:  # made half-way: nothing to free, but the model is held
            self._let_go()

    def _let_go(self) -> None:
        with _lock:
            model, self._model = getattr(self, "_model", None), None
        if model is not None:
            model.release()


class ContextHandle(PartOfModel):
    """A ``llama_context``. Used by one thread at a time.

    Raises:
        MemoryError: llama.cpp refused; what it said is in the log.
    """

    def __init__(self, model: ModelHandle, params: c.llama_context_params) -> None:
        super().__init__(model)
        self._owned = c.llama_init_from_model(model.pointer, params)
        if not self._owned:
            self.close()
            raise MemoryError("llama_init_from_model returned NULL")

    def _free(self, owned: Any) -> None:
        c.llama_free(owned)
        self._let_go()


class AdapterHandle(PartOfModel):
    """A LoRA adapter (``llama_adapter_lora``) of one model.

    Raises:
        ValueError: llama.cpp refused the file; what it said is in the log.
    """

    def __init__(self, model: ModelHandle, path: bytes) -> None:
        super().__init__(model)
        self._owned = c.llama_adapter_lora_init(model.pointer, path)
        if not self._owned:
            self.close()
            raise ValueError("llama_adapter_lora_init returned NULL")

    def _free(self, owned: Any) -> None:
        c.llama_adapter_lora_free(owned)
        self._let_go()


class SamplerChain(Handle):
    """A chain of ``llama_sampler``; owns the samplers added to it."""

    def __init__(self) -> None:
        params = c.llama_sampler_chain_default_params()
        params.no_perf = True
        self._owned = c.llama_sampler_chain_init(params)

    def add(self, sampler: Any) -> None:
        """Append a sampler that a ``llama_sampler_init_*`` function returned.

        Raises:
            ValueError: the function returned NULL.
        """
        if not sampler:
            raise ValueError("llama.cpp refused to make this sampler")
        c.llama_sampler_chain_add(self.pointer, sampler)

    def _free(self, owned: Any) -> None:
        c.llama_sampler_free(owned)


class Batch(Handle):
    """A ``llama_batch`` of token ids with room for ``capacity`` tokens, one sequence id each.

    Filled in place: a step allocates nothing.

    Attributes:
        outputs: for each token whose logits are wanted, by its place in the batch, which of them
            they are: llama.cpp keeps theirs alone, in the batch's order.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.outputs: dict[int, int] = {}
        self.native = c.llama_batch_init(capacity, 0, 1)
        self._owned = self.native.token
        # Reading a pointer field makes a new Python object, so each is read once.
        self._token, self._pos = self.native.token, self.native.pos
        self._seq_ids = [self.native.seq_id[i] for i in range(capacity)]
        self._output = self.native.logits
        for i in range(capacity):
            self.native.n_seq_id[i] = 1
        self.n_tokens = 0

    def clear(self) -> None:
        """Start over."""
        self.n_tokens = self.native.n_tokens = 0
        self.outputs.clear()

    def add(self, tokens: Sequence[int], position: int, seq_id: int, outputs: str = "last") -> None:
        """Append ``tokens`` from ``position`` on to sequence ``seq_id``.

        Args:
            outputs: logits for the "last" token, for "all" or for "none".
        """
        begin = at = self.n_tokens
        end = at + len(tokens)
        if end > self.capacity:
            raise ValueError(f"{end} tokens in a batch for {self.capacity}")
        token, pos, seq_ids, output = self._token, self._pos, self._seq_ids, self._output
        for each in tokens:
            token[at] = each
            pos[at] = position
            seq_ids[at][0] = seq_id
            output[at] = 0
            at += 1
            position += 1
        if outputs != "none":
            for at in range(begin if outputs == "all" else end - 1, end):
                output[at] = 1
                self.outputs[at] = len(self.outputs)
        self.n_tokens = self.native.n_tokens = end

    def _free(self, owned: Any) -> None:
        c.llama_batch_free(self.native)


class EmbeddingBatch:
    """A ``llama_batch`` of embeddings for one sequence, none of whose logits are wanted.

    Args:
        rows: float32, shape (n, width of the model's input), C-contiguous; not copied.
        positions: shape (numbers a position has, n).
    """

    def __init__(
        self, rows: npt.NDArray[np.float32], positions: npt.NDArray[np.int32], seq_id: int
    ) -> None:
        n = len(rows)
        own = ctypes.pointer(ctypes.c_int32(seq_id))
        self._rows = rows  # native code reads from it
        self.native = c.llama_batch(
            n_tokens=n,
            embd=rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            pos=(ctypes.c_int32 * positions.size)(*positions.ravel().tolist()),
            n_seq_id=(ctypes.c_int32 * n)(*[1] * n),
            seq_id=(ctypes.POINTER(ctypes.c_int32) * n)(*[own] * n),
            logits=(ctypes.c_int8 * n)(),
        )


def text_buffer(size: int) -> ctypes.Array[ctypes.c_char]:
    """A byte buffer for native code to write into."""
    return ctypes.create_string_buffer(size)
