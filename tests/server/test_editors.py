"""Requests as editors and chat programs send them, with their own fields and headers."""

from __future__ import annotations

import json
from typing import Any

import httpx


def _events(http: httpx.Client, path: str, body: dict[str, Any]) -> list[str]:
    headers = {"authorization": "Bearer none", "content-type": "application/json"}
    with http.stream("POST", path, json=body, headers=headers) as response:
        assert response.status_code == 200
        return [line.removeprefix("data: ") for line in response.iter_lines() if line]


def test_continue_completes_by_its_llama_cpp_provider(http: httpx.Client) -> None:
    body = {
        "n_predict": 12,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "min_p": 0.05,
        "mirostat": 0,
        "stop": ["<|im_end|>", "\n\n"],
        "top_k": 40,
        "top_p": 0.95,
        "temperature": 0.01,
        "prompt": "<|im_start|>user\nwhat is 3 plus 4?<|im_end|>\n<|im_start|>assistant\n",
        "stream": True,
    }
    events = [json.loads(event) for event in _events(http, "/completion", body)]
    assert "7" in "".join(event["content"] for event in events)
    assert events[-1]["stop"] is True


def test_continue_completes_a_gap_by_its_openai_provider(http: httpx.Client) -> None:
    body = {
        "model": "demo",
        "prompt": "def add(a, b):\n",
        "suffix": "\n",
        "max_tokens": 12,
        "temperature": 0.01,
        "stop": ["<fim_prefix>", "\n\n"],
        "stream": True,
    }
    assert _events(http, "/v1/completions", body)[-1] == "[DONE]"


def test_open_webui_lists_models_chats_and_asks_for_a_title(http: httpx.Client) -> None:
    assert http.get("/v1/models").json()["data"][0]["id"] == "demo"
    messages = [{"role": "user", "content": "what is 3 plus 4?"}]
    body = {
        "stream": True,
        "model": "demo",
        "messages": messages,
        "temperature": 0,
        "stream_options": {"include_usage": True},
    }
    *chunks, last = _events(http, "/v1/chat/completions", body)
    assert last == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    assert parsed[-1]["usage"]["completion_tokens"] > 0
    title = {
        "model": "demo", "messages": messages, "stream": False, "max_completion_tokens": 20,
        "metadata": {"task": "title_generation"},
    }  # fmt: skip
    assert http.post("/v1/chat/completions", json=title).json()["choices"][0]["message"]["content"]


def test_a_keystroke_cancels_the_request_before_it(http: httpx.Client) -> None:
    """Editors close the connection of a request that nobody wants any more."""
    body = {
        "input_prefix": "x = 1\n" * 50, "input_suffix": "\n", "n_predict": 2000,
        "ignore_eos": True, "stream": True,
    }  # fmt: skip
    for _ in range(5):
        with http.stream("POST", "/infill", json=body) as response:
            next(response.iter_lines())
    last = http.post("/infill", json={**body, "n_predict": 1, "stream": False}).json()
    assert last["timings"]["cache_n"] > last["timings"]["prompt_n"]
