"""Anthropic's requests as OpenAI's, and OpenAI's answers as Anthropic's."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message
from translating import JSON, named_events, streamed, whole_response

from llamaherd import Llama, OptionError
from llamaherd.server.errors import Failure, failure_of
from llamaherd.server.protocols import anthropic

WEATHER_TOOL = {
    "name": "get_weather",
    "description": "Get the current weather in a given location.",
    "input_schema": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "the city"}},
        "required": ["location"],
    },
    "cache_control": {"type": "ephemeral"},
}


def _body(*messages: JSON, **more: Any) -> JSON:
    return {"model": "demo", "max_tokens": 64, "messages": list(messages), **more}


def _user(content: Any) -> JSON:
    return {"role": "user", "content": content}


WEATHER = _body(_user("what is the weather in Paris?"), tools=[WEATHER_TOOL])


# -- requests ---------------------------------------------------------------------------------


def test_blocks_of_a_turn_become_one_message() -> None:
    call = anthropic.chat_call(
        _body(
            _user([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
            {"role": "assistant", "content": "three"},
            _user("four"),
            _user("five"),
            system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        )
    )
    assert call.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\n\ntwo"},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four\n\nfive"},
    ]
    counted = {"stream_options": {"include_usage": True}}
    assert (call.model, call.ignored) == ("demo", [])
    assert call.options == {"max_tokens": 64, **counted}


def test_claude_codes_billing_header_does_not_move_the_prompt() -> None:
    def prompt(number: int) -> Any:
        header = (
            f"x-anthropic-billing-header: cc_version=2.1.{number}; cc_entrypoint=cli; cch={number};"
        )
        system = [{"type": "text", "text": header}, {"type": "text", "text": "You help."}]
        return anthropic.chat_call(_body(_user("hi"), system=system)).messages

    assert (
        prompt(1)
        == prompt(2)
        == [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": "hi"},
        ]
    )


def test_what_the_system_says_later_stands_in_the_users_turn() -> None:
    told = {"role": "system", "content": "New agents."}
    call = anthropic.chat_call(_body(_user("hi"), told, system="You help."))
    assert call.messages[1:] == [
        {"role": "user", "content": "hi\n\n<system>\nNew agents.\n</system>"}
    ]


def test_calls_results_and_thoughts_of_the_past() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ"}}
    call = anthropic.chat_call(
        _body(
            _user("look"),
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "abc"},
                    {"type": "redacted_thinking", "data": "xyz"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "a", "name": "see", "input": {"x": 1}},
                    {"type": "tool_use", "id": "b", "name": "see", "input": {}},
                ],
            },
            _user(
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "a",
                        "content": [{"type": "text", "text": "a cat"}, image],
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "b",
                        "content": "no such thing",
                        "is_error": True,
                    },
                    {"type": "text", "text": "and now?"},
                ]
            ),
        )
    )
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ"}}
    assert call.messages[1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "see", "arguments": '{"x": 1}'},
                },
                {"id": "b", "type": "function", "function": {"name": "see", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "a cat"},
        {"role": "tool", "tool_call_id": "b", "content": "The tool failed:\n\nno such thing"},
        {"role": "user", "content": [shown, {"type": "text", "text": "and now?"}]},
    ]


def test_documents_are_their_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Once upon a time."}
    document = {"type": "document", "title": "A tale", "source": source}
    call = anthropic.chat_call(_body(_user([document, {"type": "text", "text": "Sum it up."}])))
    assert call.messages[0]["content"] == "A tale\n\nOnce upon a time.\n\nSum it up."


@pytest.mark.parametrize(
    ("choice", "options"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
            {
                "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_tool_choices(choice: JSON, options: JSON) -> None:
    call = anthropic.chat_call({**WEATHER, "tool_choice": choice})
    assert {name: call.options[name] for name in options} == options


def test_tools_that_anthropic_would_run_are_left_out_and_named() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    call = anthropic.chat_call({**WEATHER, "tools": [search, WEATHER_TOOL], "new_field": 1})
    assert [tool["function"]["name"] for tool in call.options["tools"]] == ["get_weather"]
    assert call.ignored == ["new_field", "tools[0] web_search_20250305"]


@pytest.mark.parametrize(
    ("fields", "hints"),
    [
        ({}, {"enable_thinking": False}),
        ({"thinking": {"type": "disabled"}}, {"enable_thinking": False}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"enable_thinking": True, "reasoning_budget_tokens": 2000},
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
            {"reasoning_effort": "high"},
        ),
    ],
)
def test_thinking_is_wished_for(fields: JSON, hints: JSON) -> None:
    assert anthropic.chat_call(_body(_user("hi"), **fields)).hints == hints


# -- answers ----------------------------------------------------------------------------------


def test_an_answer_streams_as_the_client_puts_it_together(llm: Llama) -> None:
    call = anthropic.chat_call(WEATHER)
    message: Any = None
    buffers: dict[int, bytes] = {}
    for event in named_events(streamed(llm, call, anthropic.Events(64))):
        if event["type"] != "ping":
            message = accumulate_event(
                event=event,  # type: ignore[arg-type]
                current_snapshot=message,
                json_bufs=buffers,
            )
    expected = Message.model_validate(anthropic.whole(whole_response(llm, call), 64))
    assert message.content[0].input == expected.content[0].input == {"location": "Paris"}  # type: ignore[union-attr]
    assert message.stop_reason == expected.stop_reason == "tool_use"
    assert message.usage.output_tokens == expected.usage.output_tokens


def test_a_stop_sequence_is_named(llm: Llama) -> None:
    body = _body(_user("Tell me a joke about cats."), stop_sequences=["!", "?"])
    message = anthropic.whole(whole_response(llm, anthropic.chat_call(body)), 64)
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "?")
    assert "?" not in message["content"][0]["text"]


def test_too_few_tokens_and_too_little_context_are_told_apart(llm: Llama) -> None:
    call = anthropic.chat_call({**_body(_user("Tell me a joke about cats.")), "max_tokens": 3})
    assert anthropic.whole(whole_response(llm, call), 3)["stop_reason"] == "max_tokens"
    with Llama("demo", n_ctx=64) as small:
        call = anthropic.chat_call({**call_body(), "max_tokens": 500})
        message = anthropic.whole(whole_response(small, call, ignore_eos=True), 500)
    assert message["stop_reason"] == "model_context_window_exceeded"


def call_body() -> JSON:
    """A short question."""
    return _body(_user("Tell me a joke about cats."))


def test_a_call_that_was_cut_off_is_left_out_of_a_message() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": "y'}}
    message = anthropic.whole(_response({"content": "ok", "tool_calls": [call]}), 64)
    assert message["content"] == [{"type": "text", "text": "ok"}]


def test_cached_tokens_are_no_input() -> None:
    counts = {
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 90},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    response = _response({"role": "assistant", "content": "hi"}, usage=counts)
    assert anthropic.whole(response, 64)["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 90,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 5},
    }


def test_thoughts_come_before_the_text_and_carry_a_signature() -> None:
    encoder = anthropic.Events(64)
    deltas = [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "ok"}]
    chunks = [_response(delta, key="delta") for delta in deltas]
    events = list(named_events(b"".join([*map(encoder.chunk, chunks), encoder.end()])))
    assert [event["type"] for event in events] == [
        "message_start", "ping",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[2]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert events[3]["delta"] == {"type": "thinking_delta", "thinking": "hm"}
    assert events[4]["delta"] == {"type": "signature_delta", "signature": "unsigned"}
    assert events[6]["content_block"] == {"type": "text", "text": ""}


def _response(message: JSON, *, key: str = "message", **more: Any) -> JSON:
    choice = {"index": 0, key: message, "finish_reason": "stop" if key == "message" else None}
    return {"id": "chatcmpl-1", "model": "demo", "choices": [choice], **more}


# -- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "demo", "messages": [_user("hi")]}, "max_tokens"),
        (_body(_user("hi"), max_tokens=0), "max_tokens"),
        (_body(_user("hi"), max_tokens=True), "max_tokens"),
        (_body(), "messages"),
        ({"model": "demo", "max_tokens": 5}, "messages"),
        (_body(_user("hi"), model=3), "model"),
        (_body({"role": "robot", "content": "hi"}), "messages[0].role"),
        (_body(_user([{"type": "video"}])), "messages[0].content[0].type"),
        (_body(_user([{"text": "hi"}])), "messages[0].content[0].type"),
        (_body(_user(["hi"])), "messages[0].content[0]"),
        (_body(_user(7)), "messages[0].content"),
        (
            _body(_user([{"type": "tool_result", "content": "x"}])),
            "messages[0].content[0].tool_use_id",
        ),
        (
            _body(_user([{"type": "image", "source": {"type": "file", "file_id": "f"}}])),
            "messages[0].content[0].source.type",
        ),
        (
            _body(_user([{"type": "document", "source": {"type": "base64", "data": "QQ"}}])),
            "messages[0].content[0].source.type",
        ),
        (_body(_user("hi"), stop_sequences="x"), "stop_sequences"),
        (_body(_user("hi"), tools=[{"name": "f"}]), "tools[0].input_schema"),
        (_body(_user("hi"), tool_choice={"type": "some"}), "tool_choice.type"),
        (_body(_user("hi"), thinking={"type": "enabled"}), "thinking.budget_tokens"),
        (_body(_user("hi"), output_config={"effort": "heroic"}), "output_config.effort"),
        (
            _body(_user("hi"), output_config={"format": {"type": "xml"}}),
            "output_config.format.type",
        ),
        (_body(_user("hi"), mcp_servers=[{"url": "x"}]), "mcp_servers"),
        (_body(_user("hi"), system=[{"type": "image"}]), "system[0].type"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_named(body: JSON, field: str) -> None:
    with pytest.raises(OptionError) as caught:
        anthropic.chat_call(body)
    assert caught.value.option == field


def test_errors_have_anthropics_shape() -> None:
    assert anthropic.error(Failure(429, "later")) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "later"},
    }
    assert anthropic.error(Failure(418, "odd"))["error"]["type"] == "invalid_request_error"
    assert anthropic.error(Failure(500, "oh"))["error"]["type"] == "api_error"


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_claude_code_looks_for() -> None:
    with Llama("demo", n_ctx=64) as small, pytest.raises(ValueError, match="64") as caught:
        small.create_chat_completion([_user("hi " * 100)])
    message = anthropic.error(failure_of(caught.value))["error"]["message"]
    n_prompt = caught.value.prompt_tokens  # type: ignore[attr-defined]
    assert message.startswith(f"prompt is too long: {n_prompt} tokens > 64 maximum")
