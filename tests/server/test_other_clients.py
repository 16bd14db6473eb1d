"""instructor, pydantic-ai, LiteLLM and LangChain's OpenAI classes drive the server."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import instructor
import litellm
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from serving import Running

SUM = "what is 3 plus 4?"
KEY = SecretStr("none")


class Answer(BaseModel):
    """The result of a sum."""

    model_config = ConfigDict(extra="forbid")  # a toy model would add fields for ever

    number: Literal[6, 7, 8]
    correct: bool


def get_weather(location: str) -> str:
    """Get the current weather in a given location.

    Args:
        location: the city
    """
    return f"It is sunny in {location}."


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA])
def test_instructor_gets_its_model(openai: OpenAI, mode: instructor.Mode) -> None:
    client = instructor.from_openai(openai, mode=mode)
    found = client.chat.completions.create(
        model="demo",
        response_model=Answer,
        messages=[{"role": "user", "content": SUM}],
        temperature=0,
        max_tokens=100,
        max_retries=0,
    )
    assert isinstance(found, Answer)


def _run(server: Running, agent: Agent[None, Any], question: str) -> Any:
    """An agent's output, by a client of its own that is closed."""

    async def run() -> Any:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            model = OpenAIChatModel("demo", provider=OpenAIProvider(openai_client=client))
            settings = ModelSettings(temperature=0, max_tokens=100)
            return (await agent.run(question, model=model, model_settings=settings)).output

    return asyncio.run(run())


def test_pydantic_ai_calls_a_tool_and_reads_its_result(server: Running) -> None:
    agent = Agent(tools=[get_weather])
    assert "sunny" in _run(server, agent, "what is the weather in Paris?")


def test_pydantic_ai_gets_its_model(server: Running) -> None:
    assert isinstance(_run(server, Agent(output_type=Answer), SUM), Answer)


@pytest.mark.filterwarnings("ignore:Item .* on TypedDict class .* is using:UserWarning")
def test_litellm_answers_and_streams(server: Running) -> None:
    asked: dict[str, Any] = {
        "model": "openai/demo",
        "api_base": f"{server.url}/v1",
        "api_key": "none",
        "messages": [{"role": "user", "content": SUM}],
        "temperature": 0,
    }
    whole: Any = litellm.completion(**asked)
    pieces: Any = litellm.completion(**asked, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert text == whole.choices[0].message.content
    assert "7" in text


def _langchain(server: Running) -> ChatOpenAI:
    return ChatOpenAI(model="demo", base_url=f"{server.url}/v1", api_key=KEY, temperature=0)


def test_langchain_calls_a_tool_and_reads_its_result(server: Running) -> None:
    chat = _langchain(server).bind_tools([get_weather])
    question = HumanMessage("what is the weather in Paris?")
    answer = chat.invoke([question])
    (call,) = answer.tool_calls
    assert call["args"] == {"location": "Paris"}
    result = ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"])
    assert "sunny" in str(chat.invoke([question, answer, result]).content)


def test_langchain_streams_and_gets_its_model(server: Running) -> None:
    chat = _langchain(server)
    pieces = [str(chunk.content) for chunk in chat.stream(SUM)]
    assert "7" in "".join(pieces)
    assert len(pieces) > 2
    assert isinstance(chat.with_structured_output(Answer).invoke(SUM), Answer)


def test_langchain_embeds_by_token_ids(server: Running) -> None:
    embeddings = OpenAIEmbeddings(
        model="demo",
        base_url=f"{server.url}/v1",
        api_key=KEY,
        check_embedding_ctx_length=False,
    )
    assert len(embeddings.embed_documents(["one", "two"])) == 2
