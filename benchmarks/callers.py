"""Eight callers at once: the engine against llama_cpp.Llama behind a lock, or without kernels.

usage: python benchmarks/callers.py [MODEL] [--callers N] [--streams N] [--prompt N] [--drawn N]
       python benchmarks/callers.py --against stock --streams 16 --prompt 150 --drawn 48

Each caller, on a thread of its own, asks questions of its own, one after the other until all
streams are answered, and draws answers greedily. The peer is not safe to share, so its callers take
turns. Each side runs in its own process. Aim: a wall time of at most half the peer's; with
--against stock, which is the engine on llama.cpp's own kernels, at most 0.45 of that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from machine import headline
from random_model import model_path

from llamaherd import Llama
from llamaherd.model.memory import physical_cores


@dataclass(frozen=True)
class Task:
    """What every side does: the prompts, in tokens, and how much each answer has."""

    path: Path
    prompts: list[list[int]]
    n_callers: int
    n_drawn: int

    def seconds(self, ask: Callable[[list[int]], Any]) -> float:
        """Until every prompt has its answer."""
        with ThreadPoolExecutor(self.n_callers) as callers:
            start = time.perf_counter()
            list(callers.map(ask, self.prompts))
            return time.perf_counter() - start


def ours(task: Task, kernels: str = "auto") -> float:
    """The engine, shared."""
    with Llama(task.path, n_ctx=4096, n_parallel=task.n_callers, kernels=kernels) as llm:
        llm([5, 6, 7], max_tokens=4)
        return task.seconds(lambda prompt: llm(prompt, max_tokens=task.n_drawn, temperature=0))


def stock(task: Task) -> float:
    """The engine on llama.cpp's own kernels."""
    return ours(task, kernels="off")


def theirs(task: Task) -> float:
    """llama_cpp with one caller at a time."""
    threads = physical_cores()
    llm = llama_cpp.Llama(
        str(task.path), n_ctx=4096, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    llm.create_completion([5, 6, 7], max_tokens=4)
    lock = threading.Lock()

    def ask(prompt: list[int]) -> Any:
        with lock:
            return llm.create_completion(prompt, max_tokens=task.n_drawn, temperature=0)

    return task.seconds(ask)


SIDES = {"llamaherd": ours, "stock": stock, "llama_cpp": theirs}
NAMES = {"stock": "without kernels", "llama_cpp": "llama_cpp behind a lock"}


def main() -> None:
    """Measure each side in a process of its own."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--callers", type=int, default=8)
    arguments.add_argument("--prompt", type=int, default=32, help="tokens")
    arguments.add_argument("--drawn", type=int, default=96, help="tokens")
    arguments.add_argument("--streams", type=int, help="prompts in all; by default one a caller")
    arguments.add_argument("--against", choices=NAMES, default="llama_cpp")
    arguments.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    path = chosen.model or model_path()
    dice = np.random.default_rng(0)
    n_streams = chosen.streams or chosen.callers
    prompts = [dice.integers(300, 20_000, chosen.prompt).tolist() for _ in range(n_streams)]
    if chosen.side is not None:
        task = Task(path, prompts, chosen.callers, chosen.drawn)
        print(json.dumps(SIDES[chosen.side](task)))
        return
    print(f"{headline()} · llama_cpp {llama_cpp.__version__}", flush=True)
    command = [sys.executable, *sys.argv, "--side"]
    mine, other = (
        float(json.loads(subprocess.check_output([*command, side])))
        for side in ("llamaherd", chosen.against)
    )
    print(
        f"{chosen.callers} callers, {n_streams} streams, {chosen.prompt} + {chosen.drawn} tokens   "
        f"llamaherd {mine:.1f} s   {NAMES[chosen.against]} {other:.1f} s   ratio {mine / other:.3f}"
    )


if __name__ == "__main__":
    main()
