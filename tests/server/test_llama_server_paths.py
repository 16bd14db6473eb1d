"""llama-server's paths, asked as its clients ask."""

from __future__ import annotations

import json
from typing import Any

import httpx
from serving import Running


def _events(http: httpx.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with http.stream("POST", path, json={**body, "stream": True}) as response:
        lines = [line for line in response.iter_lines() if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_completion_has_the_native_shape(http: httpx.Client) -> None:
    body = {"prompt": "one two", "n_predict": 4, "temperature": 0, "return_tokens": True}
    found = http.post("/completion", json=body).json()
    assert found["stop"] is True
    assert found["stop_type"] == "limit"
    assert found["tokens_predicted"] == len(found["tokens"]) == 4
    assert found["tokens_evaluated"] > 0
    assert found["truncated"] is False
    assert found["generation_settings"]["temperature"] == 0
    assert found["timings"]["predicted_n"] == 4


def test_completion_tells_which_word_stopped_it(http: httpx.Client) -> None:
    text = http.post(
        "/completion", json={"prompt": "one two", "n_predict": 8, "temperature": 0}
    ).json()["content"]
    word = text[len(text) // 2 :][:3]
    found = http.post(
        "/completion",
        json={"prompt": "one two", "n_predict": 8, "temperature": 0, "stop": [word]},
    ).json()
    assert found["stop_type"] == "word"
    assert found["stopping_word"] == word
    assert word not in found["content"]


def test_completion_streams_as_continue_reads_it(http: httpx.Client) -> None:
    """Continue's llama.cpp provider: n_predict, and `content` of each event."""
    events = _events(http, "/completion", {"prompt": "one two", "n_predict": 4, "temperature": 0})
    whole = http.post("/completion", json={"prompt": "one two", "n_predict": 4, "temperature": 0})
    assert "".join(event["content"] for event in events) == whole.json()["content"]
    assert [event["stop"] for event in events].count(True) == 1
    assert events[-1]["stop"] is True
    assert events[-1]["tokens_predicted"] == 4


def test_completion_gives_probabilities(http: httpx.Client) -> None:
    body = {"prompt": "one two", "n_predict": 2, "temperature": 0, "n_probs": 3}
    found = http.post("/completion", json=body).json()["completion_probabilities"]
    assert len(found) == 2
    assert len(found[0]["top_logprobs"]) == 3
    assert found[0]["id"] == found[0]["top_logprobs"][0]["id"]


def test_several_prompts_are_sent_elsewhere(http: httpx.Client) -> None:
    response = http.post("/completion", json={"prompt": ["a", "b"]})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == 400
    assert "/v1/completions" in response.json()["error"]["message"]


def test_progress_and_timings_are_told_on_request(http: httpx.Client) -> None:
    body = {
        "prompt": "a new prompt to be read once",
        "n_predict": 3,
        "return_progress": True,
        "timings_per_token": True,
        "cache_prompt": False,
    }
    events = _events(http, "/completion", body)
    progress = [e["prompt_progress"] for e in events if "prompt_progress" in e]
    assert progress[-1]["processed"] == progress[-1]["total"]
    assert progress[-1]["cache"] == 0
    assert all("timings" in event for event in events if event["content"])


def test_infill_as_llama_vscode_asks(http: httpx.Client, server: Running) -> None:
    """The request of llama.vscode and llama.vim: a gap, other files, few samplers, short time."""
    body = {
        "id_slot": 0,
        "input_prefix": "def add(a, b):\n",
        "input_suffix": "\n\nprint(add(1, 2))\n",
        "input_extra": [
            {"filename": "numbers.py", "text": "ONE = 1\n", "time": 0},
            {"filename": "words.py", "text": "A = 'a'\n", "time": 1},
        ],
        "prompt": "    ret",
        "n_predict": 16,
        "stop": [],
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.99,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 1000,
        "response_fields": [
            "content",
            "timings/prompt_n",
            "timings/prompt_ms",
            "timings/predicted_n",
            "truncated",
            "tokens_cached",
        ],
    }
    first = http.post("/infill", json=body).json()
    assert set(first) == set(body["response_fields"])  # type: ignore[call-overload]
    body["prompt"] = "    retu"  # the next keystroke
    second = http.post("/infill", json=body).json()
    assert second["timings/prompt_n"] < first["timings/prompt_n"]


def test_infill_warms_the_cache_without_drawing(http: httpx.Client) -> None:
    body = {"input_prefix": "warm = 1\n", "input_suffix": "\n", "n_predict": 0}
    assert http.post("/infill", json=body).json()["content"] == ""


def test_infill_names_what_is_missing(http: httpx.Client) -> None:
    response = http.post("/infill", json={"input_prefix": "a"})
    assert response.status_code == 400
    assert "input_suffix" in response.json()["error"]["message"]


def test_text_goes_to_tokens_and_back(http: httpx.Client) -> None:
    tokens = http.post("/tokenize", json={"content": "hello wörld"}).json()["tokens"]
    assert http.post("/detokenize", json={"tokens": tokens}).json()["content"] == "hello wörld"
    pieces = http.post("/tokenize", json={"content": "hello", "with_pieces": True}).json()["tokens"]
    assert "".join(piece["piece"] for piece in pieces) == "hello"


def test_the_template_is_applied(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "hi"}]
    prompt = http.post("/apply-template", json={"messages": messages}).json()["prompt"]
    assert "hi" in prompt
    assert prompt.endswith("assistant\n")


def test_documents_are_ranked(http: httpx.Client) -> None:
    documents = ["a bird sings", "three plus four"]
    body = {"query": "birds", "documents": documents, "method": "cosine", "top_n": 1}
    found = http.post("/v1/rerank", json=body).json()
    assert len(found["results"]) == 1
    tei = http.post("/rerank", json={"query": "birds", "texts": documents, "method": "cosine"})
    assert {entry["index"] for entry in tei.json()} == {0, 1}
    refused = http.post("/v1/rerank", json={"query": "birds", "documents": documents})
    assert refused.status_code == 400
    assert "cosine" in refused.json()["error"]["message"]


def test_props_tell_what_the_model_is_like(http: httpx.Client) -> None:
    props = http.get("/props").json()
    assert "assistant" in props["chat_template"]
    assert props["modalities"]["vision"] is False
    assert props["total_slots"] == 4
    assert props["default_generation_settings"]["n_ctx"] == 4096
    assert "/" not in props["model_path"]


def test_health_and_metrics(http: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "ok", "models": {"demo": "loaded"}}
    http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})
    text = http.get("/metrics").text
    assert 'llamaherd_requests_total{path="/v1/completions",status="200"}' in text
    assert 'llamaherd_generated_tokens_total{model="demo"}' in text
