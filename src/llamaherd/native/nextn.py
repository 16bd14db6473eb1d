"""Hidden states of a context, which multi-token-prediction layers read beside tokens.

llama.cpp exports the functions for it, but in C++: ``llama-ext.h`` declares them and promises
nothing. The names say what they take, as the Itanium ABI (Linux, macOS) writes the types of all
parameters into a name, and the range of versions that ``library.py`` loads says what they return.
Where one is missing, as on Windows, :func:`available` is False and nothing else may be called.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from ctypes import c_bool, c_int8, c_int32, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from llamaherd.errors import DecodeError
from llamaherd.native import bindings as c
from llamaherd.native.library import keeping_the_lock, library

_NAMES = {
    "give": "_Z26llama_set_embeddings_nextnP13llama_contextbb",  # (llama_context *, bool, bool)
    "row": "_Z30llama_get_embeddings_nextn_ithP13llama_contexti",  # (llama_context *, int)
}


@functools.cache
def _functions() -> dict[str, Any] | None:
    give = library().symbol(_NAMES["give"])
    if give is None or library().symbol(_NAMES["row"]) is None:
        return None
    give.argtypes, give.restype = [c_void_p, c_bool, c_bool], None
    # Called for every request in every step: takes no time, so Python's lock is kept.
    row = keeping_the_lock(_NAMES["row"], c_void_p, c_void_p, c_int32)
    return {"give": give, "row": row}


def available() -> bool:
    """Whether this llama.cpp hands hidden states over."""
    return _functions() is not None


def give_hidden_states(context: c.llama_context_p, *, outputs_only: bool) -> None:
    """Keep the hidden states of each further batch: of all tokens, or of those with logits."""
    functions = _functions()
    assert functions is not None
    functions["give"](context, True, outputs_only)


def hidden_states(
    context: c.llama_context_p, row: int, n: int, width: int
) -> npt.NDArray[np.float32]:
    """A copy of the hidden states of ``n`` tokens of the last batch from ``row`` on.

    With ``outputs_only`` one at a time: they need not lie side by side.

    Raises:
        DecodeError: the batch has no such row.
    """
    functions = _functions()
    assert functions is not None
    address = functions["row"](context, row)
    if not address:
        raise DecodeError(0, f"no hidden state at row {row}")
    copied = ctypes.string_at(address, n * width * ctypes.sizeof(ctypes.c_float))
    return np.frombuffer(copied, np.float32).reshape(n, width)


class PairBatch:
    """A ``llama_batch`` of tokens, each with a hidden state.

    Args:
        capacity: most tokens.
        width: numbers in a hidden state.
    """

    def __init__(self, capacity: int, width: int) -> None:
        self.capacity = capacity
        self._tokens, self._positions, self._seq_ids = np.zeros((3, capacity), np.int32)
        self._hidden = np.zeros((capacity, width), np.float32)
        self._outputs = np.zeros(capacity, np.int8)
        self._ones = np.ones(capacity, np.int32)
        # One sequence a token: pointers to the places of ``_seq_ids``, side by side.
        first, step = self._seq_ids.ctypes.data, self._seq_ids.itemsize
        self._own = (c_void_p * capacity)(*(first + at * step for at in range(capacity)))
        integers = ctypes.POINTER(c_int32)
        self.native = c.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(integers),
            embd=self._hidden.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            pos=self._positions.ctypes.data_as(integers),
            n_seq_id=self._ones.ctypes.data_as(integers),
            seq_id=ctypes.cast(self._own, ctypes.POINTER(integers)),
            logits=self._outputs.ctypes.data_as(ctypes.POINTER(c_int8)),
        )

    @property
    def n_tokens(self) -> int:
        """How many were added."""
        return int(self.native.n_tokens)

    def clear(self) -> None:
        """Start over."""
        self.native.n_tokens = 0

    def add(
        self,
        seq_id: int,
        position: int,
        tokens: Sequence[int],
        hidden: Sequence[npt.NDArray[np.float32]],
        *,
        outputs: bool = False,
    ) -> None:
        """Append tokens of a sequence from ``position`` on.

        Args:
            outputs: whether their logits and hidden states are wanted.
        """
        begin = self.n_tokens
        end = begin + len(tokens)
        if end > self.capacity:
            raise ValueError(f"{end} tokens in a batch for {self.capacity}")
        self._tokens[begin:end] = tokens
        self._positions[begin:end] = np.arange(position, position + len(tokens))
        self._seq_ids[begin:end] = seq_id
        for at, row in enumerate(hidden, begin):
            self._hidden[at] = row
        self._outputs[begin:end] = outputs
        self.native.n_tokens = end
