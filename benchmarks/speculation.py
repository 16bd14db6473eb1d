"""Prompt lookup: what it gains where text repeats, and what it costs where it does not.

usage: python benchmarks/speculation.py [MODEL] [--rounds N]

The same model with and without, alternating. A random model repeats nothing by itself, so the
repeating text is one that the grammar dictates: an answer that copies a passage of its prompt.
Aims: faster where it repeats; at most 3% slower where it does not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from machine import headline, median_ratio
from random_model import model_path

from llamaherd import Llama

PASSAGE = "the quick brown fox jumps over the lazy dog while seven wizards watch from a hill "


def seconds_a_token(llm: Llama, prompt: str | list[int], **options: Any) -> float:
    """Of the drawing alone."""
    llm.reset()
    done = llm(prompt, temperature=0, **options)
    return float(done["timings"]["predicted_per_token_ms"]) / 1e3


def main() -> None:
    """Alternate with and without."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    path = chosen.model or model_path()
    print(headline())
    fresh = np.random.default_rng(0).integers(300, 20_000, 64).tolist()
    copied: dict[str, Any] = {"grammar": f'start: "{PASSAGE * 3}"'}
    cases: list[tuple[str, str | list[int], dict[str, Any]]] = [
        ("text that does not repeat", fresh, {"max_tokens": 192, "ignore_eos": True}),
        ("a copied passage", PASSAGE * 4, copied),
    ]
    with (
        Llama(path, n_ctx=1024) as plain,
        Llama(path, n_ctx=1024, draft_model="prompt_lookup") as guessing,
    ):
        for name, prompt, options in cases:
            pairs = [
                (seconds_a_token(guessing, prompt, **options),
                 seconds_a_token(plain, prompt, **options))
                for _ in range(chosen.rounds)
            ]  # fmt: skip
            with_it, without = ([1 / pair[at] for pair in pairs] for at in (0, 1))
            print(
                f"{name:26}  with {np.median(with_it):6.1f} tokens/s   without "
                f"{np.median(without):6.1f} tokens/s   ratio {median_ratio(with_it, without):.3f}",
                flush=True,
            )
        stats = guessing.stats()
    print(f"guessed {stats.proposed_tokens} tokens, {stats.accepted_tokens} came true")


if __name__ == "__main__":
    main()
