"""What a request must pass: host, key, size, numbers."""

from __future__ import annotations

import json
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Running, serving, wait_until

from llamaherd import OptionError
from llamaherd.server.settings import ServerParams

HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
LONG: dict[str, Any] = {
    "prompt": "one two three", "max_tokens": 100_000, "ignore_eos": True, "stream": True
}  # fmt: skip


def test_no_other_address_without_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.com"):
        with pytest.raises(OptionError, match="API key"):
            ServerParams(host=host)
    for host in ("127.0.0.1", "::1", "localhost"):
        ServerParams(host=host)
    ServerParams(host="0.0.0.0", api_key="a long secret")


def test_keys_come_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("# of the team\nann: sk-ann-12345678\nsk-nameless-1234\n")
    caplog.set_level(logging.INFO, logger="llamaherd.access")
    with serving(api_key_file=str(keys)) as running, httpx.Client(base_url=running.url) as http:
        assert http.get("/health").status_code in (200, 503)
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "sk-ann-1234567"}):
            refused = http.post("/v1/chat/completions", json=HI, headers=headers)
            assert refused.status_code == 401
            assert refused.json()["error"]["type"] == "authentication_error"
            assert refused.headers["www-authenticate"] == "Bearer"
        anthropic = http.post("/v1/messages", json={})
        assert anthropic.json()["type"] == "error", "in the shape of the path's protocol"
        for headers in (
            {"authorization": "Bearer sk-ann-12345678"},
            {"x-api-key": "sk-nameless-1234"},
        ):
            assert http.post("/v1/chat/completions", json=HI, headers=headers).status_code == 200
        assert http.get("/v1/models", headers={"host": "evil.example"}).status_code == 401
    told = [json.loads(r.message) for r in caplog.records if r.name == "llamaherd.access"]
    assert {"ann", "key 3"} <= {line["client"] for line in told}
    assert not any("sk-ann" in r.message for r in caplog.records)


@pytest.mark.parametrize(
    "text", ["", "# nothing", "short", "a: same-key-1\nb: same-key-1", "käy-12345"]
)
def test_a_bad_key_file_is_an_error_at_once(tmp_path: Path, text: str) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(text)
    with pytest.raises(OptionError, match="key"), serving(api_key_file=str(keys)):
        pass


