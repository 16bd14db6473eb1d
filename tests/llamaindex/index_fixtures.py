"""What the tests of the LlamaIndex classes share."""

from __future__ import annotations

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llamaherd.llama_index import LlamaCppLLM

JOKE = [ChatMessage("Tell me a joke about birds.")]
WEATHER = "what is the weather in Paris?"
MAGIC = "what is the value of magic_function(3)?"


class Joke(BaseModel):
    """A joke in two parts."""

    setup: str
    punchline: str


def get_weather(location: str) -> str:
    """Get the current weather in a given location.

    Args:
        location: the city
    """
    return f"It's sunny in {location}."


def magic_function(input: int) -> int:  # noqa: A002
    """Apply a magic function to an input.

    Args:
        input: a number
    """
    return input + 2


WEATHER_TOOL = FunctionTool.from_defaults(get_weather)
MAGIC_TOOL = FunctionTool.from_defaults(magic_function)


def demo_llm(**options: Any) -> LlamaCppLLM:
    """The demo model without chance; all tests of a process share its engine."""
    return LlamaCppLLM("demo", **{"temperature": 0, "n_threads": 1, "max_tokens": 64, **options})
