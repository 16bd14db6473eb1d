"""Generation speed against llama_cpp.Llama on the same file, at growing lengths.

usage: python benchmarks/against_llama_cpp_python.py [MODEL] [--length N] [--flash-attn HOW]

Both stream a greedy answer to the same short prompt with the same context, threads and kind of
attention; the time from the first chunk to token 250, 500, ... is compared. Aim: a ratio of at
least 1.0 everywhere. llama_cpp re-reads its whole output for each token, so it falls behind as the
answer grows. Neither bans the end token, which random weights hardly draw: in llama_cpp that costs
time of its own. ``--flash-attn default`` leaves each its own default, which differ: llama_cpp's is
off.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
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
FLASH_ATTN = {"on": True, "off": False, "default": None}


def moments(chunks: Iterator[Any], length: int) -> Iterator[float]:
    """When each chunk arrived, counted from the first."""
    start = None
    for _ in itertools.islice(chunks, length):
        start = start or time.perf_counter()
        yield time.perf_counter() - start


def ours(path: Path, length: int, flash_attn: bool | None) -> list[float]:
    """Moments of llamaherd's chunks."""
    with Llama(path, n_ctx=4096, flash_attn=flash_attn) as llm:
        llm(PROMPT, max_tokens=8, temperature=0)
        return list(moments(llm(PROMPT, max_tokens=length, temperature=0, stream=True), length))


def theirs(path: Path, length: int, flash_attn: bool | None) -> Iterator[float]:
    """Moments of llama_cpp's chunks."""
    llm = llama_cpp.Llama(
        str(path),
        n_ctx=4096,
        n_batch=2048,
        n_threads=physical_cores(),
        n_threads_batch=physical_cores(),
        flash_attn=bool(flash_attn),
        verbose=False,
    )
    llm(PROMPT, max_tokens=8, temperature=0)
    yield from moments(iter(llm(PROMPT, max_tokens=length, temperature=0, stream=True)), length)
    llm.close()


def main() -> None:
    """Measure each side in a process of its own, one after the other, and print the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--length", type=int, default=2000)
    arguments.add_argument("--flash-attn", choices=FLASH_ATTN, default="off")
    arguments.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    path = chosen.model or model_path()
    if chosen.side is not None:
        side = {"ours": ours, "theirs": theirs}[chosen.side]
        print(json.dumps(list(side(path, chosen.length, FLASH_ATTN[chosen.flash_attn]))))
        return
    print(f"{headline()} · llama_cpp {llama_cpp.__version__}", flush=True)
    print(f"flash attention: {chosen.flash_attn}", flush=True)
    mine, other = (_in_process(side, path, chosen) for side in ("ours", "theirs"))
    for n in range(STEP, min(len(mine), len(other)) + 1, STEP):
        print(
            f"{n:5} tokens  llamaherd {n / mine[n - 1]:6.1f} tokens/s   "
            f"llama_cpp {n / other[n - 1]:6.1f} tokens/s   "
            f"ratio {other[n - 1] / mine[n - 1]:.3f}"
        )


def _in_process(side: str, path: Path, chosen: argparse.Namespace) -> list[float]:
    """Both bring an OpenMP pool of their own; in one process the second would suffer."""
    command = [sys.executable, __file__, str(path), "--side", side]
    command += ["--length", str(chosen.length), "--flash-attn", chosen.flash_attn]
    return [float(moment) for moment in json.loads(subprocess.check_output(command))]


if __name__ == "__main__":
    main()
