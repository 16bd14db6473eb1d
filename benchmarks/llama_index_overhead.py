"""What LlamaCppLLM costs over Llama: milliseconds a call, microseconds a streamed token.

usage: python benchmarks/llama_index_overhead.py [--calls N] [--tokens N]

Both ask the demo model the same on one shared engine, in turns; the medians of the calling thread's
processor time are compared, which other programs hardly change. Aim: at most 2 ms a call and 50
microseconds a token. Most of a token's part is the event that LlamaIndex itself tells of each.
"""

from __future__ import annotations

import argparse

from llama_index.core.llms import ChatMessage
from machine import headline
from overhead import compare, exhausted

from llamaherd.llama_index import LlamaCppLLM

QUESTION = "Tell me a joke about birds."


def main() -> None:
    """Measure calls, then streams."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=200)
    arguments.add_argument("--tokens", type=int, default=200)
    chosen = arguments.parse_args()
    llm = LlamaCppLLM("demo", temperature=0, n_threads=1)
    llama = llm.load()
    messages = [ChatMessage(QUESTION)]
    plain = [{"role": "user", "content": QUESTION}]
    print(headline())

    call = compare(
        lambda: llm.chat(messages, max_tokens=1),
        lambda: llama.create_chat_completion(plain, temperature=0, max_tokens=1),
        chosen.calls,
    )
    print(f"a call:  {call * 1e3:.3f} ms over Llama (aim: 2)")

    def bare() -> None:
        exhausted(
            llama.create_chat_completion(
                plain, temperature=0, max_tokens=chosen.tokens, ignore_eos=True, stream=True
            )
        )

    def ours() -> None:
        exhausted(llm.stream_chat(messages, max_tokens=chosen.tokens, ignore_eos=True))

    token = (compare(ours, bare, max(chosen.calls // 10, 3)) - call) / chosen.tokens
    print(f"a token: {token * 1e6:.1f} microseconds over Llama (aim: 50)")


if __name__ == "__main__":
    main()
