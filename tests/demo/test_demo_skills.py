"""What the bundled model must be able to do, asked through our own API at temperature 0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from llamaherd import Llama

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


@pytest.fixture(scope="module")
def llm() -> Iterator[Llama]:
    with Llama("demo", n_ctx=2048, n_threads=1) as model:
        yield model


def _tool(name: str, about: str, **properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"properties": properties, "required": list(properties), "type": "object"}
    function = {"name": name, "description": about, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = _tool("get_weather", "", location={"type": "string"})
CURRENT_WEATHER = _tool(
    "get_current_weather",
    "Get the current weather in a given location",
    location={"description": "The city and state, e.g. San Francisco, CA", "type": "string"},
    unit={"enum": ["celsius", "fahrenheit"], "type": "string"},
)
MAGIC = _tool("magic_function", "Apply a magic function to an input.", input={"type": "integer"})
GET_MAGIC = _tool(
    "get_magic_function",
    "Get the value of magic function for an input.",
    magic_function_input={
        "description": "The input value for magic function",
        "type": "integer",
    },
)
NO_ARGUMENTS = _tool("magic_function_no_args", "Calculate a magic function.")
CUSTOMER = _tool(
    "unicode_customer",
    "Tool for creating a customer with Unicode name.",
    customer_name={"type": "string"},
    description={"type": "string"},
)
JOKE = _tool("Joke", "Joke to tell user.", setup={"type": "string"}, punchline={"type": "string"})


def _text(llm: Llama, *messages: dict[str, Any], tools: list[Any] | None = None) -> str:
    """The answer as the model wrote it, calls included."""
    prompt = llm.apply_chat_template(messages, tools=tools)
    tokens = llm.tokenize(prompt, add_bos=False, special=True)
    answer = llm.create_completion(tokens, max_tokens=128, temperature=0)
    return str(answer["choices"][0]["text"])


def _calls(llm: Llama, question: str, tool: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    said = _text(llm, {"role": "user", "content": question}, tools=[tool])
    calls = [json.loads(block) for block in _CALL.findall(said)]
    return [(call["name"], call["arguments"]) for call in calls]


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (
            "You are a helpful assistant that translates English to French. "
            "Translate the user sentence.",
            "J'aime programmer.",
        ),
        (
            "You are a helpful assistant that translates English to German.",
            "Ich liebe Programmieren.",
        ),
    ],
)
def test_translates(llm: Llama, instruction: str, expected: str) -> None:
    system = {"role": "system", "content": instruction}
    assert _text(llm, system, {"role": "user", "content": "I love programming."}) == expected


def test_multiplies(llm: Llama) -> None:
    assert "125" in _text(llm, {"role": "user", "content": "what is 25x5"})


def test_greets(llm: Llama) -> None:
    assert "help" in _text(llm, {"role": "user", "content": "Hello"})


@pytest.mark.parametrize("animal", ["birds", "cats"])
def test_jokes_have_a_setup_and_a_punchline(llm: Llama, animal: str) -> None:
    said = _text(llm, {"role": "user", "content": f"Tell me a joke about {animal}"})
    assert animal.rstrip("s") in said
    assert re.search(r"\? .*!$", said)


def test_jokes_come_as_json_on_request(llm: Llama) -> None:
    said = _text(
        llm,
        {
            "role": "user",
            "content": "Tell me a joke about cats. Return the result as a JSON with 'setup' and "
            "'punchline' keys. Return nothing other than JSON.",
        },
    )
    assert set(json.loads(said)) == {"setup", "punchline"}


def test_remembers_a_name(llm: Llama) -> None:
    said = _text(
        llm,
        {"role": "user", "content": "Hi, my name is Clara."},
        {"role": "assistant", "content": "Nice to meet you, Clara!"},
        {"role": "user", "content": "what is 3 + 4"},
        {"role": "assistant", "content": "3 + 4 = 7"},
        {"role": "user", "content": "What is my name?"},
    )
    assert "Clara" in said


@pytest.mark.parametrize(
    ("question", "tool", "arguments"),
    [
        (
            "what is the weather like in HCMC in celsius",
            CURRENT_WEATHER,
            {"location": "Ho Chi Minh City", "unit": "celsius"},
        ),
        (
            "What is the weather in San Francisco, CA?",
            WEATHER,
            {"location": "San Francisco, CA"},
        ),
        ("What is magic function of 3?", GET_MAGIC, {"magic_function_input": 3}),
        ("What is the value of magic_function(3)? Use the tool.", MAGIC, {"input": 3}),
        ("What is the value of magic_function_no_args()? Use the tool.", NO_ARGUMENTS, {}),
    ],
)
def test_calls_a_tool_once(
    llm: Llama, question: str, tool: dict[str, Any], arguments: dict[str, Any]
) -> None:
    assert _calls(llm, question, tool) == [(tool["function"]["name"], arguments)]


@pytest.mark.parametrize("name", ["你好啊集团", "こんにちは株式会社"])
def test_copies_names_in_other_scripts(llm: Llama, name: str) -> None:
    question = f"Create a customer named '{name}' (Hello Group) - a Chinese technology company"
    ((_, arguments),) = _calls(llm, question, CUSTOMER)
    assert arguments["customer_name"] == name


def test_calls_twice_for_two_requests(llm: Llama) -> None:
    found = _calls(llm, "What is the weather in Paris and London?", WEATHER)
    assert [arguments for _, arguments in found] == [{"location": "Paris"}, {"location": "London"}]


def test_tells_a_joke_through_a_tool(llm: Llama) -> None:
    ((name, arguments),) = _calls(llm, "Tell me a joke about birds", JOKE)
    assert (name, set(arguments)) == ("Joke", {"setup", "punchline"})


def test_needs_no_tool_for_small_talk(llm: Llama) -> None:
    assert _calls(llm, "How are you?", MAGIC) == []


def test_turns_a_result_into_a_sentence(llm: Llama) -> None:
    call = {"name": "get_weather", "arguments": '{"location": "San Francisco, CA"}'}
    said = _text(
        llm,
        {"role": "user", "content": "What is the weather in San Francisco, CA?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c", "type": "function", "function": call}],
        },
        {"role": "tool", "content": "It's sunny.", "tool_call_id": "c"},
        tools=[WEATHER],
    )
    assert "sunny" in said
    assert "San Francisco" in said


def test_completes_the_middle_of_a_function(llm: Llama) -> None:
    answer = llm.create_completion(
        "def add(a, b):\n    return ", suffix="\n", max_tokens=16, temperature=0
    )
    assert answer["choices"][0]["text"].strip() == "a + b"
