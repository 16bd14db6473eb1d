"""Streaming through Llama against a bare loop over the C API, on the same weights.

usage: python benchmarks/streaming.py [MODEL] [--rounds N]

Both read the same prompt of 512 tokens from an empty cache and draw 128 tokens greedily, one
text chunk each. Rounds alternate; the ratio is the median over pairs. Aim: at least 0.97 each.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bare_loop import BareLoop
from machine import headline, median_ratio
from random_model import model_path

from llamaherd import Llama

N_PROMPT, N_DRAWN, N_CTX = 512, 128, 1024


@dataclass(frozen=True)
class Rates:
    """Tokens a second."""

    prompt: float
    generation: float


def run_bare(loop: BareLoop, prompt: list[int]) -> Rates:
    """One round of the bare loop, from an empty cache."""
    loop.clear()
    start = time.perf_counter()
    token = loop.read(prompt)
    first = time.perf_counter()
    for position in range(N_PROMPT, N_PROMPT + N_DRAWN - 1):
        (token,) = loop.step([token], position)
    end = time.perf_counter()
    loop.rest()
    return Rates(N_PROMPT / (first - start), (N_DRAWN - 1) / (end - first))


def run_llama(llm: Llama, prompt: list[int]) -> Rates:
    """One round through the public streaming interface, timed by the consumer."""
    llm.reset()
    start = time.perf_counter()
    moments = []
    stream = llm.create_completion(
        prompt, stream=True, temperature=0, max_tokens=N_DRAWN, ignore_eos=True
    )
    for chunk in stream:
        if chunk["choices"][0]["text"]:
            moments.append(time.perf_counter())
    n_events = len(moments)
    assert n_events > N_DRAWN * 0.9, "almost every token must have been a chunk"
    return Rates(N_PROMPT / (moments[0] - start), (N_DRAWN - 1) / (moments[-1] - moments[0]))


def main() -> None:
    """Alternate, then print the medians' ratio."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--rounds", type=int, default=7)
    chosen = arguments.parse_args()
    print(headline())
    with Llama(chosen.model or model_path(), n_ctx=N_CTX) as llm:
        prompt = [int(t) for t in np.random.default_rng(0).integers(300, 20_000, N_PROMPT)]
        bare = BareLoop(llm.model, N_CTX)
        run_bare(bare, prompt)  # both warm up
        run_llama(llm, prompt)
        pairs = [(run_llama(llm, prompt), run_bare(bare, prompt)) for _ in range(chosen.rounds)]
    for what in ("prompt", "generation"):
        ours = [getattr(a, what) for a, _ in pairs]
        theirs = [getattr(b, what) for _, b in pairs]
        print(
            f"{what:10}  Llama {np.median(ours):7.1f} tokens/s   bare loop "
            f"{np.median(theirs):7.1f} tokens/s   ratio {median_ratio(ours, theirs):.3f}"
        )


if __name__ == "__main__":
    main()
