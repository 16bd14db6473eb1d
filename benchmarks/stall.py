"""How far a running stream slows down while a long prompt is read.

usage: python benchmarks/stall.py [MODEL] [--prompt N]

One stream draws alone, then beside a prompt of 4,000 tokens. Aim: at least half of its rate.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import numpy as np
from machine import headline
from random_model import model_path

from llamaherd import Llama


def main() -> None:
    """Count the stream's tokens before and during the prompt."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--prompt", type=int, default=4000)
    chosen = arguments.parse_args()
    print(headline())
    prompt = np.random.default_rng(0).integers(300, 20_000, chosen.prompt).tolist()
    with Llama(chosen.model or model_path(), n_ctx=2 * chosen.prompt + 512) as llm:
        stream = llm([5, 6, 7], stream=True, temperature=0, ignore_eos=True)
        for _ in range(5):
            next(stream)
        start = time.perf_counter()
        for _ in range(40):
            next(stream)
        alone = 40 / (time.perf_counter() - start)
        reader = threading.Thread(target=llm, args=(prompt,), kwargs={"max_tokens": 1})
        reader.start()
        start, n_meanwhile = time.perf_counter(), 0
        while reader.is_alive() and next(stream, None):
            n_meanwhile += 1
        seconds = time.perf_counter() - start
        stream.close()
    beside = n_meanwhile / seconds
    print(
        f"alone {alone:.1f} tokens/s, while {chosen.prompt} tokens were read ({seconds:.0f} s) "
        f"{beside:.1f} tokens/s, ratio {beside / alone:.2f}"
    )


if __name__ == "__main__":
    main()
