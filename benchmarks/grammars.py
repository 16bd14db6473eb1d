"""What it costs to hold answers to a grammar, and what it saves.

usage: python benchmarks/grammars.py [MODEL]

- Mask and advance for each token of a JSON text: microseconds, median. Aim: at most 150 with 128k
  tokens in the vocabulary.
- 8 requests at once that a grammar holds to lower-case text, and 8 free ones: tokens a second. Aim:
  at most 10% fewer.
- A record of 8 fields by json_schema, and as many tokens drawn freely: seconds. Aim: at most half.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import headline
from random_model import model_path

from llamaherd import Llama
from llamaherd.constrain import Constrainer

ROUNDS = 3
FREE: dict[str, Any] = {"temperature": 0, "ignore_eos": True}
FIELDS: dict[str, Any] = {
    "customer_satisfaction": {"enum": ["low", "medium", "high"]},
    "recommended_next_step": {"enum": ["refund", "exchange", "call back", "none"]},
    "is_returning_customer": {"type": "boolean"},
    "number_of_complaints": {"type": "integer", "minimum": 0, "maximum": 9},
    "preferred_language": {"enum": ["English", "French", "German"]},
    "requires_human_review": {"type": "boolean"},
    "estimated_delay_days": {"type": "integer", "minimum": 0, "maximum": 99},
    "department_responsible": {"enum": ["sales", "support", "logistics"]},
}
RECORD: dict[str, Any] = {
    "type": "object",
    "properties": FIELDS,
    "required": list(FIELDS),
    "additionalProperties": False,
}


def token_cost(llm: Llama) -> str:
    """Mask and advance, token by token, without the model."""
    names = [f"field_{i}" for i in range(8)]
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    text = json.dumps(
        dict.fromkeys(names, "some words, quite a few of them"), separators=(",", ":")
    )
    tokens = llm.tokenize(text, add_bos=False)
    constrainer = Constrainer(llm.model.vocab)
    constrainer.compile(json_schema=schema)
    logits = np.random.default_rng(0).standard_normal(llm.n_vocab(), dtype=np.float32)
    spent = []
    for _ in range(ROUNDS):
        constraint = constrainer.compile(json_schema=schema)
        assert constraint is not None
        for token in tokens:
            row = logits.copy()
            start = time.perf_counter()
            constraint.mask(row)
            constraint.accept(token)
            constraint.forced()
            spent.append(time.perf_counter() - start)
    micros = statistics.median(spent) * 1e6
    return f"mask and advance at {llm.n_vocab():,} tokens: median {micros:.0f} us a token"


def batch(llm: Llama, dice: np.random.Generator) -> str:
    """Eight held to a grammar against eight free ones, in turns."""
    prompts = [dice.integers(300, 20_000, 40).tolist() for _ in range(8)]
    kinds: dict[str, dict[str, Any]] = {"free": {}, "held": {"grammar": "start: /[a-z ]+/"}}
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, options in kinds.items():
            llm(prompts, max_tokens=1, **FREE, **options)  # the prompts lie in memory now
            start = time.perf_counter()
            done = llm(prompts, max_tokens=48, **FREE, **options)
            n_tokens = done["usage"]["completion_tokens"]
            spent[kind].append((time.perf_counter() - start) / n_tokens)
    ratio = statistics.median(f / h for f, h in zip(spent["free"], spent["held"], strict=True))
    rates = {kind: 1 / statistics.median(seconds) for kind, seconds in spent.items()}
    return (
        f"8 at once: {rates['held']:.1f} tokens/s held to a grammar, {rates['free']:.1f} free, "
        f"ratio {ratio:.3f}"
    )


def record(llm: Llama, dice: np.random.Generator) -> str:
    """A record against as many free tokens, in turns."""
    prompt = dice.integers(300, 20_000, 40).tolist()
    pairs = []
    for _ in range(ROUNDS + 1):  # the first one compiles
        llm(prompt, max_tokens=1, **FREE)
        start = time.perf_counter()
        done = llm(prompt, json_schema=RECORD, temperature=0)
        held = time.perf_counter() - start
        n_tokens = done["usage"]["completion_tokens"]
        start = time.perf_counter()
        llm(prompt, max_tokens=n_tokens, **FREE)
        pairs.append((held, time.perf_counter() - start))
    held, free = (statistics.median(side) for side in zip(*pairs[1:], strict=True))
    ratio = statistics.median(one / other for one, other in pairs[1:])
    return f"record of {n_tokens} tokens: {held:.2f} s, free {free:.2f} s, ratio {ratio:.3f}"


def main() -> None:
    """Each in turn."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    path = arguments.parse_args().model or model_path()
    print(headline())
    dice = np.random.default_rng(0)
    with Llama(path, n_ctx=4096, n_parallel=8) as llm:
        print(token_cost(llm), flush=True)
        print(batch(llm, dice), flush=True)
        print(record(llm, dice), flush=True)


if __name__ == "__main__":
    main()
