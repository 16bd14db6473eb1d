"""The engine's throughput against a bare llama_decode loop of the same batch, and its own time.

usage: python benchmarks/batching.py [MODEL] [--rounds N]

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
from pathlib import Path
from typing import Any

import numpy as np
from bare_loop import BareLoop
from machine import headline, median_ratio
from random_model import model_path

from llamaherd import Llama
from llamaherd.engine import TokenSampler

N_PROMPT, N_DRAWN, SIZES = 16, 32, (1, 4, 8, 16)
N_CTX = max(SIZES) * (N_PROMPT + N_DRAWN + 8)


class Stopwatch:
    """Seconds of the engine's steps, and of the native calls inside them."""

    def __init__(self, llm: Llama) -> None:
        self.native = 0.0
        self.ends: list[float] = []  # of steps, and the seconds of Python in them
        self.python: list[float] = []
        worker, runner = llm._engine._worker, llm._engine._runner
        self._step = worker.step
        worker.step = self.step  # type: ignore[method-assign]
        runner._decode = self.timed(runner._decode)
        runner._logits_address = self.timed(runner._logits_address)  # type: ignore[assignment]
        TokenSampler._likeliest = self.timed(TokenSampler._likeliest)  # type: ignore[method-assign]

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted."""

        def call(*args: Any, clock: Callable[[], float] = time.perf_counter) -> Any:
            start = clock()
            result = function(*args)
            self.native += clock() - start
            return result

        return call

    def step(self) -> None:
        """One step of the engine."""
        start, self.native = time.perf_counter(), 0.0
        self._step()
        end = time.perf_counter()
        self.ends.append(end)
        self.python.append(end - start - self.native)


def run_bare(loop: BareLoop, prompts: list[list[int]]) -> float:
    """Tokens a second once all prompts are read."""
    loop.clear()
    tokens = [loop.read(prompt, seq_id) for seq_id, prompt in enumerate(prompts)]
    start = time.perf_counter()
    for position in range(N_PROMPT, N_PROMPT + N_DRAWN):
        tokens = loop.step(tokens, position)
    seconds = time.perf_counter() - start
    loop.rest()
    return N_DRAWN * len(prompts) / seconds


def run_engine(llm: Llama, prompts: list[list[int]], watch: Stopwatch) -> tuple[float, float]:
    """The same through the engine, and its microseconds of Python a step."""
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
    seconds = watch.ends[first + N_DRAWN] - watch.ends[first]
    python_s = watch.python[first + 1 : first + N_DRAWN + 1]
    return N_DRAWN * len(prompts) / seconds, 1e6 * float(np.median(python_s))


def main() -> None:
    """Alternate for each size, then print the medians' ratio."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    print(headline())
    dice = np.random.default_rng(0)
    with Llama(chosen.model or model_path(), n_ctx=N_CTX, n_parallel=max(SIZES)) as llm:
        watch = Stopwatch(llm)
        for token in range(len(llm.model.vocab)):
            llm.model.vocab.token_bytes(token)
        bare = BareLoop(llm.model, N_CTX, max(SIZES))
        for size in SIZES:
            prompts = [dice.integers(300, 20_000, N_PROMPT).tolist() for _ in range(size)]
            run_bare(bare, prompts)
            run_engine(llm, prompts, watch)
            pairs = [
                (run_engine(llm, prompts, watch), run_bare(bare, prompts))
                for _ in range(chosen.rounds)
            ]
            ours, theirs = [a for (a, _), _ in pairs], [b for _, b in pairs]
            python_us = float(np.median([us for (_, us), _ in pairs]))
            print(
                f"{size:2} requests  engine {np.median(ours):7.1f} tokens/s   bare loop "
                f"{np.median(theirs):7.1f} tokens/s   ratio {median_ratio(ours, theirs):.3f}   "
                f"Python a step {python_us:4.0f} us (aim: {150 + 25 * size})",
                flush=True,
            )


if __name__ == "__main__":
    main()
