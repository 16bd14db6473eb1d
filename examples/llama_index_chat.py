"""LlamaIndex: ask, stream, and let many coroutines share one batch."""

import asyncio

from llama_index.core.llms import ChatMessage

from llamaherd.llama_index import LlamaCppLLM

llm = LlamaCppLLM("demo", temperature=0, max_tokens=64)

answer = llm.chat([ChatMessage("Tell me a joke about birds.")])
print(answer.message.content)
print("tokens:", answer.raw["usage"]["total_tokens"] if answer.raw else None)

for piece in llm.stream_chat([ChatMessage("Translate to German: Good morning.")]):
    print(piece.delta, end="", flush=True)
print()


async def sums() -> None:
    """All of them are decoded together."""
    answers = await asyncio.gather(*(llm.acomplete(f"what is {n} + 2?") for n in range(1, 9)))
    print(", ".join(str(each) for each in answers))


asyncio.run(sums())
