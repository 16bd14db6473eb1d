"""Requests of the Responses API as chats, and answers as its events and objects."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from translating import JSON, named_events, streamed, whole_response

from llamaherd import Llama, OptionError
from llamaherd.server.errors import Failure
from llamaherd.server.protocols import responses

WEATHER_TOOL = {
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
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def _body(given: Any, **more: Any) -> JSON:
    return {"model": "demo", "input": given, **more}


def _said(role: str, *texts: str) -> JSON:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text} for text in texts]
    return {"type": "message", "role": role, "content": content}


def _user(part: JSON) -> list[JSON]:
    return [{"role": "user", "content": [part]}]


# -- requests ---------------------------------------------------------------------------------


def test_a_text_is_what_the_user_says() -> None:
    call = responses.chat_call(_body("hi", instructions="Be brief.", max_output_tokens=9))
    assert call.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]
    assert call.options["max_tokens"] == 9


def test_items_become_turns_as_codex_sends_them() -> None:
    call = responses.chat_call(
        _body(
            [
                _said("developer", "You code."),
                _said("developer", "These are skills.", "These are permissions."),
                _said("user", "Where am I?"),
                _said("user", "List the files."),
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "ls"}],
                    "encrypted_content": None,
                },
                _said("assistant", "I look."),
                {"type": "function_call", "call_id": "a", "name": "sh", "arguments": '{"c": "ls"}'},
                {"type": "function_call_output", "call_id": "a", "output": "README"},
                {"type": "web_search_call", "id": "ws", "status": "completed"},
                _said("user", "And now?"),
            ]
        )
    )
    function = {"name": "sh", "arguments": '{"c": "ls"}'}
    assert call.messages == [
        {
            "role": "system",
            "content": "You code.\n\nThese are skills.\n\nThese are permissions.",
        },
        {"role": "user", "content": "Where am I?\n\nList the files."},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "ls",
            "tool_calls": [{"id": "a", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "README"},
        {"role": "user", "content": "And now?"},
    ]
    assert call.ignored == ["input[8] web_search_call"]


def test_images_are_parts() -> None:
    image = {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,QQ"}
    text = {"type": "input_text", "text": "What is it?"}
    call = responses.chat_call(_body([{"role": "user", "content": [text, image]}]))
    assert call.messages[0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ"}},
    ]


def test_tools_of_others_are_left_out_and_named() -> None:
    namespace = {"type": "namespace", "name": "agents", "tools": []}
    search = {"type": "web_search", "external_web_access": False}
    call = responses.chat_call(
        _body("hi", tools=[namespace, WEATHER_TOOL, search], tool_choice="auto", later=1)
    )
    assert [tool["function"]["name"] for tool in call.options["tools"]] == ["get_weather"]
    assert call.ignored == ["later", "tools[0] namespace", "tools[2] web_search"]


@pytest.mark.parametrize(
    ("choice", "option"),
    [
        ("required", "required"),
        ("none", "none"),
        (
            {"type": "function", "name": "get_weather"},
            {"type": "function", "function": {"name": "get_weather"}},
        ),
    ],
)
def test_tool_choices(choice: Any, option: Any) -> None:
    call = responses.chat_call(_body("hi", tools=[WEATHER_TOOL], tool_choice=choice))
    assert call.options["tool_choice"] == option


def test_allowed_tools_are_the_only_ones() -> None:
    other = {**WEATHER_TOOL, "name": "other"}
    allowed = [{"type": "function", "name": "other"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    call = responses.chat_call(_body("hi", tools=[WEATHER_TOOL, other], tool_choice=choice))
    assert [tool["function"]["name"] for tool in call.options["tools"]] == ["other"]
    assert call.options["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("effort", "hints"),
    [
        (None, {}),
        ("none", {"enable_thinking": False}),
        ("minimal", {"enable_thinking": True, "reasoning_effort": "low"}),
        ("xhigh", {"enable_thinking": True, "reasoning_effort": "high"}),
    ],
)
def test_efforts_are_wished_for(effort: str | None, hints: JSON) -> None:
    reasoning = {"effort": effort, "summary": "auto"}
    assert responses.chat_call(_body("hi", reasoning=reasoning)).hints == hints


def test_log_probabilities_are_asked_for_in_two_ways() -> None:
    included = responses.chat_call(_body("hi", include=["message.output_text.logprobs"]))
    counted = responses.chat_call(_body("hi", top_logprobs=3))
    assert (included.options["logprobs"], included.options["top_logprobs"]) == (True, 0)
    assert (counted.options["logprobs"], counted.options["top_logprobs"]) == (True, 3)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"type": "dream"}]}, "input[0].type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "hi"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": _user({"type": "input_file", "file_data": "Q"})}, "input[0].content[0].type"),
        ({"input": _user({"type": "input_image"})}, "input[0].content[0].image_url"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "a"}]}, "input[0].output"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"background": True}, "background"),
        ({"conversation": "c"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"truncation": "left"}, "truncation"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": {"type": "function"}}, "tools"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.mode"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": "plain"}, "text"),
        ({"reasoning": {"effort": "heroic"}}, "reasoning.effort"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"include": "all"}, "include"),
        ({"top_logprobs": -1}, "top_logprobs"),
        ({"instructions": ["a"]}, "instructions"),
        ({"model": 1}, "model"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_named(fields: JSON, name: str) -> None:
    with pytest.raises(OptionError) as caught:
        responses.chat_call({**_body("hi"), **fields})
    assert caught.value.option == name


# -- answers ----------------------------------------------------------------------------------


def _events(llm: Llama, body: JSON) -> tuple[list[JSON], list[JSON]]:
    """The events, each valid to the client, and the responses given at the end."""
    kept: list[JSON] = []
    encoder = responses.Events(body, kept.append)
    events = list(named_events(streamed(llm, responses.chat_call(body), encoder)))
    for event in events:
        EVENTS.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events, kept


def test_a_text_streams_in_the_order_that_clients_follow(llm: Llama) -> None:
    body = _body("what is 3 plus 4?", top_logprobs=1)
    events, (kept,) = _events(llm, body)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert [kind for i, kind in enumerate(kinds) if kind != kinds[i - 1]] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert events[-1]["response"] == kept
    whole = responses.whole(whole_response(llm, responses.chat_call(body)), body)
    (part,), (expected,) = kept["output"][0]["content"], whole["output"][0]["content"]
    assert "7" in part["text"]
    assert part["logprobs"][0]["top_logprobs"]
    tokens = [entry["token"] for entry in expected["logprobs"]]
    assert [entry["token"] for entry in part["logprobs"]] == tokens
    assert Response.model_validate(kept).output_text == Response.model_validate(whole).output_text
    assert kept["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


def test_calls_stream_their_arguments(llm: Llama) -> None:
    body = _body("what is the weather in Paris?", tools=[WEATHER_TOOL])
    events, (kept,) = _events(llm, body)
    deltas = [e["delta"] for e in events if e["type"].endswith("call_arguments.delta")]
    (call,) = kept["output"]
    assert (call["type"], call["name"], call["status"]) == (
        "function_call", "get_weather", "completed"
    )  # fmt: skip
    assert "".join(deltas) == call["arguments"] == '{"location": "Paris"}'


def test_an_answer_that_was_cut_off_is_incomplete(llm: Llama) -> None:
    events, (kept,) = _events(llm, _body("Tell me a joke about cats.", max_output_tokens=3))
    assert events[-1]["type"] == "response.incomplete"
    assert (kept["status"], kept["incomplete_details"]) == (
        "incomplete", {"reason": "max_output_tokens"}
    )  # fmt: skip
    assert kept["output"][0]["status"] == "incomplete"


def _chunk(delta: JSON, reason: str | None = None) -> JSON:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "chatcmpl-1", "created": 1, "model": "demo", "choices": [choice]}


def test_thoughts_are_reasoning_items() -> None:
    encoder = responses.Events(_body("hi"), lambda _response: None)
    written = [encoder.chunk(_chunk({"reasoning_content": "hm"}))]
    written += [encoder.chunk(_chunk({"content": "ok"}, "stop")), encoder.end()]
    events = list(named_events(b"".join(written)))
    for event in events:
        EVENTS.validate_python(event)
    reasoning, message = events[-1]["response"]["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert (message["id"], message["content"][0]["text"]) == ("msg_1_1", "ok")
    assert "response.reasoning_text.delta" in [event["type"] for event in events]


def test_an_answer_that_breaks_off_keeps_what_it_has() -> None:
    encoder = responses.Events(_body("hi"), lambda _response: None)
    encoder.chunk(_chunk({"content": "half an"}))
    (event,) = named_events(encoder.error(Failure(500, "llama_decode returned 1")))
    EVENTS.validate_python(event)
    assert event["type"] == "response.failed"
    assert event["response"]["error"]["message"] == "llama_decode returned 1"
    assert event["response"]["output"][0]["content"][0]["text"] == "half an"
    assert event["response"]["output"][0]["status"] == "incomplete"


def test_an_error_before_anything_else_is_an_error_event() -> None:
    encoder = responses.Events(_body("hi"), lambda _response: None)
    (event,) = named_events(encoder.error(Failure(503, "leaving", code="shutting_down")))
    EVENTS.validate_python(event)
    assert (event["type"], event["code"]) == ("error", "shutting_down")


# -- kept responses ---------------------------------------------------------------------------


def _kept(name: str, owner: str = "me", text: str = "") -> responses.Kept:
    return responses.Kept(owner, {"id": name, "output": [text]}, [], ["asked"])  # type: ignore[list-item]


def test_the_latest_responses_are_kept() -> None:
    kept = responses.KeptResponses(most=2)
    for name in "abc":
        kept.put(_kept(name))
    assert kept.get("a", "me") is None
    found = kept.get("c", "me")
    assert found is not None
    assert len(found.items) == 2, "its input and its output"


def test_large_responses_leave_room_for_fewer() -> None:
    kept = responses.KeptResponses(most_bytes=1000)
    kept.put(_kept("a"))
    kept.put(_kept("b", text="x" * 950))
    assert (kept.get("a", "me"), len(kept)) == (None, 1)
    kept.put(_kept("c", text="x" * 2000))
    assert len(kept) == 0


def test_nobody_sees_or_removes_the_responses_of_others() -> None:
    kept = responses.KeptResponses()
    kept.put(_kept("a", owner="alice"))
    assert kept.get("a", "bob") is None
    assert not kept.remove("a", "bob")
    assert kept.remove("a", "alice")
    assert not kept.remove("a", "alice")
