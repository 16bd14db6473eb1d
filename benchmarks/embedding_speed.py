"""Embeddings of many short texts against llama_cpp.Llama.embed on the same file.

usage: python benchmarks/embedding_speed.py [MODEL] [--texts N] [--words N] [--no-repacking]

Both read the same texts in one call, with the same threads and pooling, each in a process of its
own. The first vectors must agree. Aim: at least twice as fast on the 1.2B model. llama_cpp computes
the logits of every token, which nobody reads, and leaves flash attention off; each has its own
default there. Both fill batches of 512 tokens. With --no-repacking llamaherd loads the model with
use_extra_bufts off, which without llamaherd-kernels reads faster on this kind of CPU.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import llama_cpp
import numpy as np
from machine import headline
from random_model import model_path

from llamaherd import Llama
from llamaherd.model.memory import physical_cores

Embed = Callable[[list[str]], list[list[float]]]


def make_texts(n: int, n_words: int) -> list[str]:
    """English of ``n_words`` words each, from the manual that comes with Python."""
    words = re.findall("[a-z]+", " ".join(topics.values()))
    places = np.random.default_rng(0).integers(0, len(words) - n_words, n)
    return [" ".join(words[at : at + n_words]) for at in places]


def ours(path: Path, repacking: bool) -> Embed:
    """llamaherd's embed."""
    llm = Llama(path, n_ctx=512, use_extra_bufts=repacking)
    return lambda texts: llm.embed(texts, pooling="mean").tolist()


def theirs(path: Path, _repacking: bool) -> Embed:
    """llama_cpp's embed."""
    llm = llama_cpp.Llama(
        str(path),
        embedding=True,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_MEAN,
        n_ctx=512,
        n_threads=physical_cores(),
        n_threads_batch=physical_cores(),
        verbose=False,
    )
    return lambda texts: llm.embed(texts, normalize=True, truncate=False)


SIDES: dict[str, Callable[[Path, bool], Embed]] = {"ours": ours, "theirs": theirs}


def main() -> None:
    """Measure each side in a process of its own, one after the other, and print the ratio."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--texts", type=int, default=1000)
    arguments.add_argument("--words", type=int, default=6)
    arguments.add_argument("--no-repacking", action="store_true")
    arguments.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    path = chosen.model or model_path()
    texts = make_texts(chosen.texts, chosen.words)
    if chosen.side is not None:
        measure(SIDES[chosen.side](path, not chosen.no_repacking), texts)
        return
    print(f"{headline()} · llama_cpp {llama_cpp.__version__}", flush=True)
    (mine, vectors), (other, their_vectors) = (_in_process(side, chosen) for side in SIDES)
    worst = np.sum(np.multiply(vectors, their_vectors), axis=1).min()
    assert worst > 0.99, f"the vectors differ: cosine {worst}"
    print(
        f"{len(texts)} texts  llamaherd {mine:.2f} s   llama_cpp {other:.2f} s   "
        f"ratio {other / mine:.3f}   (least cosine of their vectors {worst:.5f})"
    )


def measure(embed: Embed, texts: list[str]) -> None:
    """Print seconds, and the first vectors."""
    embed(texts[:8])
    start = time.perf_counter()
    vectors = embed(texts)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, vectors[:8]]))


def _in_process(side: str, chosen: argparse.Namespace) -> tuple[float, list[list[float]]]:
    """Both bring an OpenMP pool of their own; in one process the second would suffer."""
    model = [str(chosen.model)] if chosen.model else []
    command = [sys.executable, __file__, *model, "--side", side]
    command += ["--texts", str(chosen.texts), "--words", str(chosen.words)]
    command += ["--no-repacking"] if chosen.no_repacking else []
    seconds, vectors = json.loads(subprocess.check_output(command))
    return seconds, vectors


if __name__ == "__main__":
    main()
