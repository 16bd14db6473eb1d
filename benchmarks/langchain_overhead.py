"""What ChatLlamaCpp costs over Llama: milliseconds a call, microseconds a streamed token.

usage: python benchmarks/langchain_overhead.py [--calls N] [--tokens N]

Both ask the demo model the same on one shared engine, in turns; the medians of the calling thread's
processor time are compared, which other programs hardly change. Aim: at most 2 ms a call and 50
microseconds a token. What LangChain's own ``stream`` adds to each chunk (callbacks, ids, the sum of
all chunks at the end) is part of it; the last line is our part alone.
"""

from __future__ import annotations

import argparse

from langchain_core.messages import BaseMessage, HumanMessage
from machine import headline
from overhead import compare, exhausted

from llamaherd import Llama
from llamaherd.langchain import ChatLlamaCpp

QUESTION = "Tell me a joke about birds."


def main() -> None:
    """Measure calls, then streams."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=200)
    arguments.add_argument("--tokens", type=int, default=200)
    chosen = arguments.parse_args()
    llm = ChatLlamaCpp(model_path="demo", temperature=0, n_threads=1)
    llama = llm._llama()
    assert isinstance(llama, Llama)
    plain = [{"role": "user", "content": QUESTION}]
    messages: list[BaseMessage] = [HumanMessage(QUESTION)]
    print(headline())

    call = compare(
        lambda: llm.invoke(messages, max_tokens=1),
        lambda: llama.create_chat_completion(plain, temperature=0, max_tokens=1),
        chosen.calls,
    )
    print(f"a call:  {call * 1e3:.3f} ms over Llama (aim: 2)")

    n = chosen.tokens
    counts = {"include_usage": True}

    def bare() -> None:
        with llama.create_chat_completion(
            plain, temperature=0, max_tokens=n, ignore_eos=True, stream=True, stream_options=counts
        ) as stream:
            exhausted(stream)

    def whole() -> None:
        exhausted(llm.stream(messages, max_tokens=n, ignore_eos=True))

    def own() -> None:
        exhausted(llm._stream(messages, max_tokens=n, ignore_eos=True))

    rounds = max(chosen.calls // 10, 3)
    token = (compare(whole, bare, rounds) - call) / n
    print(f"a token: {token * 1e6:.1f} microseconds over Llama (aim: 50)")
    print(f"         {compare(own, bare, rounds) / n * 1e6:.1f} of them without LangChain's part")


if __name__ == "__main__":
    main()
