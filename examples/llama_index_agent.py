"""LlamaIndex: a tool is called once, and then by an agent that tells its result."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool

from llamaherd.llama_index import LlamaCppLLM

llm = LlamaCppLLM("demo", temperature=0, max_tokens=64)


def get_weather(location: str) -> str:
    """Get the current weather in a given location.

    Args:
        location: the city
    """
    return f"It's sunny in {location}."


question = "what is the weather in Paris?"
response = llm.chat_with_tools([FunctionTool.from_defaults(get_weather)], question)
for call in llm.get_tool_calls_from_response(response):
    print("calls", call.tool_name, "with", call.tool_kwargs)


async def ask() -> None:
    """The agent calls the tool itself."""
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    print(await agent.run(question))


asyncio.run(ask())
