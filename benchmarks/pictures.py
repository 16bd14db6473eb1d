"""What a picture costs: the first time, again, and those who are answered meanwhile.

usage: python benchmarks/pictures.py MODEL MMPROJ PICTURE

Seconds to the first token of a question about a picture; of the same question when its embeddings
are kept and memory is empty; and of the next turn, which reads only what is new. Then the rate of a
stream alone, and while others' pictures are computed (copies with a byte behind their end, so that
each is new).
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from typing import Any

from machine import headline

from llamaherd import Llama


def main() -> None:
    """Ask, ask again, go on; then stream beside pictures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("mmproj", type=Path)
    arguments.add_argument("picture", type=Path)
    chosen = arguments.parse_args()
    print(headline())
    picture = chosen.picture.read_bytes()
    with Llama(chosen.model, mmproj=chosen.mmproj, n_parallel=2) as llm:
        _print_questions(llm, picture)
        _print_stall(llm, picture)


def _print_questions(llm: Llama, picture: bytes) -> None:
    first = _about(picture, "What is in this picture?")
    seconds, answer = _ask(llm, first)
    usage, places = answer["usage"], sum(token < 0 for token in llm.chat_tokens([first]))
    print(
        f"first question: {seconds:.2f} s, {usage['prompt_tokens']} tokens, {places} of a picture"
    )
    llm.reset()
    seconds, _ = _ask(llm, first)
    print(f"embeddings kept, memory empty: {seconds:.2f} s")
    turn = [first, answer["choices"][0]["message"], {"role": "user", "content": "Why?"}]
    seconds, answer = _ask(llm, *turn)
    cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    print(f"next turn: {seconds:.2f} s, {answer['usage']['prompt_tokens'] - cached} tokens read")


def _print_stall(llm: Llama, picture: bytes) -> None:
    stream = llm("Once upon a time", stream=True, ignore_eos=True, max_tokens=None)
    for _ in range(5):
        next(stream)
    alone = _rate(stream, until=time.perf_counter() + 3)
    others = threading.Thread(
        target=lambda: [_ask(llm, _about(picture + bytes([n]), "What?")) for n in range(3)]
    )
    others.start()
    beside = _rate(stream, while_alive=others)
    stream.close()
    print(
        f"a stream: alone {alone:.1f} tokens/s, beside three pictures {beside:.1f}, "
        f"ratio {beside / alone:.2f}"
    )


def _rate(stream: Any, until: float = 0.0, while_alive: threading.Thread | None = None) -> float:
    begin, n = time.perf_counter(), 0
    while time.perf_counter() < until or (while_alive is not None and while_alive.is_alive()):
        if next(stream, None) is None:
            break
        n += 1
    return n / (time.perf_counter() - begin)


def _about(picture: bytes, question: str) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "image", "image": picture}, {"type": "text", "text": question}],
    }


def _ask(llm: Llama, *messages: dict[str, Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    answer = llm.create_chat_completion(messages, max_tokens=1)
    return time.perf_counter() - begin, answer


if __name__ == "__main__":
    main()
