"""Guesses by prediction layers and by a small model: what they gain, and what they cost in vain.

usage: python benchmarks/drafts.py [KIND ...] [--known all|half|none] [--rounds N] [--drawn N]

The models of counting_model.py count, and their guessers know what follows all, half or none of
the tokens that an answer passes, so that as many guesses come true. 1 and 4 requests draw at a time
with and without guesses, in turn; ratios are medians over pairs. Last, a prompt of 512 tokens is
read and 8 are drawn, which prediction layers must read, too. Aims: faster where all guesses come
true, at most 3% slower where none does.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from counting_model import KNOWN, counting_model, starts
from machine import headline, median_ratio

from llamaherd import Llama

KINDS: dict[str, tuple[str, str]] = {
    "hybrid": ("hybrid", "mtp"),
    "dense": ("dense", "mtp"),
    "draft": ("dense", "draft"),
}
"""Which model, and what guesses for it."""


def tokens_a_second(llm: Llama, prompts: list[list[int]], n_drawn: int) -> float:
    """Of all prompts together."""
    llm.reset()

    def answer(prompt: list[int]) -> int:
        found = list(llm.generate(prompt, temperature=0, max_tokens=n_drawn, ignore_eos=True))
        assert found == list(range(prompt[-1] + 1, prompt[-1] + 1 + n_drawn)), "it must count"
        return len(found)

    with ThreadPoolExecutor(len(prompts)) as callers:
        begin = time.perf_counter()
        n_tokens = sum(callers.map(answer, prompts))
        return n_tokens / (time.perf_counter() - begin)


def compare(
    name: str, guessing: Llama, plain: Llama, prompts: list[list[int]], n_drawn: int, rounds: int
) -> None:
    """One line: rates in turn, and how many guesses came true."""
    before = guessing.stats()
    pairs = [
        (tokens_a_second(guessing, prompts, n_drawn), tokens_a_second(plain, prompts, n_drawn))
        for _ in range(rounds)
    ]
    after = guessing.stats()
    n_proposed = after.proposed_tokens - before.proposed_tokens
    n_accepted = after.accepted_tokens - before.accepted_tokens
    with_it, without = zip(*pairs, strict=True)
    print(
        f"{name:34} with {max(with_it):6.1f}   without {max(without):6.1f} tokens/s   ratio "
        f"{median_ratio(with_it, without):.3f}   {n_accepted} of {n_proposed} guesses came true",
        flush=True,
    )


def measure(kind: str, stretches: list[str], rounds: int, n_drawn: int) -> None:
    """The cases of a kind of model."""
    model, guesser = KINDS[kind]
    draft: Any = "mtp" if guesser == "mtp" else counting_model(guesser)
    options: dict[str, Any] = {"n_ctx": 4096, "n_parallel": 4}
    path = counting_model(model)
    with Llama(path, **options) as plain, Llama(path, draft_model=draft, **options) as guessing:
        for llm in (plain, guessing):  # reads the file's pages
            tokens_a_second(llm, starts("all", 4), 8)
        for stretch in stretches:
            for n in (1, 4):
                name = f"{kind}, {stretch} known, {n} at a time"
                compare(name, guessing, plain, starts(stretch, n), n_drawn, rounds)
        prompt = [token for start in starts("none", 32) for token in start]
        compare(f"{kind}, a prompt of {len(prompt)}", guessing, plain, [prompt], 8, rounds)


def main() -> None:
    """Measure the kinds asked for."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND")
    arguments.add_argument("--known", nargs="+", choices=list(KNOWN), default=list(KNOWN))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--drawn", type=int, default=192)
    chosen = arguments.parse_args()
    print(headline())
    for kind in chosen.kinds or KINDS:
        measure(kind, chosen.known, chosen.rounds, chosen.drawn)


if __name__ == "__main__":
    main()
