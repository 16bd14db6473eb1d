"""An agent with a tool, whose last answer is an object of a class."""

from collections.abc import Callable

from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from llamaherd.langchain import ChatLlamaCpp


@tool
def get_weather(location: str) -> str:
    """Get weather at a location."""
    return "It's sunny."


class Report(BaseModel):
    weather: str


@wrap_model_call
def one_call(
    request: ModelRequest[None], handler: Callable[[ModelRequest[None]], ModelResponse[Report]]
) -> ModelResponse[Report]:
    """The tiny model would go on calling; larger ones need no such help."""
    called = any(isinstance(message, ToolMessage) for message in request.messages)
    return handler(request.override(tools=[]) if called else request)


llm = ChatLlamaCpp(model_path="demo", temperature=0, max_tokens=128)
agent = create_agent(llm, [get_weather], response_format=Report, middleware=[one_call])
asked = "What is the weather in San Francisco, CA?"
found = agent.invoke({"messages": [{"role": "user", "content": asked}]})
for message in found["messages"]:
    message.pretty_print()
print(found["structured_response"])
