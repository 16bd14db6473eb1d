"""LangChain's and LangGraph's agents on the demo model."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel

from llamaherd.langchain import ChatLlamaCpp

pytestmark = [
    pytest.mark.usefixtures("demo"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]
QUESTION = "What is the weather in San Francisco, CA?"


@tool
def get_weather(location: str) -> str:
    """Get weather at a location."""
    return "It's sunny."


class Report(BaseModel):
    """What the weather is like."""

    text: str


@pytest.fixture
def llm() -> ChatLlamaCpp:
    return ChatLlamaCpp(model_path="demo", n_threads=1, temperature=0, max_tokens=128)


def _kinds(messages: list[Any]) -> list[type]:
    return [type(message) for message in messages]


def test_a_graph_of_langgraph(llm: ChatLlamaCpp) -> None:
    bound = llm.bind_tools([get_weather])
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([get_weather]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    found = graph.compile().invoke({"messages": [HumanMessage(QUESTION)]})
    assert _kinds(found["messages"]) == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert "sunny" in found["messages"][-1].content


async def test_create_agent(llm: ChatLlamaCpp) -> None:
    agent: Any = create_agent(llm, [get_weather])
    for found in (
        agent.invoke({"messages": [HumanMessage(QUESTION)]}),
        await agent.ainvoke({"messages": [HumanMessage(QUESTION)]}),
    ):
        assert _kinds(found["messages"]) == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert "sunny" in found["messages"][-1].content


def test_an_agent_streams_its_tokens(llm: ChatLlamaCpp) -> None:
    agent: Any = create_agent(llm, [get_weather])
    asked = {"messages": [HumanMessage(QUESTION)]}
    chunks = [chunk for chunk, _ in agent.stream(asked, stream_mode="messages")]
    pieces = [str(chunk.content) for chunk in chunks if isinstance(chunk, AIMessage)]
    assert len(pieces) > 5
    assert "sunny" in "".join(pieces)


def test_tools_and_a_response_format_together(llm: ChatLlamaCpp) -> None:
    agent: Any = create_agent(llm, [get_weather], response_format=Report)
    found = agent.invoke({"messages": [HumanMessage(QUESTION)]})
    assert isinstance(found["structured_response"], Report)
    assert ToolMessage in _kinds(found["messages"])


def test_the_models_own_structured_output_is_chosen(llm: ChatLlamaCpp) -> None:
    by_default: Any = create_agent(llm, [get_weather], response_format=Report)
    by_provider: Any = create_agent(llm, [get_weather], response_format=ProviderStrategy(Report))
    asked = {"messages": [HumanMessage(QUESTION)]}
    one, other = by_default.invoke(asked), by_provider.invoke(asked)
    assert one["structured_response"] == other["structured_response"]


def test_a_response_format_as_a_tool(llm: ChatLlamaCpp) -> None:
    agent: Any = create_agent(llm, [], response_format=ToolStrategy(Report))
    found = agent.invoke({"messages": [HumanMessage(QUESTION)]})
    assert isinstance(found["structured_response"], Report)
