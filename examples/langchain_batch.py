"""Many questions at once, answered as one batch; also without threads, by coroutines."""

import asyncio

from llamaherd.langchain import ChatLlamaCpp

llm = ChatLlamaCpp(model_path="demo", temperature=0)
for message in llm.batch(["what is 3 x 4", "what is 5 x 6", "what is 7 x 8"]):
    print(message.content)


async def ask() -> None:
    asked = (llm.ainvoke(f"what is {number} + 2") for number in range(1, 5))
    for message in await asyncio.gather(*asked):
        print(message.content)


asyncio.run(ask())
