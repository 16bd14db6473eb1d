"""Eight callers at once: the engine against llama_cpp.Llama behind a lock.

usage: python benchmarks/callers.py [MODEL] [--callers N] [--prompt N] [--drawn N]

Each caller, on a thread of its own, asks a question of its own and draws an answer greedily. The
peer is not safe to share, so its callers take turns. Each side runs in its own process. Aim: a wall
time of at most half the peer's.
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
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from machine import headline
from random_model import model_path

from llamaherd import Llama
from llamaherd.model.memory import physical_cores


def ours(path: Path, prompts: list[list[int]], n_drawn: int) -> float:
    """Seconds until every caller has its answer."""
    with Llama(path, n_ctx=4096, n_parallel=len(prompts)) as llm:
        llm([5, 6, 7], max_tokens=4)
        return _seconds(prompts, lambda prompt: llm(prompt, max_tokens=n_drawn, temperature=0))


def theirs(path: Path, prompts: list[list[int]], n_drawn: int) -> float:
    """The same with one caller at a time."""
    threads = physical_cores()
    llm = llama_cpp.Llama(
        str(path), n_ctx=4096, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    llm.create_completion([5, 6, 7], max_tokens=4)
    lock = threading.Lock()

    def ask(prompt: list[int]) -> Any:
        with lock:
            return llm.create_completion(prompt, max_tokens=n_drawn, temperature=0)

    return _seconds(prompts, ask)


def _seconds(prompts: list[list[int]], ask: Callable[[list[int]], Any]) -> float:
    with ThreadPoolExecutor(len(prompts)) as callers:
        start = time.perf_counter()
        list(callers.map(ask, prompts))
        return time.perf_counter() - start


def main() -> None:
    """Measure each side in a process of its own."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--callers", type=int, default=8)
    arguments.add_argument("--prompt", type=int, default=32, help="tokens")
    arguments.add_argument("--drawn", type=int, default=96, help="tokens")
    arguments.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    path = chosen.model or model_path()
    dice = np.random.default_rng(0)
    prompts = [dice.integers(300, 20_000, chosen.prompt).tolist() for _ in range(chosen.callers)]
    if chosen.side is not None:
        side = {"ours": ours, "theirs": theirs}[chosen.side]
        print(json.dumps(side(path, prompts, chosen.drawn)))
        return
    print(f"{headline()} · llama_cpp {llama_cpp.__version__}", flush=True)
    command = [sys.executable, *sys.argv, "--side"]
    mine, other = (
        float(json.loads(subprocess.check_output([*command, side]))) for side in ("ours", "theirs")
    )
    print(
        f"{chosen.callers} callers, {chosen.prompt} + {chosen.drawn} tokens   "
        f"llamaherd {mine:.1f} s   llama_cpp behind a lock {other:.1f} s   ratio {mine / other:.3f}"
    )


if __name__ == "__main__":
    main()
