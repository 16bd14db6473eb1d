"""Requests with each of their parts replaced: a typed error or an answer, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llamaherd import Llama
from llamaherd.errors import RequestError
from llamaherd.server.calls import ChatCall, TextCall
from llamaherd.server.protocols import anthropic, ollama, responses

JSON = dict[str, Any]
JUNK: tuple[Any, ...] = (
    None, True, -1, 10**30, 1.5, float("inf"), "", "x", "\ud800", [], [[]], [None], {},
    {"type": "x"}, {"type": None}, {"x": {"y": []}},
)  # fmt: skip

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
IMAGE = "iVBORw0KGgo="

ANTHROPIC: JSON = {
    "model": "demo",
    "max_tokens": 5,
    "stream": False,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [{"type": "text", "text": "t"}],
                    "is_error": True,
                },
                {
                    "type": "document",
                    "title": "d",
                    "source": {"type": "content", "content": [{"type": "text", "text": "d"}]},
                },
                {"type": "search_result", "title": "t", "source": "s", "content": []},
            ],
        },
        {"role": "system", "content": "later"},
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 9},
    "output_config": {"effort": "low"},
    "stop_sequences": ["a"],
    "metadata": {"user_id": "u"},
    "temperature": 0.5,
    "top_k": 3,
}
RESPONSES: JSON = {
    "model": "demo",
    "instructions": "i",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}], "content": None},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x": 1}'},
        {"type": "function_call_output", "call_id": "a", "output": "o"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "t"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "u"}]},
    ],
    "tools": [{"type": "function", "name": "f", "description": "d", "parameters": SCHEMA}],
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}],
    },
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 2,
    "max_output_tokens": 5,
    "parallel_tool_calls": True,
    "truncation": "auto",
    "temperature": 0.5,
}
OLLAMA: JSON = {
    "model": "demo",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "t",
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "tool", "content": "c", "tool_name": "f"},
        {"role": "user", "content": "and?"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    "format": SCHEMA,
    "options": {"num_predict": 5, "temperature": 0.5, "stop": ["a"], "num_ctx": 8},
    "keep_alive": "5m",
    "think": False,
    "logprobs": True,
    "top_logprobs": 1,
}
GENERATE: JSON = {
    "model": "demo", "prompt": "p", "suffix": "s", "format": "json", "raw": False,
    "options": {"seed": 1},
}  # fmt: skip

Translator = Callable[[JSON], ChatCall | TextCall]
REQUESTS: dict[str, tuple[JSON, Translator]] = {
    "anthropic": (ANTHROPIC, anthropic.chat_call),
    "responses": (RESPONSES, responses.chat_call),
    "ollama chat": (OLLAMA, ollama.chat_call),
    "ollama generate": (GENERATE, ollama.generate_call),
}


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a JSON value."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _places(each, (*at, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _places(each, (*at, index))


def _damaged(body: JSON) -> Iterator[tuple[str, JSON]]:
    for at in _places(body):
        for junk in JUNK:
            damaged = copy.deepcopy(body)
            part: Any = damaged
            for step in at[:-1]:
                part = part[step]
            part[at[-1]] = junk
            yield f"{at} = {junk!r}", damaged
        part = damaged = copy.deepcopy(body)
        for step in at[:-1]:
            part = part[step]
        del part[at[-1]]
        yield f"without {at}", damaged


def _try(llm: Llama, call: ChatCall | TextCall) -> None:
    """All that can be found before an answer begins."""
    if isinstance(call, ChatCall):
        llm.chat_tokens(call.messages, **call.options)


@pytest.mark.parametrize("name", REQUESTS)
def test_undamaged_requests_are_fine(llm: Llama, name: str) -> None:
    body, translate = REQUESTS[name]
    _try(llm, translate(body))


@pytest.mark.parametrize("name", REQUESTS)
def test_damaged_requests_are_refused_with_typed_errors(llm: Llama, name: str) -> None:
    body, translate = REQUESTS[name]
    refused = 0
    for damage, damaged in _damaged(body):
        try:
            _try(llm, translate(damaged))
        except RequestError:
            refused += 1
        except Exception as error:
            raise AssertionError(damage) from error
    assert refused > 5 * len(list(_places(body))), "most damage matters"
