"""Ollama's requests as OpenAI's, and OpenAI's answers as Ollama's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ollama import ChatResponse
from translating import JSON, streamed, whole_response

from llamaherd import Llama, OptionError
from llamaherd.server.calls import ChatCall, TextCall
from llamaherd.server.errors import Failure
from llamaherd.server.protocols import ollama

WEATHER_TOOL = {
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
PNG = "iVBORw0KGgo="


def _body(*messages: JSON, **more: Any) -> JSON:
    return {"model": "demo", "messages": list(messages), **more}


def _user(content: str, **more: Any) -> JSON:
    return {"role": "user", "content": content, **more}


WEATHER = _body(_user("what is the weather in Paris?"), tools=[WEATHER_TOOL])


# -- requests ---------------------------------------------------------------------------------


def test_a_chat_with_images_calls_and_thoughts() -> None:
    def call(name: str) -> JSON:
        return {"function": {"name": name, "arguments": {"x": 1}}}

    asked = ollama.chat_call(
        _body(
            {"role": "system", "content": "Be brief."},
            _user("look", images=[PNG]),
            {"role": "assistant", "thinking": "hm", "tool_calls": [call("see"), call("hear")]},
            {"role": "tool", "tool_name": "hear", "content": "a purr"},
            {"role": "tool", "tool_name": "see", "content": "a cat"},
        )
    )
    written = {"name": "hear", "arguments": '{"x": 1}'}
    system, user, assistant, *results = asked.messages
    assert system == {"role": "system", "content": "Be brief."}
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert user["content"] == [{"type": "text", "text": "look"}, shown]
    assert assistant["reasoning_content"] == "hm"
    assert assistant["tool_calls"][1] == {"id": "call_1", "type": "function", "function": written}
    assert [(each["tool_call_id"], each["content"]) for each in results] == [
        ("call_1", "a purr"),
        ("call_0", "a cat"),
    ]


def test_options_have_our_names() -> None:
    options = {
        "num_predict": -2, "temperature": 0.1, "top_k": 3, "stop": ["a"], "seed": 4,
        "num_ctx": 8192, "num_gpu": 1, "tfs_z": 1.0, "shiny": 1,
    }  # fmt: skip
    call = ollama.chat_call(_body(_user("hi"), options=options, keep_alive="5m"))
    assert call.options == {
        "max_tokens": -1, "temperature": 0.1, "top_k": 3, "stop": ["a"], "seed": 4,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert call.ignored == ["options.num_ctx", "options.shiny"]


ANY_OBJECT: JSON = {"type": "object"}


@pytest.mark.parametrize(
    ("form", "option"),
    [
        ("json", {"type": "json_object"}),
        (
            {"type": "object"},
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}},
            },
        ),
        ("", None),
        (None, None),
    ],
)
def test_formats(form: Any, option: JSON | None) -> None:
    call = ollama.chat_call(_body(_user("hi"), format=form))
    assert call.options.get("response_format") == option


@pytest.mark.parametrize(
    ("think", "option", "hints"),
    [
        (None, None, {}),
        (True, True, {}),
        (False, None, {"enable_thinking": False}),
        ("high", None, {"enable_thinking": True, "reasoning_effort": "high"}),
    ],
)
def test_thinking(think: Any, option: bool | None, hints: JSON) -> None:
    call = ollama.chat_call(_body(_user("hi"), think=think))
    assert (call.options.get("enable_thinking"), call.hints) == (option, hints)


def test_to_generate_is_to_answer_a_question() -> None:
    call = ollama.generate_call({"model": "demo:latest", "prompt": "hi", "system": "Be brief."})
    assert isinstance(call, ChatCall)
    assert call.model == "demo"
    assert [message["content"] for message in call.messages] == ["Be brief.", "hi"]


def test_raw_texts_and_gaps_go_past_the_template() -> None:
    raw = ollama.generate_call({"model": "demo", "prompt": "1, 2,", "raw": True, "format": "json"})
    assert isinstance(raw, TextCall)
    assert (raw.prompt, raw.suffix) == ("1, 2,", None)
    assert raw.options["json_schema"] == {"type": "object"}
    gap = ollama.generate_call({"model": "demo", "prompt": "a(", "suffix": ")"})
    assert isinstance(gap, TextCall)
    assert gap.suffix == ")"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": []}, {"role": 1}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [_user("hi", images=["%%%"])]}, "messages[0].images[0]"),
        ({"messages": [_user("hi", images="x")]}, "messages[0].images"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": "f"}]}]},
            "messages[0].tool_calls[0].function",
        ),
        ({"tools": "f"}, "tools"),
        ({"format": "yaml"}, "format"),
        ({"think": "heroically"}, "think"),
        ({"options": []}, None),
        ({"options": [1]}, "options"),
        ({"options": {"num_predict": -3}}, "options.num_predict"),
        ({"options": {"tfs_z": 0.5}}, "tfs_z"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    ],
)
def test_what_is_malformed_is_named(fields: JSON, name: str | None) -> None:
    body = {**_body(_user("hi")), **fields}
    if name is None:
        ollama.chat_call(body)
        return
    with pytest.raises(OptionError) as caught:
        ollama.chat_call(body)
    assert caught.value.option == name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"prompt": 5}, "prompt"),
        ({"suffix": ["x"]}, "suffix"),
        ({"raw": "yes"}, "raw"),
        ({"raw": True, "images": [PNG]}, "images"),
        ({"raw": True, "logprobs": True}, "logprobs"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"context": [1, 2]}, "context"),
        ({"system": 1}, "system"),
    ],
)
def test_what_cannot_be_generated_from_is_named(fields: JSON, name: str) -> None:
    with pytest.raises(OptionError) as caught:
        ollama.generate_call({"model": "demo", "prompt": "hi", **fields})
    assert caught.value.option == name


# -- answers ----------------------------------------------------------------------------------


def _lines(data: bytes) -> list[JSON]:
    return [json.loads(line) for line in data.decode().splitlines()]


def test_lines_add_up_to_the_whole_response(llm: Llama) -> None:
    call = ollama.chat_call(_body(_user("what is 3 plus 4?"), logprobs=True, top_logprobs=1))
    *lines, last = _lines(streamed(llm, call, ollama.Lines(ollama.message)))
    whole = ollama.whole(whole_response(llm, call), ollama.message)
    assert all(ChatResponse.model_validate(line).done is False for line in lines)
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    assert "7" in whole["message"]["content"]
    assert (last["done"], last["done_reason"], last["message"]["content"]) == (True, "stop", "")
    assert last["eval_count"] == whole["eval_count"] > 0
    assert last["total_duration"] >= last["eval_duration"] > 0
    assert whole["logprobs"][0]["top_logprobs"]
    assert ChatResponse.model_validate(whole).logprobs


def test_calls_come_whole(llm: Llama) -> None:
    call = ollama.chat_call(WEATHER)
    lines = _lines(streamed(llm, call, ollama.Lines(ollama.message)))
    expected = [
        {
            "id": "call_id",
            "function": {"index": 0, "name": "get_weather", "arguments": {"location": "Paris"}},
        }
    ]
    assert [line["message"].get("tool_calls") for line in lines] == [expected, None]
    whole = ollama.whole(whole_response(llm, call), ollama.message)
    assert whole["message"] == {"role": "assistant", "content": "", "tool_calls": expected}
    assert whole["done_reason"] == "stop"


def test_an_answer_that_was_cut_off_says_so(llm: Llama) -> None:
    call = ollama.chat_call(_body(_user("hi"), options={"num_predict": 1}))
    assert ollama.whole(whole_response(llm, call), ollama.message)["done_reason"] == "length"


def test_thoughts_and_errors_have_their_own_fields() -> None:
    lines = ollama.Lines(ollama.response)
    choice = {"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}
    chunk = {"id": "x", "created": 0, "model": "demo", "choices": [choice]}
    assert _lines(lines.chunk(chunk)) == [
        {
            "model": "demo",
            "created_at": "1970-01-01T00:00:00Z",
            "response": "",
            "thinking": "hm",
            "done": False,
        }
    ]
    assert _lines(lines.error(Failure(500, "oh"))) == [{"error": "oh"}]
