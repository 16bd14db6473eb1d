"""anthropic-python drives the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic as anthropic_package
import httpx
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel
from serving import Running

WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "Get the current weather in a given location.",
    "input_schema": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "the city"}},
        "required": ["location"],
    },
}
QUESTION: MessageParam = {"role": "user", "content": "what is the weather in Paris?"}
SUM: MessageParam = {"role": "user", "content": "what is 3 plus 4?"}


@pytest.fixture
def anthropic(server: Running) -> Iterator[Anthropic]:
    """The official client, pointed at the server."""
    with Anthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def test_messages_answer(anthropic: Anthropic) -> None:
    message = anthropic.messages.create(
        model="demo", max_tokens=32, messages=[SUM], extra_body={"temperature": 0}
    )
    assert "7" in _text(message)
    assert (message.model, message.role, message.stop_reason) == ("demo", "assistant", "end_turn")
    assert message.usage.output_tokens > 0


def test_a_conversation_is_read_once(anthropic: Anthropic) -> None:
    def ask() -> Any:
        return anthropic.messages.create(
            model="demo",
            max_tokens=8,
            system="You are a helpful assistant who counts what it has read.",
            messages=[SUM],
        ).usage

    first, second = ask(), ask()
    assert second.cache_read_input_tokens > 0
    assert (
        first.input_tokens + first.cache_read_input_tokens
        == second.input_tokens + second.cache_read_input_tokens
    )


def test_streams_carry_text_and_counts(anthropic: Anthropic) -> None:
    with anthropic.messages.stream(
        model="demo", max_tokens=32, messages=[SUM], extra_body={"temperature": 0}
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert "7" in text
    assert _text(message) == text
    assert message.usage.output_tokens > 0
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 0


async def test_coroutines_stream_too(server: Running) -> None:
    async with (
        AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as client,
        client.messages.stream(
            model="demo", max_tokens=32, messages=[SUM], extra_body={"temperature": 0}
        ) as stream,
    ):
        text = "".join([piece async for piece in stream.text_stream])
    assert "7" in text


def test_a_tool_is_called_and_its_result_read(anthropic: Anthropic) -> None:
    with anthropic.messages.stream(
        model="demo",
        max_tokens=64,
        messages=[QUESTION],
        tools=[WEATHER],
        extra_body={"temperature": 0},
    ) as stream:
        events = [event.type for event in stream]
        message = stream.get_final_message()
    (call,) = message.content
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("get_weather", {"location": "Paris"})
    assert message.stop_reason == "tool_use"
    assert "input_json" in events
    result: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "18 C and sunny"}],
    }
    said = anthropic.messages.create(
        model="demo",
        max_tokens=64,
        messages=[QUESTION, message.to_param(), result],
        tools=[WEATHER],
        extra_body={"temperature": 0},
    )
    assert "sunny" in _text(said)


def test_a_tool_can_be_forced_and_forbidden(anthropic: Anthropic) -> None:
    def blocks(choice: Any) -> list[str]:
        message = anthropic.messages.create(
            model="demo",
            max_tokens=64,
            messages=[QUESTION],
            tools=[WEATHER],
            tool_choice=choice,
            extra_body={"temperature": 0},
        )
        return [block.type for block in message.content]

    assert blocks({"type": "tool", "name": "get_weather"}) == ["tool_use"]
    assert blocks({"type": "any", "disable_parallel_tool_use": True}) == ["tool_use"]
    assert blocks({"type": "none"}) == ["text"]


def test_thinking_is_taken_from_a_model_without_a_switch(anthropic: Anthropic) -> None:
    message = anthropic.messages.create(
        model="demo",
        max_tokens=2048,
        messages=[SUM],
        thinking={"type": "enabled", "budget_tokens": 1024},
        extra_body={"temperature": 0},
    )
    assert "7" in _text(message)


def test_an_answer_follows_a_schema(anthropic: Anthropic) -> None:
    class Joke(BaseModel):
        setup: str
        punchline: str

    message = anthropic.messages.parse(
        model="demo",
        max_tokens=128,
        messages=[{"role": "user", "content": "Tell me a joke about cats."}],
        output_format=Joke,
    )
    assert message.parsed_output is not None
    assert message.parsed_output.setup


def test_tokens_are_counted_as_they_are_read(anthropic: Anthropic) -> None:
    counted = anthropic.messages.count_tokens(
        model="demo", system="Be brief.", messages=[QUESTION], tools=[WEATHER]
    )
    message = anthropic.messages.create(
        model="demo", max_tokens=1, system="Be brief.", messages=[QUESTION], tools=[WEATHER]
    )
    read = message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
    assert counted.input_tokens == read


def test_errors_are_the_clients_own(anthropic: Anthropic) -> None:
    with pytest.raises(anthropic_package.NotFoundError, match="there are: demo") as caught:
        anthropic.messages.create(model="claude", max_tokens=1, messages=[SUM])
    assert caught.value.body == {
        "type": "error",
        "error": {"type": "not_found_error", "message": caught.value.api_message},
    }
    with pytest.raises(anthropic_package.BadRequestError, match="prompt is too long: ") as too_long:
        anthropic.messages.create(
            model="demo", max_tokens=1, messages=[{"role": "user", "content": "so " * 5000}]
        )
    assert too_long.value.type == "invalid_request_error"


def test_what_nobody_reads_is_named(server: Running) -> None:
    body = {
        "model": "demo",
        "max_tokens": 1,
        "messages": [SUM],
        "metadata": {"user_id": "u"},
        "shiny": True,
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    response = httpx.post(f"{server.url}/v1/messages?beta=true", json=body)
    assert response.status_code == 200
    assert response.headers["x-ignored-fields"] == "shiny, tools[0] web_search_20250305"


def _text(message: anthropic_package.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")
