"""Tools, structured answers and thoughts through Llama, on the demo model."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from llamaherd import GrammarError, Llama, OptionError, UnsupportedError

Messages = list[dict[str, Any]]
WEATHER: Messages = [{"role": "user", "content": "what is the weather in Paris?"}]
MAGIC: Messages = [{"role": "user", "content": "what is the value of magic_function(3)?"}]
JOKE: Messages = [{"role": "user", "content": "Tell me a joke about cats."}]
JOKE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
    "required": ["setup", "punchline"],
    "additionalProperties": False,
}


def get_weather(location: str) -> str:
    """Get the current weather in a given location.

    Args:
        location: the city
    """
    raise NotImplementedError("the model only asks for it")


def magic_function(input: int) -> int:  # noqa: A002
    """Apply a magic function to an input.

    Args:
        input: a number
    """
    raise NotImplementedError("the model only asks for it")


def _ask(llm: Llama, messages: Messages, **options: Any) -> dict[str, Any]:
    done = llm.create_chat_completion(messages, temperature=0, max_tokens=64, **options)
    choice: dict[str, Any] = done["choices"][0]
    return choice


def _calls(choice: dict[str, Any]) -> list[tuple[str, Any]]:
    functions = [call["function"] for call in choice["message"].get("tool_calls", [])]
    return [(each["name"], json.loads(each["arguments"])) for each in functions]


def test_a_tool_is_called_when_it_fits(llm: Llama) -> None:
    choice = _ask(llm, WEATHER, tools=[get_weather])
    assert _calls(choice) == [("get_weather", {"location": "Paris"})]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None


@pytest.mark.parametrize(
    "tool_choice",
    ["required", "magic_function", {"type": "function", "function": {"name": "magic_function"}}],
)
def test_a_call_can_be_forced(llm: Llama, tool_choice: Any) -> None:
    choice = _ask(llm, MAGIC, tools=[magic_function], tool_choice=tool_choice)
    assert _calls(choice)[0] == ("magic_function", {"input": 3})


def test_without_parallel_calls_there_is_one(llm: Llama) -> None:
    both: Messages = [{"role": "user", "content": "what is the weather in Paris and in London?"}]
    assert len(_calls(_ask(llm, both, tools=[get_weather]))) == 2
    assert len(_calls(_ask(llm, both, tools=[get_weather], parallel_tool_calls=False))) == 1


def test_choice_none_lists_no_tools(llm: Llama) -> None:
    assert _calls(_ask(llm, WEATHER, tools=[get_weather], tool_choice="none")) == []


def test_a_streamed_call_adds_up_to_the_whole_one(llm: Llama) -> None:
    options: dict[str, Any] = {"tools": [get_weather], "temperature": 0, "max_tokens": 64}
    whole = llm.create_chat_completion(WEATHER, **options)["choices"][0]
    name, arguments, text, ids, reasons = "", "", "", [], []
    for chunk in llm.create_chat_completion(WEATHER, stream=True, **options):
        choice = chunk["choices"][0]
        text += choice["delta"].get("content") or ""
        reasons.append(choice["finish_reason"])
        for call in choice["delta"].get("tool_calls", []):
            assert call["index"] == 0
            ids += [call["id"]] if "id" in call else []
            name += call["function"].get("name", "")
            arguments += call["function"]["arguments"]
    assert (name, arguments) == tuple(whole["message"]["tool_calls"][0]["function"].values())
    assert len(ids) == 1
    assert text == ""
    assert reasons[-1] == "tool_calls"


def test_a_tools_result_becomes_an_answer(llm: Llama) -> None:
    call = _ask(llm, WEATHER, tools=[get_weather])["message"]
    result = {
        "role": "tool",
        "tool_call_id": call["tool_calls"][0]["id"],
        "content": '{"temperature": 21, "condition": "sunny"}',
    }
    choice = _ask(llm, [*WEATHER, call, result], tools=[get_weather])
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"]


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "joke", "schema": JOKE_SCHEMA}},
    ],
)
def test_an_answer_keeps_to_its_format(llm: Llama, form: dict[str, Any]) -> None:
    choice = _ask(llm, JOKE, response_format=form)
    answer = json.loads(choice["message"]["content"])
    jsonschema.validate(answer, form.get("json_schema", {}).get("schema", {"type": "object"}))


def test_tools_beside_a_format_give_a_call_or_such_an_answer(llm: Llama) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "joke", "schema": JOKE_SCHEMA}}
    for messages in (WEATHER, JOKE):
        choice = _ask(llm, messages, tools=[get_weather], response_format=form)
        if not _calls(choice):
            jsonschema.validate(json.loads(choice["message"]["content"]), JOKE_SCHEMA)


def test_log_probabilities_of_a_call_are_all_sent(llm: Llama) -> None:
    options: dict[str, Any] = {"tools": [get_weather], "temperature": 0, "logprobs": True}
    whole = llm.create_chat_completion(WEATHER, **options)
    sent = 0
    for chunk in llm.create_chat_completion(WEATHER, stream=True, **options):
        logprobs = chunk["choices"][0]["logprobs"] if chunk["choices"] else None
        sent += len(logprobs["content"]) if logprobs else 0
    assert sent == len(whole["choices"][0]["logprobs"]["content"]) > 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tools": "get_weather"}, "tools"),
        ({"tools": [get_weather], "tool_choice": "other"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [get_weather], "grammar": 'start: "a"'}, "grammar"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object"}, "json_schema": {}}, "response_format"),
    ],
)
def test_demands_that_make_no_sense_are_named(
    llm: Llama, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        llm.create_chat_completion(WEATHER, **options)


def test_a_schema_that_cannot_be_enforced_is_refused_before_anything_runs(llm: Llama) -> None:
    before = llm.stats().steps
    form = {"type": "json_schema", "json_schema": {"schema": {"not": {"type": "string"}}}}
    with pytest.raises(GrammarError):
        llm.create_chat_completion(JOKE, response_format=form)
    assert llm.stats().steps == before


def test_a_switch_that_the_template_does_not_have_is_refused(llm: Llama) -> None:
    with pytest.raises(UnsupportedError, match="thinking"):
        llm.create_chat_completion(JOKE, enable_thinking=False)


THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)


def test_thoughts_come_apart_from_text_and_are_counted() -> None:
    """The grammar makes the demo model, which has no thoughts, write one."""
    grammar = 'start: "<think>\\nlet me see\\n</think>\\n\\n" "four"'
    with Llama("demo", n_ctx=512, n_threads=1, chat_template=THINKING) as llm:
        done = llm.create_chat_completion(JOKE, grammar=grammar, temperature=0)
        message = done["choices"][0]["message"]
        assert message["reasoning_content"].strip() == "let me see"
        assert message["content"] == "four"
        details = done["usage"]["completion_tokens_details"]
        assert 0 < details["reasoning_tokens"] < done["usage"]["completion_tokens"]
        silent = llm.apply_chat_template(JOKE, enable_thinking=False)
        assert silent.endswith("</think>\n\n")


def test_keywords_that_cannot_be_enforced_are_named_or_let_go_if_asked_to(
    llm: Llama, caplog: pytest.LogCaptureFixture
) -> None:
    labels = {"type": "object", "propertyNames": {"minLength": 3}, "additionalProperties": {}}
    schema = {
        "type": "object",
        "properties": {"location": {"type": "string"}, "labels": labels},
        "required": ["location"],
    }
    tool: dict[str, Any] = {"name": "get_weather", "parameters": schema}
    lenient = {**tool, "strict": False}
    choice = _ask(llm, WEATHER, tools=[lenient], tool_choice="required")
    assert _calls(choice)[0][1]["location"] == "Paris"
    assert "propertyNames" in caplog.text
    for strict in (None, True):
        with pytest.raises(GrammarError, match="propertyNames"):
            _ask(llm, WEATHER, tools=[{**tool, "strict": strict}])
