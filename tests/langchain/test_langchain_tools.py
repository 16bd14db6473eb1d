"""ChatLlamaCpp: tools, as LangChain's users name and force them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from llamaherd import OptionError
from llamaherd.langchain import ChatLlamaCpp

pytestmark = pytest.mark.usefixtures("demo")


class WeatherInput(BaseModel):
    """Where, and in which unit."""

    location: str = Field(description="The city and state, e.g. San Francisco, CA")
    unit: str = Field(json_schema_extra={"enum": ["celsius", "fahrenheit"]})


@tool("get_current_weather", args_schema=WeatherInput)
def get_weather(location: str, unit: str) -> str:
    """Get the current weather in a given location"""
    return f"Now the weather in {location} is 22 {unit}"


@tool
def magic_function(input: int) -> int:  # noqa: A002
    """Apply a magic function to an input."""
    return input + 2


class Magic(BaseModel):
    """Apply a magic function to an input."""

    input: int


class MagicDict(TypedDict):
    """Apply a magic function to an input."""

    input: Annotated[int, ..., "a number"]


def magic(input: int) -> int:  # noqa: A002
    """Apply a magic function to an input.

    Args:
        input: a number.
    """
    return input + 2


ANTHROPIC = {
    "name": "magic",
    "description": "Apply a magic function to an input.",
    "input_schema": {"type": "object", "properties": {"input": {"type": "integer"}}},
}
MAGIC_QUESTION = "What is the value of magic_function(3)? Use the tool."


@pytest.fixture
def llm() -> ChatLlamaCpp:
    return ChatLlamaCpp(model_path="demo", n_threads=1, temperature=0, max_tokens=128)


def called(message: AIMessage) -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments of calls."""
    return [(call["name"], call["args"]) for call in message.tool_calls]


@pytest.mark.parametrize("choice", [None, "auto", "any", "required", True, "get_current_weather"])
def test_one_call(llm: ChatLlamaCpp, choice: Any) -> None:
    message = llm.bind_tools([get_weather], tool_choice=choice).invoke(
        "what is the weather like in HCMC in celsius"
    )
    expected = {"location": "Ho Chi Minh City", "unit": "celsius"}
    assert called(message) == [("get_current_weather", expected)]
    assert message.response_metadata["finish_reason"] == "tool_calls"
    assert message.tool_calls[0]["id"]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "magic_function"}},
        {"type": "tool", "name": "magic_function"},
        "magic_function",
    ],
)
def test_a_named_tool_is_called(llm: ChatLlamaCpp, choice: Any) -> None:
    bound = llm.bind_tools([get_weather, magic_function], tool_choice=choice)
    message = bound.invoke("Hello!")
    assert [name for name, _ in called(message)] == ["magic_function"]


def test_none_forbids_calls(llm: ChatLlamaCpp) -> None:
    bound = llm.bind_tools([magic_function], tool_choice="none")
    assert bound.invoke(MAGIC_QUESTION).tool_calls == []


def test_unknown_names_are_refused_at_once(llm: ChatLlamaCpp) -> None:
    with pytest.raises(OptionError, match=r"'magik'.*\['magic_function'\]"):
        llm.bind_tools([magic_function], tool_choice="magik")


@pytest.mark.parametrize("form", [magic, Magic, MagicDict, ANTHROPIC])
@pytest.mark.parametrize("strict", [None, True])
def test_all_ways_to_write_a_tool(llm: ChatLlamaCpp, form: Any, strict: bool | None) -> None:
    message = llm.bind_tools([form], tool_choice="any", strict=strict).invoke("magic of 3")
    ((name, arguments),) = called(message)
    assert name.lower().startswith("magic")
    assert set(arguments) <= {"input"}


def test_pieces_of_a_call_name_it_once(llm: ChatLlamaCpp) -> None:
    chunks = list(llm.bind_tools([magic_function], tool_choice="any").stream(MAGIC_QUESTION))
    pieces = [
        piece
        for chunk in chunks
        if isinstance(chunk, AIMessageChunk)
        for piece in chunk.tool_call_chunks
    ]
    assert [piece["name"] for piece in pieces if piece["name"]] == ["magic_function"]
    assert len([piece["id"] for piece in pieces if piece["id"]]) == 1
    assert {piece["index"] for piece in pieces} == {0}
    assert len(pieces) > 2
    full = _sum(chunks)
    assert called(full) == [("magic_function", {"input": 3})]
    assert full.content == ""


async def test_streamed_by_coroutines(llm: ChatLlamaCpp) -> None:
    bound = llm.bind_tools([magic_function])
    chunks = [chunk async for chunk in bound.astream(MAGIC_QUESTION)]
    assert called(_sum(chunks)) == [("magic_function", {"input": 3})]


@tool("get_weather")
def weather(location: str) -> str:
    """Get weather at a location."""
    return "It's sunny."


BOTH = "What is the weather in Paris and London?"


@pytest.mark.parametrize("stream", [False, True])
def test_several_calls_of_one_answer(llm: ChatLlamaCpp, stream: bool) -> None:
    bound = llm.bind_tools([weather])
    message = _sum(list(bound.stream(BOTH))) if stream else bound.invoke(BOTH)
    places = [arguments["location"] for _, arguments in called(message)]
    assert places == ["Paris", "London"]
    assert len({call["id"] for call in message.tool_calls}) == 2


def test_one_call_at_most(llm: ChatLlamaCpp) -> None:
    bound = llm.bind_tools([weather], parallel_tool_calls=False)
    assert len(bound.invoke(BOTH).tool_calls) == 1


def test_a_call_that_was_cut_off_is_told_apart(llm: ChatLlamaCpp) -> None:
    bound = llm.bind_tools([get_weather], tool_choice="any")
    message = bound.invoke("what is the weather like in HCMC in celsius", max_tokens=18)
    assert message.response_metadata["finish_reason"] == "length"
    assert message.tool_calls == []


def test_a_call_or_an_answer_of_a_schema(llm: ChatLlamaCpp) -> None:
    class Answer(BaseModel):
        text: str

    bound = llm.bind_tools([magic_function], response_format=Answer)
    assert called(bound.invoke(MAGIC_QUESTION)) == [("magic_function", {"input": 3})]
    said = bound.invoke("How are you?")
    if not said.tool_calls:
        Answer.model_validate_json(str(said.content))


@pytest.mark.parametrize("stream", [False, True])
def test_the_loop_of_an_agent(llm: ChatLlamaCpp, stream: bool) -> None:
    @tool
    def get_weather(location: str) -> str:
        """Get weather at a location."""
        return "It's sunny."

    bound = llm.bind_tools([get_weather])
    question = HumanMessage("What is the weather in San Francisco, CA?")
    ask = (lambda m: _sum(list(bound.stream(m)))) if stream else bound.invoke
    call = ask([question])
    assert called(call) == [("get_weather", {"location": "San Francisco, CA"})]
    result = get_weather.invoke(call.tool_calls[0])
    assert isinstance(result, ToolMessage)
    assert "sunny" in ask([question, call, result]).content


def _sum(chunks: Sequence[AIMessage]) -> AIMessageChunk:
    full: Any = chunks[0]
    for chunk in chunks[1:]:
        full = full + chunk
    assert isinstance(full, AIMessageChunk)
    return full
