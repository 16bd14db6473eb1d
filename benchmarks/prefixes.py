"""What is not read twice: shared prefixes, the next turn, a saved prompt.

usage: python benchmarks/prefixes.py [MODEL]

- 16 requests that share 600 tokens and have 30 of their own, arriving at once: prompt tokens read,
  a counter that does not depend on the machine. Aim: at most 1.05 x (600 + 16 x 30).
- The second turn of a chat: prompt tokens read beyond the new ones. Aim: 0 (the last token that was
  drawn was never read, so it counts as new).
- A cold start with a saved prompt of 2,000 tokens: seconds to the first token, with the file and
  without. Aim: at least 10 x sooner.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import headline
from random_model import model_path

from llamaherd import Llama

OPTIONS: dict[str, Any] = {"temperature": 0, "ignore_eos": True}


def shared(llm: Llama, dice: np.random.Generator) -> str:
    """Sixteen callers with one system prompt."""
    common = dice.integers(300, 20_000, 600).tolist()
    prompts = [common + dice.integers(300, 20_000, 30).tolist() for _ in range(16)]
    before = llm.stats().prompt_tokens
    llm(prompts, max_tokens=1, **OPTIONS)
    n_read, least = llm.stats().prompt_tokens - before, 600 + 16 * 30
    return f"shared prefix: {n_read} tokens read of at least {least}, ratio {n_read / least:.3f}"


def next_turn(llm: Llama, dice: np.random.Generator) -> str:
    """A conversation that goes on."""
    prompt = dice.integers(300, 20_000, 200).tolist()
    answer = list(llm.generate(prompt, max_tokens=20, **OPTIONS))
    new = dice.integers(300, 20_000, 25).tolist()
    before = llm.stats().prompt_tokens
    llm([*prompt, *answer, *new], max_tokens=1, **OPTIONS)
    n_read = llm.stats().prompt_tokens - before
    return f"second turn: {n_read} tokens read for {len(new)} new ones and 1 drawn last"


def cold_start(path: Path, prompt: list[int], folder: Path | None) -> float:
    """Seconds from the request to its first token, in a model just loaded."""
    with Llama(path, n_ctx=2560, prompt_cache=folder) as llm:
        question = [*prompt, 400, 401, 402]
        start = time.perf_counter()
        next(iter(llm(question, stream=True, max_tokens=1, **OPTIONS)))
        return time.perf_counter() - start


def loading(path: Path, folder: Path | None) -> float:
    """Seconds to load the model, saved prompts included."""
    start = time.perf_counter()
    with Llama(path, n_ctx=2560, prompt_cache=folder):
        return time.perf_counter() - start


def main() -> None:
    """Each in turn."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    path = arguments.parse_args().model or model_path()
    print(headline())
    dice = np.random.default_rng(0)
    with Llama(path, n_ctx=4096, n_parallel=16) as llm:
        print(shared(llm, dice), flush=True)
        print(next_turn(llm, dice), flush=True)
    prompt = dice.integers(300, 20_000, 2000).tolist()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Llama(path, n_ctx=2560, prompt_cache=folder) as llm:
            size = llm.save_prompt(prompt).stat().st_size
        with_file, without = cold_start(path, prompt, folder), cold_start(path, prompt, None)
        extra = loading(path, folder) - loading(path, None)
    print(
        f"saved prompt of {len(prompt)} tokens ({size / 1e6:.0f} MB): first token after "
        f"{with_file:.3f} s, without it {without:.3f} s, ratio {without / with_file:.1f}; "
        f"loading takes {extra:.2f} s more"
    )


if __name__ == "__main__":
    main()
