"""Tools: prepared, forced, streamed, called, and an agent that uses them."""

from __future__ import annotations

from typing import Any

import pytest
from index_fixtures import MAGIC, MAGIC_TOOL, WEATHER, WEATHER_TOOL, demo_llm, get_weather
from llama_index.core.agent.workflow import AgentOutput, AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from llamaherd import OptionError
from llamaherd.llama_index import LlamaCppLLM

TOOLS = [WEATHER_TOOL]


@pytest.fixture(scope="module")
def llm() -> LlamaCppLLM:
    return demo_llm()


def _calls(llm: LlamaCppLLM, response: Any) -> list[tuple[str, dict[str, Any]]]:
    found = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return [(each.tool_name, each.tool_kwargs) for each in found]


def test_a_call_is_a_block_and_in_additional_kwargs(llm: LlamaCppLLM) -> None:
    response = llm.chat_with_tools(TOOLS, WEATHER)
    (block,) = response.message.blocks
    assert isinstance(block, ToolCallBlock)
    assert (block.tool_name, block.tool_kwargs) == ("get_weather", {"location": "Paris"})
    (call,) = response.message.additional_kwargs["tool_calls"]
    assert call["id"] == block.tool_call_id
    assert call["function"]["name"] == "get_weather"
    (selection,) = llm.get_tool_calls_from_response(response)
    assert selection.tool_id == block.tool_call_id
    assert selection.tool_kwargs == {"location": "Paris"}


def test_the_history_is_copied(llm: LlamaCppLLM) -> None:
    history = [ChatMessage("hello"), ChatMessage("Hello!", role="assistant")]
    prepared = llm._prepare_chat_with_tools(TOOLS, WEATHER, history)
    assert len(history) == 2
    assert [m.content for m in prepared["messages"]] == ["hello", "Hello!", WEATHER]
    assert prepared["tool_choice"] == "auto"
    assert prepared["parallel_tool_calls"] is False
    assert "tools" not in llm._prepare_chat_with_tools([], WEATHER)


async def test_a_call_can_be_required_or_chosen(llm: LlamaCppLLM) -> None:
    both = [WEATHER_TOOL, MAGIC_TOOL]
    hello = "Hello!"
    assert _calls(llm, llm.chat_with_tools(both, hello)) == []
    assert len(_calls(llm, llm.chat_with_tools(both, hello, tool_required=True))) == 1
    chosen = {"type": "function", "function": {"name": "magic_function"}}
    for choice in ("magic_function", chosen):
        response = await llm.achat_with_tools(both, MAGIC, tool_choice=choice)
        assert _calls(llm, response) == [("magic_function", {"input": 3})]
    assert _calls(llm, llm.chat_with_tools(both, MAGIC, tool_choice="none")) == []
    with pytest.raises(OptionError, match="tool_choice"):
        llm.chat_with_tools(both, MAGIC, tool_choice="other")
    with pytest.raises(OptionError, match="tool_choice"):
        llm.chat_with_tools([], MAGIC, tool_required=True)


def test_several_calls_only_if_allowed(llm: LlamaCppLLM) -> None:
    asked = "what is the weather in Paris and in London?"
    assert len(_calls(llm, llm.chat_with_tools(TOOLS, asked))) == 1
    both: Any = {"allow_parallel_tool_calls": True}
    whole = llm.chat_with_tools(TOOLS, asked, **both)
    *_, streamed = llm.stream_chat_with_tools(TOOLS, asked, **both)
    for response in (whole, streamed):
        assert _calls(llm, response) == [
            ("get_weather", {"location": "Paris"}),
            ("get_weather", {"location": "London"}),
        ]


def test_no_call_is_an_error_where_one_was_expected(llm: LlamaCppLLM) -> None:
    response = llm.chat_with_tools(TOOLS, "Hello!")
    with pytest.raises(ValueError, match="called no tool"):
        llm.get_tool_calls_from_response(response)
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []


async def test_a_streamed_call_grows_and_ends_as_the_whole_one(llm: LlamaCppLLM) -> None:
    whole = llm.chat_with_tools(TOOLS, WEATHER)
    streams = [
        list(llm.stream_chat_with_tools(TOOLS, WEATHER)),
        [r async for r in await llm.astream_chat_with_tools(TOOLS, WEATHER)],
    ]
    for responses in streams:
        seen = [_calls(llm, response) for response in responses]
        assert seen[0] == [("get_weather", {})]
        assert seen[-1] == _calls(llm, whole)
        assert len({r.message.additional_kwargs["tool_calls"][0]["id"] for r in responses}) == 1
        assert "".join(r.delta or "" for r in responses) == ""
        written = [r.message.additional_kwargs["tool_calls"][0] for r in responses]
        lengths = [len(each["function"]["arguments"]) for each in written]
        assert lengths == sorted(lengths)


def test_a_call_that_was_cut_off_is_none(llm: LlamaCppLLM) -> None:
    whole = llm.chat_with_tools(TOOLS, WEATHER)
    assert whole.raw is not None
    n_whole = whole.raw["usage"]["completion_tokens"]
    short = {"max_tokens": n_whole - 5}
    assert _calls(llm, llm.chat_with_tools(TOOLS, WEATHER, **short)) == []
    responses = list(llm.stream_chat_with_tools(TOOLS, WEATHER, **short))
    assert _calls(llm, responses[-2]) != []
    assert _calls(llm, responses[-1]) == []
    assert "tool_calls" not in responses[-1].message.additional_kwargs


async def test_tools_are_called_and_their_results_answered(llm: LlamaCppLLM) -> None:
    assert str(llm.predict_and_call([MAGIC_TOOL], MAGIC)) == "5"
    answer = await llm.apredict_and_call(TOOLS, WEATHER)
    assert answer.response == "It's sunny in Paris."
    called = llm.chat_with_tools(TOOLS, WEATHER).message
    result = ChatMessage(
        "It's sunny.",
        role="tool",
        additional_kwargs={"tool_call_id": called.additional_kwargs["tool_calls"][0]["id"]},
    )
    history = [ChatMessage(WEATHER), called, result]
    assert "sunny" in str(llm.chat_with_tools(TOOLS, chat_history=history).message.content)


# Building an agent looks at every attribute of it, also at those that Pydantic deprecates.
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecationWarning")
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_calls_a_tool_and_tells_its_result(
    llm: LlamaCppLLM, streaming: bool
) -> None:
    agent = FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming)
    run = agent.run(WEATHER)
    events = [event async for event in run.stream_events()]
    (result,) = [event for event in events if isinstance(event, ToolCallResult)]
    assert result.tool_name == "get_weather"
    assert result.tool_output.content == "It's sunny in Paris."
    answer: Any = await run
    assert isinstance(answer, AgentOutput)
    assert "sunny" in str(answer.response.content)
    said = "".join(event.delta for event in events if isinstance(event, AgentStream))
    assert said == (answer.response.content if streaming else "")


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecationWarning")
async def test_an_agents_first_tool_can_be_chosen(llm: LlamaCppLLM) -> None:
    def note(text: str) -> str:
        """Note a text.

        Args:
            text: any
        """
        return "noted"

    tools: list[Any] = [get_weather, FunctionTool.from_defaults(note)]
    agent = FunctionAgent(tools=tools, llm=llm, initial_tool_choice="note")
    run = agent.run("Hello!")
    names = [e.tool_name async for e in run.stream_events() if isinstance(e, ToolCallResult)]
    await run
    assert names[0] == "note"
