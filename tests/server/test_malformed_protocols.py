"""Malformed requests to Anthropic's, the Responses API's and Ollama's paths, over the socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai import OpenAI

JSON = dict[str, Any]
HI: JSON = {"role": "user", "content": "hi"}
MESSAGE: JSON = {"model": "demo", "max_tokens": 5, "messages": [HI]}


def _is_anthropics(body: Any) -> bool:
    error = body["error"]
    return body["type"] == "error" and error["type"] in (
        "invalid_request_error", "not_found_error"
    ) and bool(error["message"])  # fmt: skip


def _is_openais(body: Any) -> bool:
    return body["error"]["type"] == "invalid_request_error" and bool(body["error"]["message"])


def _is_ollamas(body: Any) -> bool:
    return list(body) == ["error"] and isinstance(body["error"], str)


SHAPES: dict[str, Callable[[Any], bool]] = {
    "/v1/messages": _is_anthropics,
    "/v1/messages/count_tokens": _is_anthropics,
    "/v1/responses": _is_openais,
    "/v1/responses/input_tokens": _is_openais,
    "/api/chat": _is_ollamas,
    "/api/generate": _is_ollamas,
    "/api/show": _is_ollamas,
    "/api/embed": _is_ollamas,
    "/api/embeddings": _is_ollamas,
}
NO_OBJECTS = (
    b"", b" ", b"null", b"[]", b"3", b'"x"', b"{", b'{"model"', b"\xff\xfe", b"[" * 100_000,
    b'{"a":' * 5000, b"<xml/>", b"model=demo",
)  # fmt: skip
MALFORMED: dict[str, list[JSON]] = {
    "/v1/messages": [
        {},
        {"model": "demo"},
        {**MESSAGE, "model": None},
        {**MESSAGE, "model": "gpt-17"},
        {**MESSAGE, "stream": "yes"},
        {**MESSAGE, "temperature": 1e9},
        {**MESSAGE, "top_k": "many"},
        {**MESSAGE, "max_tokens": 10**30},
        {**MESSAGE, "messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]},
        {**MESSAGE, "messages": [{**HI, "content": [{"type": "image", "source": {}}]}]},
        {**MESSAGE, "tools": [{"name": "two words", "input_schema": {"type": "object"}}]},
        {**MESSAGE, "tools": [{"name": "f", "input_schema": {"type": "string"}}]},
        {**MESSAGE, "tool_choice": {"type": "tool", "name": "f"}},
        {**MESSAGE, "tool_choice": {"type": "any"}},
        {**MESSAGE, "stop_sequences": [""]},
        {**MESSAGE, "stop_sequences": [3]},
        {**MESSAGE, "container": "c"},
        {**MESSAGE, "output_config": {"format": {"type": "json_schema", "schema": {"not": {}}}}},
        {**MESSAGE, "messages": [{**HI, "content": "so " * 9000}]},
    ],
    "/v1/messages/count_tokens": [{}, {"model": "demo", "messages": [{"role": "x"}]}],
    "/v1/responses": [
        {},
        {"model": "demo"},
        {"input": 5},
        {"model": "gpt-17", "input": "hi"},
        {"input": "hi", "stream": 1},
        {"input": "hi", "store": "yes"},
        {"input": "hi", "previous_response_id": 5},
        {"input": "hi", "previous_response_id": "resp_gone"},
        {"input": "hi", "temperature": -1},
        {"input": "hi", "tool_choice": "required"},
        {"input": "hi", "tools": [{"type": "function", "name": "f", "parameters": 5}]},
        {"input": "hi", "text": {"format": {"type": "json_schema", "schema": {"not": {}}}}},
        {"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{"}]},
        {"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "[]"}]},
        {"input": "so " * 9000},
    ],
    "/v1/responses/input_tokens": [{}, {"input": []}],
    "/api/chat": [
        {},
        {"model": "llama3", "messages": [HI]},
        {"model": "demo", "messages": "hi"},
        {"model": "demo", "messages": [{"role": "x"}]},
        {"model": "demo", "messages": [HI], "stream": "no"},
        {"model": "demo", "messages": [HI], "options": {"temperature": "hot"}},
        {"model": "demo", "messages": [HI], "options": {"stop": [""]}},
        {"model": "demo", "messages": [HI], "format": {"not": {}}},
        {"model": "demo", "messages": [HI], "think": True},
        {"model": "demo", "messages": [HI], "tools": [5]},
        {"model": "demo", "messages": [{**HI, "images": ["QQ"]}]},
        {"model": "demo", "messages": [{**HI, "images": ["iVBORw0KGgo="]}]},
    ],
    "/api/generate": [
        {},
        {"model": "demo", "prompt": 5},
        {"model": "demo", "prompt": "x", "template": "y"},
        {"model": "demo", "prompt": "x", "context": [1]},
    ],
    "/api/show": [{}, {"model": 5}, {"model": "llama3"}],
    "/api/embed": [{}, {"model": "demo"}, {"model": "demo", "input": [[]]}],
    "/api/embeddings": [{"model": "demo"}, {"model": "demo", "prompt": ""}],
}


@pytest.mark.parametrize("path", SHAPES)
def test_what_is_no_json_object_is_refused(http: httpx.Client, path: str) -> None:
    for body in NO_OBJECTS:
        _refused(http.post(path, content=body), path)


@pytest.mark.parametrize("path", SHAPES)
def test_what_is_malformed_is_refused(http: httpx.Client, path: str) -> None:
    for body in MALFORMED[path]:
        _refused(http.post(path, content=json.dumps(body)), path)


@pytest.mark.parametrize("path", SHAPES)
def test_the_wrong_method_is_refused(http: httpx.Client, path: str) -> None:
    _refused(http.put(path, json={}), path)


def test_the_server_is_alive_after_all_that(openai: OpenAI) -> None:
    assert openai.responses.create(model="demo", input="hi", max_output_tokens=3).output


def _refused(response: httpx.Response, path: str) -> None:
    said = response.text
    assert 400 <= response.status_code < 500, said
    assert SHAPES[path](response.json()), said
