"""The bare llama_decode loop that ``llamaherd bench`` measures.

The only command on the native floor: the engine's scheduling and sampling would be measured along
with the model, and figures could not be compared with those of llama-bench.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from llamaherd.cli.bench_case import BenchCase, BenchResult
from llamaherd.errors import ContextCreateError, DecodeError
from llamaherd.model import Model
from llamaherd.model.native_params import native_context_params
from llamaherd.native import bindings as c
from llamaherd.native import logs
from llamaherd.native.handles import Batch, ContextHandle
from llamaherd.params import ContextParams

SEED = 1


class BenchRunner:
    """Measures cases on one model."""

    def __init__(self, model: Model, params: ContextParams) -> None:
        self._model, self._params = model, params

    def measure(
        self, case: BenchCase, repetitions: int, advance: Callable[[str], None]
    ) -> BenchResult:
        """Run a case once to warm up, then ``repetitions`` times.

        Raises:
            ContextCreateError: too little memory for this case.
            DecodeError: llama.cpp failed.
        """
        rates = []
        with self._context(case) as context, Batch(int(c.llama_n_batch(context.pointer))) as batch:
            run = _Run(context, batch, len(self._model.vocab))
            for _ in range(repetitions + 1):
                rates.append(case.n_tokens / run.seconds(case))
                advance(case.name)
        return BenchResult(case, rates[1:])

    def _context(self, case: BenchCase) -> ContextHandle:
        n_ctx = (case.n_prompt + case.n_generated) * case.n_seq
        native = native_context_params(self._params, n_ctx, self._model.n_threads_for(self._params))
        native.n_seq_max = case.n_seq  # each has n_ctx / n_seq tokens to itself
        native.n_batch = max(native.n_batch, case.n_seq)
        logs.forget_recent()
        try:
            return ContextHandle(self._model.handle, native)
        except MemoryError:
            said = logs.recent_complaints() or "llama.cpp gave no reason"
            raise ContextCreateError(f"no context of {n_ctx} tokens: {said}") from None


class _Run:
    """One context, used again and again with an empty cache."""

    def __init__(self, context: ContextHandle, batch: Batch, n_vocab: int) -> None:
        self._context, self._batch, self._n_vocab = context.pointer, batch, n_vocab

    def seconds(self, case: BenchCase) -> float:
        """How long a case takes; llama_decode may return before the device is done."""
        draw = random.Random(SEED)
        tokens = [draw.randrange(self._n_vocab) for _ in range(case.n_prompt + case.n_generated)]
        c.llama_memory_clear(c.llama_get_memory(self._context), True)
        c.llama_synchronize(self._context)
        start = time.perf_counter()
        self._read(tokens[: case.n_prompt])
        for position in range(case.n_prompt, len(tokens)):
            self._step(tokens, position, case.n_seq)
        c.llama_synchronize(self._context)
        return time.perf_counter() - start

    def _read(self, tokens: list[int]) -> None:
        for start in range(0, len(tokens), self._batch.capacity):
            self._batch.clear()
            self._batch.add(tokens[start : start + self._batch.capacity], start, seq_id=0)
            self._decode()

    def _step(self, tokens: list[int], position: int, n_seq: int) -> None:
        self._batch.clear()
        for seq_id in range(n_seq):
            self._batch.add(tokens[position : position + 1], position, seq_id)
        self._decode()

    def _decode(self) -> None:
        code = c.llama_decode(self._context, self._batch.native)
        if code:
            raise DecodeError(code, logs.recent_complaints() or "while measuring")
