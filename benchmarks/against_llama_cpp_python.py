"""Generation speed against llama_cpp.Llama on the same file, at growing lengths.

usage: python benchmarks/against_llama_cpp_python.py [MODEL] [--length N]

Both stream a greedy answer to the same short prompt with the same context and threads; the time
from the first chunk to token 250, 500, ... is compared. Aim: a ratio of at least 1.0 everywhere.
llama_cpp re-reads its whole output for each token, so it falls behind as the answer grows. Neither
bans the end token, which random weights hardly draw: in llama_cpp that costs time of its own.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
from machine import headline
from random_model import model_path

from llamaherd import Llama
from llamaherd.model.memory import physical_cores

PROMPT = "the quick brown fox jumps over the lazy dog"
STEP = 250


def moments(chunks: Iterator[Any], length: int) -> Iterator[float]:
    """When each chunk arrived, counted from the first."""
    start = None
    for _ in itertools.islice(chunks, length):
        start = start or time.perf_counter()
        yield time.perf_counter() - start


def ours(path: Path, length: int) -> list[float]:
    """Moments of llamaherd's chunks."""
    with Llama(path, n_ctx=4096) as llm:
        llm(PROMPT, max_tokens=8, temperature=0)
        return list(moments(llm(PROMPT, max_tokens=length, temperature=0, stream=True), length))


def theirs(path: Path, length: int) -> Iterator[float]:
    """Moments of llama_cpp's chunks."""
    llm = llama_cpp.Llama(
        str(path),
        n_ctx=4096,
        n_batch=2048,
        n_threads=physical_cores(),
        n_threads_batch=physical_cores(),
        verbose=False,
    )
    llm(PROMPT, max_tokens=8, temperature=0)
    yield from moments(iter(llm(PROMPT, max_tokens=length, temperature=0, stream=True)), length)
    llm.close()


def main() -> None:
    """Print the ratio of speeds at each length, as soon as it is known."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--length", type=int, default=2000)
    chosen = arguments.parse_args()
    path = chosen.model or model_path()
    print(f"{headline()} · llama_cpp {llama_cpp.__version__}", flush=True)
    mine = ours(path, chosen.length)
    for n, moment in enumerate(theirs(path, chosen.length), start=1):
        if n % STEP == 0 and n <= len(mine):
            print(
                f"{n:5} tokens  llamaherd {n / mine[n - 1]:6.1f} tokens/s   "
                f"llama_cpp {n / moment:6.1f} tokens/s   ratio {moment / mine[n - 1]:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
