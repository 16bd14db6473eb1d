"""The engine's throughput against a bare llama_decode loop of the same batch, and its own time.

usage: python benchmarks/batching.py [MODEL] [--rounds N]     "demo" is a model, too

1, 4, 8 and 16 requests draw greedily at a time, each after a prompt of 16 tokens; rounds alternate,
ratios are medians over pairs. Aim: at least 0.96. "Python a step" is the median step's time
outside native calls, which are llama.cpp's and, where only the likeliest token is wanted, NumPy's
argmax in place of llama_sampler_sample; aim: at most 150 us + 25 us a running request. The bytes of
all tokens are asked for before: random weights draw from the whole vocabulary, texts do not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from bare_loop import BareLoop
from machine import headline, median_ratio
from random_model import model_path

from llamaherd import Llama
from llamaherd.engine import TokenSampler
from llamaherd.native import bindings

N_PROMPT, N_DRAWN, SIZES = 16, 32, (1, 4, 8, 16)
N_CTX = max(SIZES) * (N_PROMPT + N_DRAWN + 8)


class Stopwatch:
    """When steps ended, and the seconds of Python in each: without its native calls."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.python: list[float] = []
        self._native = 0.0

    def native(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time left out."""

        def call(*args: Any, clock: Callable[[], float] = time.perf_counter) -> Any:
            start = clock()
            result = function(*args)
            self._native += clock() - start
            return result

        return call

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a step."""

        def call(*args: Any, clock: Callable[[], float] = time.perf_counter) -> Any:
            start, self._native = clock(), 0.0
            result = function(*args)
            end = clock()
            self.ends.append(end)
            self.python.append(end - start - self._native)
            return result

        return call


def watch_engine(llm: Llama) -> Stopwatch:
    """Its worker's steps."""
    watch, worker, runner = Stopwatch(), llm._engine._worker, llm._engine._runner
    worker.step = watch.step(worker.step)  # type: ignore[method-assign]
    runner._decode = watch.native(runner._decode)
    runner._logits_address = watch.native(runner._logits_address)  # type: ignore[assignment]
    TokenSampler._likeliest = watch.native(TokenSampler._likeliest)  # type: ignore[method-assign]
    return watch


def watch_bare(loop: BareLoop) -> Stopwatch:
    """Its steps; engines that are there have taken their functions before."""
    watch = Stopwatch()
    loop.step = watch.step(loop.step)  # type: ignore[method-assign]
    bindings.llama_decode = watch.native(bindings.llama_decode)
    bindings.llama_sampler_sample = watch.native(bindings.llama_sampler_sample)
    return watch


@dataclass(frozen=True)
class Speed:
    """Of N_DRAWN steps.

    Attributes:
        rate: tokens a second.
        python_us: microseconds of Python in the median step.
    """

    rate: float
    python_us: float

    @classmethod
    def of(cls, watch: Stopwatch, first: int, n_requests: int) -> Speed:
        """From the step behind ``first`` on."""
        last = first + N_DRAWN
        seconds = watch.ends[last] - watch.ends[first]
        python_us = 1e6 * float(np.median(watch.python[first + 1 : last + 1]))
        return cls(N_DRAWN * n_requests / seconds, python_us)


def run_bare(loop: BareLoop, prompts: list[list[int]], watch: Stopwatch) -> Speed:
    """Once all prompts are read."""
    loop.clear()
    tokens = [loop.read(prompt, seq_id) for seq_id, prompt in enumerate(prompts)]
    first = len(watch.ends)
    for position in range(N_PROMPT, N_PROMPT + N_DRAWN + 1):
        tokens = loop.step(tokens, position)
    loop.rest()
    return Speed.of(watch, first, len(prompts))


def run_engine(llm: Llama, prompts: list[list[int]], watch: Stopwatch) -> Speed:
    """The same through the engine."""
    llm.reset()
    options = {"temperature": 0, "max_tokens": N_DRAWN + 8, "ignore_eos": True}
    stream = llm(prompts, stream=True, **options)  # type: ignore[call-overload]
    waiting = set(range(len(prompts)))
    while waiting:  # until every request has drawn a token
        waiting.discard(next(stream)["choices"][0]["index"])
    first = len(watch.ends)
    for _ in stream:
        if len(watch.ends) > first + N_DRAWN:
            break
    stream.close()
    return Speed.of(watch, first, len(prompts))


def main() -> None:
    """Alternate for each size, then print the medians' ratio."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", default=None)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    print(headline())
    dice = np.random.default_rng(0)
    with Llama(chosen.model or model_path(), n_ctx=N_CTX, n_parallel=max(SIZES)) as llm:
        watch, bare = watch_engine(llm), BareLoop(llm.model, N_CTX, max(SIZES))
        bare_watch, n_vocab = watch_bare(bare), len(llm.model.vocab)
        for token in range(n_vocab):
            llm.model.vocab.token_bytes(token)
        for size in SIZES:
            most = min(20_000, n_vocab)
            prompts = [dice.integers(300, most, N_PROMPT).tolist() for _ in range(size)]
            run_bare(bare, prompts, bare_watch)
            run_engine(llm, prompts, watch)
            pairs = [
                (run_engine(llm, prompts, watch), run_bare(bare, prompts, bare_watch))
                for _ in range(chosen.rounds)
            ]
            ours, theirs = zip(*pairs, strict=True)
            rates, bare_rates = ([speed.rate for speed in side] for side in (ours, theirs))
            python_us, bare_us = (np.median([s.python_us for s in side]) for side in (ours, theirs))
            print(
                f"{size:2} requests  engine {np.median(rates):7.1f} tokens/s   bare loop "
                f"{np.median(bare_rates):7.1f} tokens/s   ratio "
                f"{median_ratio(rates, bare_rates):.3f}   Python a step {python_us:4.0f} us "
                f"(aim: {150 + 25 * size}; the bare loop's {bare_us:4.0f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
