"""Prompt lookup: what it gains where text repeats, and what it costs where it does not.

usage: python benchmarks/speculation.py [--rounds N]

The same model with and without, alternating. It counts (counting_model.py), so that the prompt
decides: behind the beginning of a passage that the prompt holds, the answer copies the passage;
behind anything else it says what was never said. Aims: faster where it repeats; at most 3% slower
where it does not.
"""

from __future__ import annotations

import argparse

import numpy as np
from counting_model import counting_model, starts
from machine import headline, median_ratio

from llamaherd import Llama

N_DRAWN = 192


def seconds_a_token(llm: Llama, prompt: list[int]) -> float:
    """Of the drawing alone."""
    llm.reset()
    done = llm(prompt, temperature=0, max_tokens=N_DRAWN, ignore_eos=True)
    return float(done["timings"]["predicted_per_token_ms"]) / 1e3


def main() -> None:
    """Alternate with and without."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    path = counting_model("dense")
    print(headline())
    (start,) = starts("none", 1)
    passage = list(range(start[0], start[0] + N_DRAWN + 8))
    cases = {"text that does not repeat": start, "a copied passage": passage + passage[:4]}
    with (
        Llama(path, n_ctx=1024) as plain,
        Llama(path, n_ctx=1024, draft_model="prompt_lookup") as guessing,
    ):
        for name, prompt in cases.items():
            before = guessing.stats()
            pairs = [
                (seconds_a_token(guessing, prompt), seconds_a_token(plain, prompt))
                for _ in range(chosen.rounds)
            ]
            after = guessing.stats()
            with_it, without = ([1 / pair[at] for pair in pairs] for at in (0, 1))
            print(
                f"{name:26}  with {np.median(with_it):6.1f} tokens/s   without "
                f"{np.median(without):6.1f} tokens/s   ratio {median_ratio(with_it, without):.3f}"
                f"   {after.accepted_tokens - before.accepted_tokens} of "
                f"{after.proposed_tokens - before.proposed_tokens} guesses came true",
                flush=True,
            )


if __name__ == "__main__":
    main()
