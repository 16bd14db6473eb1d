"""llamaherd-kernels against stock llama.cpp: reading a prompt, and decoding 1 to 32 sequences.

usage: python benchmarks/kernels.py [--type q4_k_m|q8_0|q5_k_m|f16|bf16] [--rounds N] [--model FILE]

Three sides, each in its own process with the model loaded: stock, stock with use_extra_bufts off
(its best flag for prompts on some CPUs), and the plugin. They take turns; a table cell is the
median of a side's tokens a second, a ratio the median over rounds. Before that they load the
model five times more, in turns, from a page cache that has it into memory that is there: medians
of seconds and of the differences. Aims of the project, over stock: prompt 2.7, decoding 1 1.05,
2 2.0, 4 3.0, 8 4.0, 16 3.0, 32 2.5; prompt over the flag: 1.55; loading at most 0.4 s a GB more.
"""

from __future__ import annotations

import argparse
import mmap
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import headline, median_ratio
from random_model import model_path

from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native import kernels
from llamaherd.native.handles import Batch
from llamaherd.params import ContextParams, ModelParams

N_PROMPT, N_HISTORY, N_CTX = 512, 16, 2048
SEQUENCES = (1, 2, 4, 8, 16, 32)
LOAD, LOADS = "load", 5
TESTS = ("prompt 512", *(f"decode {n}" for n in SEQUENCES))
SIDES = {
    "stock": ModelParams(kernels="off"),
    "stock, no repacking": ModelParams(kernels="off", use_extra_bufts=False),
    "kernels": ModelParams(kernels="auto"),
}


class Side:
    """One loaded model and a context for 32 sequences."""

    def __init__(self, path: Path, params: ModelParams) -> None:
        self._path, self._params = path, params
        self._model = Model(path, params)
        self._context = self._model.new_context(
            ContextParams(n_ctx=N_CTX, n_parallel=max(SEQUENCES), n_batch=N_PROMPT)
        )
        self._batch = Batch(N_PROMPT)
        self._tokens = [int(t) for t in np.random.default_rng(0).integers(300, 20_000, N_PROMPT)]

    def load(self) -> float:
        """Seconds to load the model once more."""
        touch_memory(int(1.5 * self._path.stat().st_size))
        start = time.perf_counter()
        model = Model(self._path, self._params)
        seconds = time.perf_counter() - start
        model.close()
        return seconds

    def run(self, test: str) -> float:
        """Tokens a second; of `LOAD` seconds."""
        if test == LOAD:
            return self.load()
        c.llama_memory_clear(c.llama_get_memory(self._context.pointer), True)
        kind, _, count = test.partition(" ")
        return self._read(int(count)) if kind == "prompt" else self._decode(int(count))

    def _read(self, n: int) -> float:
        start = time.perf_counter()
        self._step([(token, i, 0) for i, token in enumerate(self._tokens[:n])], all_logits=False)
        return n / (time.perf_counter() - start)

    def _decode(self, n: int) -> float:
        for seq in range(n):
            history = [(self._tokens[seq + i], i, seq) for i in range(N_HISTORY)]
            self._step(history, all_logits=False)
        steps = 8 if n >= 8 else 16
        start = time.perf_counter()
        for step in range(steps):
            row = [(self._tokens[step + seq], N_HISTORY + step, seq) for seq in range(n)]
            self._step(row, all_logits=True)
        return steps * n / (time.perf_counter() - start)

    def _step(self, tokens: list[tuple[int, int, int]], all_logits: bool) -> None:
        batch = self._batch.native
        batch.n_tokens = len(tokens)
        for i, (token, position, seq) in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, position
            batch.seq_id[i][0], batch.n_seq_id[i] = seq, 1
            batch.logits[i] = all_logits or i == len(tokens) - 1
        if c.llama_decode(self._context.pointer, batch):
            raise SystemExit("llama_decode failed")


def touch_memory(size: int) -> None:
    """Have so many bytes of free memory that are really there.

    A virtual machine may have given them back to its host (virtio-balloon's free page reporting,
    two seconds after they were freed), and whoever is next to use them waits for the host, up to
    a second a GB, whatever is loaded with.
    """
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # what is shared gets no huge pages
    with mmap.mmap(-1, size, kind) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        memory[:: mmap.PAGESIZE] = bytes(len(range(0, size, mmap.PAGESIZE)))


def serve(pipe: Connection, path: Path, params: ModelParams) -> None:
    """A side's process: load, warm up, then run what is asked for until None comes."""
    side = Side(path, params)
    side.run(TESTS[1])
    pipe.send(
        (
            str(kernels.status()) if params.kernels == "auto" else "",
            kernels.packed_bytes(),
        )
    )
    for test in iter(pipe.recv, None):
        pipe.send(side.run(test))


@dataclass(frozen=True)
class Remote:
    """A side as the parent sees it."""

    pipe: Connection
    status: str
    packed_bytes: int

    def run(self, test: str) -> float:
        """What the side's own says."""
        self.pipe.send(test)
        return float(self.pipe.recv())


def start(path: Path, params: ModelParams) -> Remote:
    """A process of its own for one side."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    spawn.Process(target=serve, args=(there, path, params), daemon=True).start()
    return Remote(here, *here.recv())


def measure(sides: dict[str, Remote], rounds: int, tests: list[str]) -> dict[str, dict[str, Any]]:
    """test -> side -> rates, a round after the other."""
    rates: dict[str, dict[str, Any]] = {t: {name: [] for name in sides} for t in tests}
    for _ in range(rounds):
        for test in tests:
            for name, side in sides.items():
                rates[test][name].append(side.run(test))
    return rates


def show(rates: dict[str, dict[str, Any]], say: Callable[[str], None] = print) -> None:
    """The table of the README."""
    names = list(SIDES)
    say(f"| test | {' | '.join(names)} | ratio to stock | to no repacking |")
    say(f"| --- |{' --- |' * (len(names) + 2)}")
    for test, by_side in rates.items():
        cells = [f"{median(by_side[name]):.1f}" for name in names]
        ratios = [f"{median_ratio(by_side['kernels'], by_side[name]):.2f}" for name in names[:2]]
        say(f"| {test} | {' | '.join(cells + ratios)} |")


def main() -> None:
    """Start all three, take turns, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--type", default="q4_k_m")
    arguments.add_argument("--model", type=Path)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", nargs="*", default=list(TESTS), help="some of the tests")
    chosen = arguments.parse_args()
    path = chosen.model or model_path(chosen.type)
    sides = {name: start(path, params) for name, params in SIDES.items()}
    ours = sides["kernels"]
    print(headline())
    print(f"{path.name}; kernels: {ours.status}")
    size = path.stat().st_size
    loads = measure(sides, LOADS, [LOAD])[LOAD]
    for name, seconds in loads.items():
        print(
            f"{name}: loads in {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
        )
    more = [a - b for a, b in zip(loads["kernels"], loads["stock"], strict=True)]
    extra, packed = median(more) / size * 1e9, ours.packed_bytes / 1e6
    print(f"kernels: {extra:+.2f} s a GB over stock, {packed:.0f} MB packed\n")
    show(measure(sides, chosen.rounds, chosen.only))
    for side in sides.values():
        side.pipe.send(None)


if __name__ == "__main__":
    main()
