"""openai-python drives the server: all that OpenAI's own client can ask of it."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import openai as openai_package
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel
from serving import Running

SUM: list[ChatCompletionMessageParam] = [{"role": "user", "content": "what is 3 plus 4?"}]
PARIS: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "what is the weather in Paris?"}
]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a given location.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string", "description": "the city"}},
            "required": ["location"],
        },
    },
}


def test_chat_answers(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(model="demo", messages=SUM, temperature=0)
    assert "7" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "demo"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_ends_with_usage(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(
            model="demo",
            messages=SUM,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True, "include_obfuscation": False},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "7" in text
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_coroutines_are_answered_together(server: Running) -> None:
    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            asked = [
                client.chat.completions.create(model="demo", messages=SUM, temperature=0)
                for _ in range(8)
            ]
            return [a.choices[0].message.content or "" for a in await asyncio.gather(*asked)]

    answers = asyncio.run(ask())
    assert len(set(answers)) == 1
    assert "7" in answers[0]


def test_an_asynchronous_stream_comes_in_pieces(server: Running) -> None:
    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(
                model="demo", messages=SUM, temperature=0, stream=True
            )
            return [c.choices[0].delta.content or "" async for c in stream]

    pieces = asyncio.run(ask())
    assert len([piece for piece in pieces if piece]) > 1


def test_a_tool_is_called_and_its_result_read(openai: OpenAI) -> None:
    messages = list(PARIS)
    answer = openai.chat.completions.create(
        model="demo", messages=messages, tools=[WEATHER], temperature=0
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"location": "Paris"}
    messages.append(message.model_dump(exclude_none=True))  # type: ignore[arg-type]
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "It is sunny in Paris."})
    answer = openai.chat.completions.create(
        model="demo", messages=messages, tools=[WEATHER], temperature=0
    )
    assert "sunny" in (answer.choices[0].message.content or "")


def test_a_tool_call_streams(openai: OpenAI) -> None:
    with openai.chat.completions.stream(
        model="demo", messages=PARIS, tools=[WEATHER], temperature=0
    ) as stream:
        kinds = {event.type for event in stream}
        calls: Any = stream.get_final_completion().choices[0].message.tool_calls
    assert "tool_calls.function.arguments.delta" in kinds
    assert json.loads(calls[0].function.arguments) == {"location": "Paris"}


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_call_can_be_demanded(openai: OpenAI, choice: Any) -> None:
    answer = openai.chat.completions.create(
        model="demo",
        messages=SUM,
        tools=[WEATHER],
        tool_choice=choice,
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=60,
    )
    calls: Any = answer.choices[0].message.tool_calls
    assert calls[0].function.name == "get_weather"
    assert set(json.loads(calls[0].function.arguments)) == {"location"}


class Answer(BaseModel):
    correct: bool
    number: int


def test_an_answer_is_parsed_as_a_pydantic_model(openai: OpenAI) -> None:
    answer = openai.chat.completions.parse(
        model="demo", messages=SUM, response_format=Answer, temperature=0, max_tokens=60
    )
    assert isinstance(answer.choices[0].message.parsed, Answer)


def test_a_streamed_answer_is_parsed(openai: OpenAI) -> None:
    with openai.chat.completions.stream(
        model="demo", messages=SUM, response_format=Answer, temperature=0, max_tokens=60
    ) as stream:
        for _ in stream:
            pass
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(parsed, Answer)


def test_several_answers_and_log_probabilities(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(
        model="demo", messages=SUM, n=2, seed=1, logprobs=True, top_logprobs=2, max_tokens=5
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].logprobs is not None
    entries = answer.choices[0].logprobs.content or []
    assert all(len(entry.top_logprobs) == 2 for entry in entries)


def test_completions_take_texts_token_ids_and_lists(openai: OpenAI, server: Running) -> None:
    tokens = server.llm.tokenize("one two three")
    prompts: list[tuple[Any, int]] = [
        ("one two three", 1),
        (tokens, 1),
        (["one two three", "a"], 2),
        ([tokens, [tokens[0]]], 2),
    ]
    first = set()
    for prompt, n in prompts:
        answer = openai.completions.create(model="demo", prompt=prompt, max_tokens=5, temperature=0)
        first.add(answer.choices[0].text)
        assert len(answer.choices) == n
    assert len(first) == 1


def test_completions_echo_with_legacy_log_probabilities(openai: OpenAI) -> None:
    answer = openai.completions.create(
        model="demo", prompt="one two three", max_tokens=2, echo=True, logprobs=3, temperature=0
    )
    found = answer.choices[0].logprobs
    assert answer.choices[0].text.startswith("one two three")
    assert found is not None
    lists: list[Any] = [found.tokens, found.token_logprobs, found.top_logprobs, found.text_offset]
    assert len({len(each) for each in lists}) == 1
    assert lists[1][0] is None, "nothing predicts the first token"


def test_a_suffix_asks_for_what_lies_between(openai: OpenAI) -> None:
    answer = openai.completions.create(
        model="demo", prompt="def add(a, b):\n", suffix="\n", max_tokens=10, temperature=0
    )
    assert answer.choices[0].finish_reason in ("stop", "length")


def test_completions_stream(openai: OpenAI) -> None:
    chunks = list(
        openai.completions.create(
            model="demo", prompt="one two", max_tokens=5, stream=True, temperature=0
        )
    )
    assert chunks[-1].choices[0].finish_reason == "length"
    assert "".join(chunk.choices[0].text for chunk in chunks)


def test_embeddings_are_the_same_as_base64_and_as_numbers(openai: OpenAI, server: Running) -> None:
    texts = ["one", "two words"]
    by_default = openai.embeddings.create(model="demo", input=texts)
    as_numbers = openai.embeddings.create(model="demo", input=texts, encoding_format="float")
    raw = openai.embeddings.create(model="demo", input=texts, encoding_format="base64")
    data: Any = raw.data[0].embedding
    unpacked = struct.unpack(f"<{len(by_default.data[0].embedding)}f", base64.b64decode(data))
    assert by_default.data[0].embedding == pytest.approx(as_numbers.data[0].embedding)
    assert list(unpacked) == pytest.approx(as_numbers.data[0].embedding)
    assert [entry.index for entry in by_default.data] == [0, 1]
    tokens = server.llm.tokenize("one")
    by_tokens = openai.embeddings.create(model="demo", input=[tokens])
    assert len(by_tokens.data) == 1


def test_embeddings_can_be_shortened(openai: OpenAI) -> None:
    answer = openai.embeddings.create(model="demo", input="one", dimensions=8)
    assert len(answer.data[0].embedding) == 8
    assert sum(x * x for x in answer.data[0].embedding) == pytest.approx(1, abs=1e-4)


def test_an_unknown_model_is_not_found(openai: OpenAI) -> None:
    with pytest.raises(openai_package.NotFoundError, match="there are: demo") as caught:
        openai.chat.completions.create(model="x", messages=SUM)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_a_bad_field_is_named(openai: OpenAI) -> None:
    with pytest.raises(openai_package.BadRequestError, match="expected a number") as caught:
        openai.chat.completions.create(model="demo", messages=SUM, temperature=-1)
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"


def test_a_prompt_that_is_too_long_is_told_by_its_code(openai: OpenAI) -> None:
    with pytest.raises(openai_package.BadRequestError) as caught:
        openai.completions.create(model="demo", prompt="a b c " * 3000)
    assert caught.value.code == "context_length_exceeded"


def test_harmless_fields_are_accepted_and_unknown_ones_named(openai: OpenAI) -> None:
    raw = openai.chat.completions.with_raw_response.create(
        model="demo",
        messages=SUM,
        max_completion_tokens=3,
        user="me",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        extra_body={"no_such_field": 1, "another": 2},
    )
    assert raw.headers["x-ignored-fields"] == "no_such_field, another"
    assert raw.parse().choices


def test_what_cannot_be_honoured_is_refused(openai: OpenAI) -> None:
    with pytest.raises(openai_package.BadRequestError) as caught:
        openai.chat.completions.create(model="demo", messages=SUM, web_search_options={})
    assert caught.value.param == "web_search_options"


def test_token_biases_come_with_strings_as_keys(openai: OpenAI, server: Running) -> None:
    (seven,) = server.llm.tokenize("7", add_bos=False)
    answer = openai.chat.completions.create(
        model="demo", messages=SUM, temperature=0, logit_bias={str(seven): -100}
    )
    assert "7" not in (answer.choices[0].message.content or "")


def test_models_are_listed(openai: OpenAI) -> None:
    assert [model.id for model in openai.models.list()] == ["demo"]
    assert openai.models.retrieve("demo").id == "demo"
