"""Whether answers are the same in a batch with others, up to llama.cpp's own noise.

usage: python benchmarks/mixed_batches.py [MODEL]

The noise: prompts read by a bare llama_decode, each alone and all in one batch, and how far apart
the log-probabilities of the likeliest tokens come out. The engine: greedy answers to the same
prompts, each alone and all at once. Where two answers part, the two tokens must be as likely but
for that noise, which may have moved both: at most twice as far apart. Random weights make many
tokens nearly as likely, so there most answers part somewhere.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import headline
from random_model import model_path

from llamaherd import ContextParams, Llama
from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native.handles import Batch

N_PROMPTS, N_PROMPT, N_DRAWN, N_LIKELIEST = 16, 96, 32, 1000
Logprobs = npt.NDArray[np.float64]


def noise(model: Model, prompts: list[list[int]]) -> float:
    """Largest difference of a likely token's log-probability, alone against in one batch."""
    context = model.new_context(ContextParams(n_ctx=2048, n_parallel=len(prompts)))
    batch, memory = Batch(2048), c.llama_get_memory(context.pointer)

    def last_rows(chosen: list[list[int]]) -> list[Logprobs]:
        c.llama_memory_clear(memory, True)
        batch.clear()
        rows = []
        for seq_id, prompt in enumerate(chosen):
            batch.add(prompt, 0, seq_id)
            rows.append(batch.n_tokens - 1)
        if c.llama_decode(context.pointer, batch.native):
            raise SystemExit("llama_decode failed")
        return [logprobs(row) for row in rows]

    def logprobs(row: int) -> Logprobs:
        pointer = c.llama_get_logits_ith(context.pointer, row)
        logits = np.ctypeslib.as_array(pointer, (len(model.vocab),)).astype(np.float64)
        shifted = logits - logits.max()
        return np.asarray(shifted - np.log(np.exp(shifted).sum()))

    together = last_rows(prompts)
    found = 0.0
    for prompt, mixed in zip(prompts, together, strict=True):
        (alone,) = last_rows([prompt])
        likeliest = np.argsort(alone)[-N_LIKELIEST:]
        found = max(found, float(np.abs(alone - mixed)[likeliest].max()))
    return found


def gap(mixed: dict[str, Any], alone: dict[str, Any]) -> float | None:
    """How much likelier one token is than the other where two answers part; None: nowhere."""
    here, there = (done["choices"][0]["logprobs"] for done in (mixed, alone))
    steps = zip(here["tokens"], there["tokens"], there["top_logprobs"], strict=True)
    for token, other, top in steps:
        if token != other:
            return float(abs(top.get(token, -np.inf) - top[other]))
    return None


def main() -> None:
    """The noise, then the engine."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    path = arguments.parse_args().model or model_path()
    print(headline())
    dice = np.random.default_rng(0)
    prompts = [dice.integers(300, 20_000, N_PROMPT).tolist() for _ in range(N_PROMPTS)]
    options: dict[str, Any] = {"temperature": 0, "ignore_eos": True, "logprobs": N_LIKELIEST}
    with Llama(path, n_ctx=4096, n_parallel=N_PROMPTS) as llm:
        bare = noise(llm.model, prompts)
        print(f"noise of llama_decode: log-probabilities up to {bare:.4f} apart", flush=True)

        def ask(prompt: list[int]) -> Any:
            return llm(prompt, max_tokens=N_DRAWN, **options)

        alone = []
        for prompt in prompts:
            llm.reset()
            alone.append(ask(prompt))
        llm.reset()
        with ThreadPoolExecutor(N_PROMPTS) as callers:
            mixed = list(callers.map(ask, prompts))
    gaps = [gap(one, other) for one, other in zip(mixed, alone, strict=True)]
    parted = [each for each in gaps if each is not None]
    print(
        f"{N_PROMPTS - len(parted)} of {N_PROMPTS} answers of {N_DRAWN} tokens are equal; the "
        f"others part between tokens up to {max(parted, default=0.0):.4f} apart"
    )


if __name__ == "__main__":
    main()
