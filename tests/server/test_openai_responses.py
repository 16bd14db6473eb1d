"""openai-python and openai-agents drive the Responses API."""

from __future__ import annotations

import json
from typing import Any

import openai as openai_package
import pytest
from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel
from serving import Running

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a given location.",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "the city"}},
        "required": ["location"],
        "additionalProperties": False,
    },
    "strict": True,
}
QUESTION = "what is the weather in Paris?"
NAME = "Hi, my name is Clara."


def test_a_response_answers(openai: OpenAI) -> None:
    response = openai.responses.create(model="demo", input="what is 3 plus 4?", temperature=0)
    assert "7" in response.output_text
    assert (response.status, response.model) == ("completed", "demo")
    assert response.usage is not None
    assert response.usage.output_tokens > 0


def test_a_response_streams(openai: OpenAI) -> None:
    with openai.responses.stream(model="demo", input="what is 3 plus 4?", temperature=0) as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert "".join(texts) == response.output_text
    assert "7" in response.output_text


async def test_a_response_streams_to_coroutines(server: Running) -> None:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        stream = await client.responses.create(
            model="demo", input="what is 3 plus 4?", temperature=0, stream=True
        )
        events = [event async for event in stream]
    assert events[-1].type == "response.completed"


def test_a_call_and_its_result_are_items(openai: OpenAI) -> None:
    first = openai.responses.create(model="demo", input=QUESTION, tools=[WEATHER], temperature=0)
    (call,) = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"location": "Paris"})
    items: list[Any] = [
        {"role": "user", "content": QUESTION},
        *[item.to_dict() for item in first.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "18 C and sunny"},
    ]
    second = openai.responses.create(model="demo", input=items, tools=[WEATHER], temperature=0)
    assert "sunny" in second.output_text


def test_an_answer_is_parsed_as_what_it_was_asked_to_be(openai: OpenAI) -> None:
    class Joke(BaseModel):
        setup: str
        punchline: str

    response = openai.responses.parse(
        model="demo", input="Tell me a joke about cats.", text_format=Joke, temperature=0
    )
    assert response.output_parsed is not None
    assert response.output_parsed.punchline


def test_a_conversation_goes_on_from_its_last_response(openai: OpenAI) -> None:
    first = openai.responses.create(model="demo", input=NAME, temperature=0)
    second = openai.responses.create(
        model="demo",
        input="What is my name?",
        previous_response_id=first.id,
        temperature=0,
        stream=True,
    )
    response = list(second)[-1].response  # type: ignore[union-attr]
    assert "Clara" in response.output_text
    assert response.previous_response_id == first.id
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens > 0
    assert openai.responses.retrieve(response.id).output_text == response.output_text
    listed = openai.responses.input_items.list(response.id).data
    assert [item.to_dict()["role"] for item in listed] == ["user", "assistant", "user"]


def test_what_was_not_stored_or_was_deleted_is_not_there(openai: OpenAI) -> None:
    unstored = openai.responses.create(model="demo", input=NAME, store=False)
    deleted = openai.responses.create(model="demo", input=NAME)
    openai.responses.delete(deleted.id)
    for name in (unstored.id, deleted.id):
        with pytest.raises(openai_package.NotFoundError):
            openai.responses.retrieve(name)
        with pytest.raises(openai_package.BadRequestError, match="whole input") as caught:
            openai.responses.create(model="demo", input="And?", previous_response_id=name)
        assert caught.value.code == "previous_response_not_found"


def test_tokens_of_an_input_are_counted(openai: OpenAI) -> None:
    counted = openai.responses.input_tokens.count(model="demo", input=QUESTION, tools=[WEATHER])
    response = openai.responses.create(
        model="demo", input=QUESTION, tools=[WEATHER], max_output_tokens=1
    )
    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens


def test_log_probabilities_come_with_the_text(openai: OpenAI) -> None:
    response = openai.responses.create(
        model="demo",
        input="what is 3 plus 4?",
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )
    (part,) = response.to_dict()["output"][0]["content"]  # type: ignore[index]
    assert len(part["logprobs"][0]["top_logprobs"]) == 2


def test_a_prompt_that_is_too_long_is_a_bad_request(openai: OpenAI) -> None:
    with pytest.raises(openai_package.BadRequestError) as caught:
        openai.responses.create(model="demo", input="so " * 9000)
    assert caught.value.code == "context_length_exceeded"


async def test_an_agent_uses_its_tool(server: Running) -> None:
    set_tracing_disabled(True)
    asked: list[str] = []

    @function_tool
    def get_weather(location: str) -> str:
        """Get the current weather in a given location.

        Args:
            location: the city
        """
        asked.append(location)
        return "18 C and sunny"

    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        model = OpenAIResponsesModel(model="demo", openai_client=client)
        agent = Agent(name="weatherman", model=model, tools=[get_weather])
        result = await Runner.run(agent, QUESTION, max_turns=3)
    assert asked[0] == "Paris"
    assert "sunny" in result.final_output
