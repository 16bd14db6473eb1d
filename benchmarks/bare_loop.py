"""What a C program would do: a context, a batch and a sampler, and nothing between the calls."""

from __future__ import annotations

import time
from collections.abc import Sequence

from llamaherd import ContextParams
from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native.handles import Batch, SamplerChain
from llamaherd.native.openmp import let_team_go
from llamaherd.workers import RESTS_AFTER_S


class BareLoop:
    """Greedy decoding of some sequences in one context.

    Args:
        n_seq: sequences, in one unified cache.
    """

    def __init__(self, model: Model, n_ctx: int, n_seq: int = 1) -> None:
        self._context = model.new_context(ContextParams(n_ctx=n_ctx, n_parallel=n_seq))
        self._batch = Batch(int(c.llama_n_batch(self._context.pointer)))
        self._vocab = model.vocab
        self._chain = SamplerChain()
        self._chain.add(c.llama_sampler_init_greedy())

    def clear(self) -> None:
        """Forget everything, once an engine that computed before rests."""
        time.sleep(2 * RESTS_AFTER_S)
        c.llama_memory_clear(c.llama_get_memory(self._context.pointer), True)

    def read(self, prompt: list[int], seq_id: int = 0) -> int:
        """Decode a prompt of at most one batch; the first token drawn after it."""
        self._batch.clear()
        self._batch.add(prompt, 0, seq_id)
        self._decode()
        return self._draw(-1)

    def step(self, tokens: Sequence[int], position: int) -> list[int]:
        """Decode one token a sequence; the next one of each."""
        self._batch.clear()
        for seq_id, token in enumerate(tokens):
            self._vocab.token_bytes(token)
            self._batch.add([token], position, seq_id)
        self._decode()
        return [self._draw(row) for row in range(len(tokens))]

    def rest(self) -> None:
        """Its threads would slow down whoever computes next."""
        let_team_go()

    def _draw(self, row: int) -> int:
        return int(c.llama_sampler_sample(self._chain.pointer, self._context.pointer, row))

    def _decode(self) -> None:
        if c.llama_decode(self._context.pointer, self._batch.native):
            raise SystemExit("llama_decode failed")
