"""Requests that make no sense: always a 4xx that says why, and a server that goes on."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from serving import Running

HI = [{"role": "user", "content": "hi"}]
CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RERANK, NATIVE, INFILL = "/v1/rerank", "/completion", "/infill"
Case = tuple[str, Any]

NO_NUMBERS: list[Any] = ["x", [], {}, True, "1e999"]
BAD_OPTIONS: dict[str, list[Any]] = {
    "temperature": [*NO_NUMBERS, -1, 1e9],
    "top_p": [*NO_NUMBERS, -0.1, 1.1],
    "top_k": [*NO_NUMBERS, -2, 2**31, 1.5],
    "min_p": [*NO_NUMBERS, 2],
    "n": [*NO_NUMBERS, 0, -1, 10**6, 1.5],
    "max_tokens": [*NO_NUMBERS, -2, 2**31, 10**400, 0.5],
    "seed": [*NO_NUMBERS, -2, 2**40],
    "presence_penalty": [*NO_NUMBERS, 1e9],
    "repeat_penalty": [*NO_NUMBERS, 0],
    "stop": [5, [5], [""], {"a": 1}, ["x" * 5000]],
    "logit_bias": [5, [1], {"x": 1}, {"1": "y"}, {"99999999": 1}, {"-1": 1}],
    "samplers": ["top_k", ["nope"], [1], ["top_k", "top_k"]],
    "mirostat": [3, "x"],
    "stream": ["yes", 1, []],
    "stream_options": [5, {"x": 1}, {"include_usage": 5}],
    "grammar": [5, "((((", "root ::= undefined_rule"],
    "json_schema": [5, {"type": "nonsense"}, {"$ref": "#/nowhere"}],
    "lora": [5, [5], [{"id": 7, "scale": 1}], [{"id": 0}], {"nope": 1.0}],
    "deadline_s": [0, -1, "x"],
    "model": [5, [], {}, "no-such-model"],
}
BAD_MESSAGES: list[Any] = [
    None, 5, "hi", {}, [], [5], ["hi"], [{}], [{"role": 5, "content": "x"}],
    [{"content": "x"}], [{"role": "user", "content": 5}],
    [{"role": "user", "content": {}}], [{"role": "user", "content": [5]}],
    [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "nonsense", "text": "x"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": "http://127.0.0.1/x"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,x"}]}],
    [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}],
    [*HI, {"role": "assistant", "tool_calls": "x"}],
    [*HI, {"role": "assistant", "tool_calls": [{"function": 5}]}],
    [*HI, {"role": "tool", "content": [[]]}],
]  # fmt: skip
BAD_CHAT: dict[str, list[Any]] = {
    "tools": [5, "x", [5], [{}], [{"type": "function"}], [{"type": "function", "function": {}}],
              [{"type": "function", "function": {"name": "a", "parameters": 5}}]],
    "tool_choice": [5, "nope", "required", {"type": "function", "function": {"name": "nope"}}, []],
    "response_format": [5, "json", {"type": "nope"}, {"type": "json_schema"}, {},
                        {"type": "json_schema", "json_schema": {"name": "x", "schema": 5}}],
    "top_logprobs": [3, "x", -1],
    "functions": [[{"name": "x"}]],
    "function_call": ["auto"],
    "modalities": [["audio"]],
    "audio": [{"voice": "x"}],
    "web_search_options": [{}],
    "verbosity": ["high"],
    "reasoning_effort": ["gigantic", 5],
    "chat_template_kwargs": [5, []],
    "continue_final_message": [True, "x"],
    "cache_prompt": ["x"],
    "logprobs": [5],
}  # fmt: skip
BAD_PROMPTS: list[Any] = [None, 5, {}, True, [-1], [10**9], [[1], 2], [None], [{}], [1.5]]
BAD_BODIES = [
    b"", b"{", b"[]", b"null", b"5", b'"x"', b"{'a': 1}", b"\xff\xfe", b'{"a": NaN}', b"[" * 10**5,
    b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"max_tokens": ' + b"9" * 5000 + b"}", b"\x00", b"a=b",
]  # fmt: skip


def _corpus() -> list[Case]:
    found: list[Case] = [(path, body) for path in (CHAT, TEXT, EMBED) for body in BAD_BODIES]
    for name, values in BAD_OPTIONS.items():
        found += [(CHAT, {"messages": HI, "max_tokens": 1, name: value}) for value in values]
        found += [(TEXT, {"prompt": "a", "max_tokens": 1, name: value}) for value in values[:3]]
    for name, values in BAD_CHAT.items():
        found += [(CHAT, {"messages": HI, "max_tokens": 1, name: value}) for value in values]
    found += [(CHAT, {"messages": messages, "max_tokens": 1}) for messages in BAD_MESSAGES]
    found += [(TEXT, {"prompt": prompt, "max_tokens": 1}) for prompt in BAD_PROMPTS]
    found += [(EMBED, {"input": given}) for given in [*BAD_PROMPTS, [], "", [""]]]
    found += [
        (EMBED, {"input": "x", "encoding_format": "hex"}),
        (EMBED, {"input": "x", "dimensions": 0}),
    ]
    found += [
        (RERANK, {"query": q, "documents": d})
        for q, d in itertools.product((5, None, "q"), (5, [], [5]))
    ]
    found += [
        (NATIVE, {"prompt": "a", "n_predict": "x"}),
        (NATIVE, {}),
        (NATIVE, {"prompt": ["a", "b"]}),
    ]
    found += [
        (INFILL, {"input_prefix": 5, "input_suffix": ""}),
        (INFILL, {"input_prefix": "", "input_suffix": "", "input_extra": [5]}),
    ]
    found += [("/tokenize", {}), ("/tokenize", {"content": 5}), ("/detokenize", {"tokens": "x"})]
    found += [("/detokenize", {"tokens": [-1]}), ("/apply-template", {"messages": []})]
    found += [("/v1/messages", {"messages": HI}), ("/v1/responses", {"input": 5})]
    return found


CORPUS = _corpus()


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 200


def _told(response: httpx.Response) -> str:
    error = response.json()["error"]
    return str(error["message"] if isinstance(error, dict) else error)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: f"{case[0]} {str(case[1])[:60]}")
def test_it_is_refused_with_a_reason(server: Running, http: httpx.Client, case: Case) -> None:
    path, body = case
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = http.post(path, content=data, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500, response.text
    assert len(_told(response)) > 10


def test_the_server_goes_on(server: Running, http: httpx.Client) -> None:
    assert http.post(CHAT, json={"messages": HI, "max_tokens": 1}).status_code == 200
    stats = server.llm.stats()
    assert stats.running == stats.waiting == 0


def test_no_such_path_and_no_such_method(http: httpx.Client) -> None:
    assert http.get("/v1/nothing").json()["error"]["message"]
    refused = http.get(CHAT)
    assert refused.status_code == 405
    assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/apply-template", "/v1/chat/completions"])
@pytest.mark.parametrize("kind", [[[0]], {}, 3, None])
def test_a_part_of_an_odd_type_is_a_client_error(server: Running, path: str, kind: Any) -> None:
    messages = [{"role": "user", "content": [{"type": kind, "text": "x"}]}]
    answer = httpx.post(f"{server.url}{path}", json={"model": "demo", "messages": messages})
    assert 400 <= answer.status_code < 500