def test_a_name_that_was_made_to_point_here_does_not_get_in(http: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:8000", "", "127.0.0.1.evil.example"):
        assert http.get("/v1/models", headers={"host": host}).status_code in (400, 403)
    for host in ("localhost:1", "127.0.0.1", "[::1]:8000"):
        assert http.get("/v1/models", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_are_refused(http: httpx.Client) -> None:
    headers = {"origin": "https://evil.example", "content-type": "text/plain"}
    refused = http.post("/v1/chat/completions", content=json.dumps(HI), headers=headers)
    assert refused.status_code == 403
    preflight = http.options(
        "/v1/chat/completions",
        headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
    )
    assert "access-control-allow-origin" not in preflight.headers


def test_pages_that_were_named_may_call() -> None:
    with (
        serving(cors_origins=["https://chat.example"]) as running,
        httpx.Client(base_url=running.url) as http,
    ):
        asked = {"origin": "https://chat.example", "access-control-request-method": "POST"}
        preflight = http.options("/v1/chat/completions", headers=asked)
        assert preflight.headers["access-control-allow-origin"] == "https://chat.example"
        answer = http.post("/v1/chat/completions", json=HI, headers={"origin": asked["origin"]})
        assert answer.status_code == 200


def test_bodies_have_a_largest_size() -> None:
    with serving(max_body_mib=0.01) as running, httpx.Client(base_url=running.url) as http:
        body = {**HI, "user": "x" * 20_000}
        assert http.post("/v1/chat/completions", json=body).status_code == 413

        def pieces() -> Any:
            for _ in range(20):
                yield b" " * 1000

        assert http.post("/v1/chat/completions", content=pieces()).status_code == 413
        assert http.post("/v1/chat/completions", json=HI).status_code == 200
        zipped = {"content-encoding": "gzip"}
        assert http.post("/v1/chat/completions", content=b"x", headers=zipped).status_code == 415


def test_a_body_that_never_ends_is_given_up() -> None:
    with serving(body_timeout_s=0.2) as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            )
            assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_prompts_and_answers_have_a_largest_length() -> None:
    limits = {"max_prompt_tokens": 20, "max_answer_tokens": 4}
    with serving(**limits) as running, httpx.Client(base_url=running.url, timeout=60) as http:
        unsaid = http.post("/v1/completions", json={"prompt": "one two", "ignore_eos": True})
        assert unsaid.json()["usage"]["completion_tokens"] == 4
        more = http.post(
            "/v1/completions", json={"prompt": "one two", "max_tokens": 5, "ignore_eos": True}
        )
        assert more.json()["usage"]["completion_tokens"] == 4
        assert more.json()["choices"][0]["finish_reason"] == "length"
        longer = http.post("/v1/completions", json={"prompt": "one two " * 20})
        assert longer.status_code == 400
        assert "at most 20 tokens" in longer.json()["error"]["message"]


CHAT, ANTHROPIC, OLLAMA = "/v1/chat/completions", "/v1/messages", "/api/chat"
JOKE = "Tell me a long joke about cats."


@pytest.mark.parametrize(
    ("path", "asked", "reason"),
    [
        (CHAT, {"max_tokens": 32000}, "choices.finish_reason.length"),
        (CHAT, {"max_completion_tokens": 32000}, "choices.finish_reason.length"),
        (ANTHROPIC, {"max_tokens": 32000}, "stop_reason.max_tokens"),
        ("/completion", {"prompt": "hi", "n_predict": 32000}, "stop_type.limit"),
        (OLLAMA, {"options": {"num_predict": 32000}, "stream": False}, "done_reason.length"),
        (OLLAMA, {"options": {"num_predict": -2}, "stream": False}, "done_reason.length"),
        (
            "/v1/responses",
            {"input": JOKE, "max_output_tokens": 32000},
            "incomplete_details.reason.max_output_tokens",
        ),
    ],
)
def test_a_client_that_allows_more_than_the_server_gets_what_the_server_allows(
    path: str, asked: dict[str, Any], reason: str
) -> None:
    body: dict[str, Any] = {"model": "demo", **asked}
    if not {"input", "prompt"} & asked.keys():
        body["messages"] = [{"role": "user", "content": JOKE}]
    with serving(max_answer_tokens=4) as running:
        answer = httpx.post(f"{running.url}{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    found: Any = answer.json()
    keys = reason.split(".")
    for key in keys[:-1]:
        found = found[key][0] if key == "choices" else found[key]
    assert found == keys[-1]


def test_who_opens_the_address_learns_what_it_is() -> None:
    with serving() as running:
        page = httpx.get(running.url, headers={"accept": "text/html"})
        assert page.json()["name"] == "llamaherd"
        assert page.json()["models"] == [m["id"] for m in _models(running)]
        assert httpx.get(running.url + page.json()["docs"]).status_code == 200
        assert httpx.head(running.url).status_code == 200
        assert httpx.post(running.url).status_code == 405


def _models(running: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{running.url}/v1/models").json()["data"]
    return found


def _hold(running: Running, stop: threading.Event) -> threading.Thread:
    """A stream that runs until ``stop``."""

    def stream() -> None:
        with httpx.stream("POST", f"{running.url}/v1/completions", json=LONG, timeout=60) as answer:
            for _ in answer.iter_lines():
                if stop.is_set():
                    return

    thread = threading.Thread(target=stream)
    thread.start()
    return thread


def test_a_client_has_so_many_requests_and_no_more() -> None:
    stop = threading.Event()
    with serving(max_requests_per_key=1) as running:
        thread = _hold(running, stop)
        try:
            wait_until(lambda: running.llm.stats().running == 1)
            refused = httpx.post(f"{running.url}/v1/chat/completions", json=HI)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert httpx.get(f"{running.url}/v1/models").status_code == 200
        finally:
            stop.set()
            thread.join()
        wait_until(lambda: running.llm.stats().running == 0)
        assert httpx.post(f"{running.url}/v1/chat/completions", json=HI).status_code == 200


def test_the_server_has_so_many_requests_and_no_more() -> None:
    stop = threading.Event()
    with serving(max_requests=1) as running:
        thread = _hold(running, stop)
        try:
            wait_until(lambda: running.llm.stats().running == 1)
            refused = httpx.post(f"{running.url}/v1/chat/completions", json=HI)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "overloaded"
        finally:
            stop.set()
            thread.join()


def test_an_answer_has_a_longest_time() -> None:
    with serving(request_timeout_s=0.3) as running:
        answer = httpx.post(f"{running.url}/v1/completions", json={**LONG, "stream": False})
        assert answer.json()["choices"][0]["finish_reason"] == "deadline"


def test_the_log_tells_who_and_what_but_not_what_was_said(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="llamaherd.access")
    body = {**HI, "messages": [{"role": "user", "content": "xyzzy"}], "odd": 1}
    http.post("/v1/chat/completions", json=body)
    wait_until(lambda: bool(caplog.records))
    (line,) = [json.loads(r.message) for r in caplog.records if r.name == "llamaherd.access"]
    assert line["path"] == "/v1/chat/completions"
    assert line["status"] == 200
    assert line["model"] == "demo"
    assert line["generated_tokens"] == 3
    assert line["finish_reason"] == "length"
    assert line["ignored"] == ["odd"]
    assert "xyzzy" not in caplog.text
