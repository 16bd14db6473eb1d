"""Claude Code and Codex, request by request: the shapes are those that version 2.1 of the one and
0.169 of the other send, the texts are short. Both programs were also run against the server."""

from __future__ import annotations

import json
from typing import Any

import httpx

JSON = dict[str, Any]

SCHEMA: JSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "location": {"description": "the city", "type": "string"},
        "labels": {
            "type": "object",
            "propertyNames": {"type": "string"},
            "additionalProperties": {},
        },
    },
    "required": ["location"],
    "additionalProperties": False,
}
TOOL = {"name": "get_weather", "description": "Get the current weather in a given location."}
QUESTION = "what is the weather in Paris?"


# -- Claude Code ------------------------------------------------------------------------------


def _claude_code(number: int, *messages: JSON) -> JSON:
    """A request of Claude Code; its first block changes from one to the next."""
    header = f"x-anthropic-billing-header: cc_version=2.1.197.{number}; cc_entrypoint=cli;"
    kept = {"cache_control": {"type": "ephemeral"}}
    return {
        "model": "demo",
        "system": [
            {"type": "text", "text": header},
            {"type": "text", "text": "You are a helpful assistant.", **kept},
        ],
        "messages": list(messages),
        "tools": [
            {**TOOL, "input_schema": SCHEMA, "eager_input_streaming": True},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        "metadata": {"user_id": '{"device_id":"0"}'},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "temperature": 0,
        "stream": True,
    }


def _claude_codes_events(http: httpx.Client, body: JSON) -> list[JSON]:
    headers = {
        "authorization": "Bearer dummy",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        "x-app": "cli",
    }
    response = http.post("/v1/messages?beta=true", json=body, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["x-ignored-fields"] == "tools[1] web_search_20250305"
    return _events(response.text)


def test_claude_code_calls_a_tool_and_reads_its_result(http: httpx.Client) -> None:
    assert http.head("/").status_code < 500, "how it looks whether somebody is there"
    reminder = {"type": "text", "text": "<system-reminder>\nBe kind.\n</system-reminder>"}
    question = {"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}}
    turn = {"role": "user", "content": [question]}
    events = _claude_codes_events(http, _claude_code(1, turn))
    assert [event["type"] for event in events][:2] == ["message_start", "ping"]
    (start,) = [event for event in events if event["type"] == "content_block_start"]
    called = "".join(
        event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"
    )
    assert (start["content_block"]["name"], json.loads(called)["location"]) == (
        "get_weather", "Paris"
    )  # fmt: skip
    first = next(event for event in events if event["type"] == "message_delta")
    assert first["delta"]["stop_reason"] == "tool_use"

    call = {**start["content_block"], "input": json.loads(called)}
    result = {
        "type": "tool_result",
        "tool_use_id": call["id"],
        "content": [{"type": "text", "text": "18 C and sunny"}],
    }
    answer = {"role": "assistant", "content": [call]}
    results = {"role": "user", "content": [result, reminder]}
    events = _claude_codes_events(http, _claude_code(2, turn, answer, results))
    usage = next(event for event in events if event["type"] == "message_delta")["usage"]
    read_before = first["usage"]["input_tokens"] + first["usage"]["cache_read_input_tokens"]
    assert usage["cache_read_input_tokens"] >= read_before, "the header did not move the prompt"
    assert usage["output_tokens"] > 0


def test_what_claude_codes_system_says_in_between_is_read(http: httpx.Client) -> None:
    told = {"role": "system", "content": "Agents: none."}
    body = _claude_code(3, {"role": "user", "content": QUESTION}, told)
    counted = {key: body[key] for key in ("model", "system", "messages", "tools")}
    with_it = http.post("/v1/messages/count_tokens?beta=true", json=counted).json()
    without = http.post(
        "/v1/messages/count_tokens?beta=true", json={**counted, "messages": body["messages"][:1]}
    ).json()
    assert with_it["input_tokens"] > without["input_tokens"]


# -- Codex ------------------------------------------------------------------------------------


def _codex(*items: JSON) -> JSON:
    """A request of Codex; it sends the whole conversation each time."""
    function = {**TOOL, "type": "function", "strict": False, "parameters": SCHEMA}
    agents = {"type": "namespace", "name": "agents", "description": "d", "tools": [function]}
    return {
        "model": "demo",
        "input": [
            _said("developer", "You are a helpful assistant."),
            _said("developer", "Be brief."),
            _said("user", QUESTION),
            *items,
        ],
        "tools": [function, agents, {"type": "web_search", "external_web_access": False}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "key",
        "client_metadata": {"thread_id": "t"},
        "temperature": 0,
    }


def _said(role: str, text: str) -> JSON:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "id": f"msg_{role}", "role": role, "content": content}


def _codexs_response(http: httpx.Client, body: JSON) -> JSON:
    headers = {"accept": "text/event-stream", "originator": "codex_exec", "session-id": "s"}
    response = http.post("/v1/responses", json=body, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["x-ignored-fields"] == "tools[1] namespace, tools[2] web_search"
    events = _events(response.text)
    assert [event["type"] for event in events if "item" in event] == [
        "response.output_item.added", "response.output_item.done"
    ]  # fmt: skip
    assert events[-1]["type"] == "response.completed"
    completed: JSON = events[-1]["response"]
    return completed


def test_codex_calls_a_tool_and_reads_its_result(http: httpx.Client) -> None:
    first = _codexs_response(http, _codex())
    (call,) = first["output"]
    assert (call["name"], json.loads(call["arguments"])["location"]) == ("get_weather", "Paris")
    sent_back = {key: call[key] for key in ("type", "id", "name", "arguments", "call_id")}
    result = {
        "type": "function_call_output",
        "call_id": call["call_id"],
        "output": "18 C and sunny",
    }
    second = _codexs_response(http, _codex(sent_back, result))
    assert second["output"][0]["content"][0]["text"]
    cached = second["usage"]["input_tokens_details"]["cached_tokens"]
    assert cached >= first["usage"]["input_tokens"]


def _events(text: str) -> list[JSON]:
    found = []
    for event in text.strip().split("\n\n"):
        name, _, data = event.partition("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found
