"""LangChain's and LangGraph's agents on the demo model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
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


@wrap_model_call
def one_call(request: Any, handler: Any) -> Any:
    """Tools are gone once one was called: the demo model would go on calling."""
    called = any(isinstance(message, ToolMessage) for message in request.messages)
    return handler(request.override(tools=[]) if called else request)


@pytest.mark.parametrize("form", [Report, ProviderStrategy(Report)], ids=["class", "provider"])
def test_tools_and_a_response_format_together(llm: ChatLlamaCpp, form: Any) -> None:
    agent: Any = create_agent(llm, [get_weather], response_format=form, middleware=[one_call])
    found = agent.invoke({"messages": [HumanMessage(QUESTION)]})
    assert _kinds(found["messages"]) == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert isinstance(found["structured_response"], Report)
    said = json.loads(found["messages"][-1].content)
    assert found["structured_response"] == Report(**said)


def test_a_response_format_as_a_tool(llm: ChatLlamaCpp) -> None:
    agent: Any = create_agent(llm, [], response_format=ToolStrategy(Report))
    found = agent.invoke({"messages": [HumanMessage(QUESTION)]})
    assert isinstance(found["structured_response"], Report)
