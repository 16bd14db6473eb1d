"""Streams: clients that leave, silence, errors on the way, and the end of the server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import httpx
import pytest
from openai import APIError, OpenAI
from serving import Running, serving, wait_until

from llamaherd.server.settings import ModelSettings

LONG: dict[str, Any] = {"prompt": "one two", "max_tokens": 100_000, "ignore_eos": True}


def _is_free(running: Running) -> bool:
    stats = running.llm.stats()
    return stats.running == stats.waiting == 0


def _n_cancelled(running: Running) -> int:
    return running.llm.stats().finished.get("cancelled", 0)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/completion"])
def test_a_client_that_leaves_a_stream_frees_its_place(server: Running, path: str) -> None:
    body = {**LONG, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    del body["prompt" if "chat" in path else "messages"]
    before = _n_cancelled(server)
    with httpx.stream("POST", server.url + path, json=body, timeout=60) as answer:
        assert answer.status_code == 200
    wait_until(lambda: _n_cancelled(server) == before + 1)
    wait_until(lambda: _is_free(server))


def test_a_client_that_leaves_before_the_answer_frees_its_place(server: Running) -> None:
    before = _n_cancelled(server)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/completions", json=LONG, timeout=0.3)
    wait_until(lambda: _n_cancelled(server) == before + 1)
    wait_until(lambda: _is_free(server))


def test_a_client_that_leaves_while_its_prompt_is_read_frees_its_place() -> None:
    options = {"n_batch": 2, "n_ubatch": 2, "n_ctx": 4096, "n_threads": 1}  # reads slowly
    with serving(ModelSettings(name="demo", file="demo", options=options)) as running:
        body = {"prompt": [300] * 3700, "stream": True}
        with httpx.stream("POST", f"{running.url}/v1/completions", json=body, timeout=60):
            wait_until(lambda: running.llm.stats().prompt_tokens > 0)
        wait_until(lambda: _is_free(running))
        assert running.llm.stats().finished == {"cancelled": 1}


def test_a_client_that_does_not_read_is_given_up() -> None:
    with serving(request_timeout_s=1.5, body_timeout_s=0.2) as running, socket.socket() as lazy:
        body = json.dumps({**LONG, "stream": True, "logprobs": 1000}).encode()  # 50 kB a token
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(_address(running.url))
        lazy.sendall(head.encode() + body)
        wait_until(lambda: len(running.service.running) == 1)
        (resident,) = running.service.models
        wait_until(lambda: not running.service.running and not resident.running)
        assert running.llm.stats().running == 0


def test_silence_is_broken_by_comments() -> None:
    one_place = ModelSettings(name="demo", file="demo", options={"n_parallel": 1, "n_threads": 1})
    with serving(one_place, keep_alive_s=0.05) as running:
        url = f"{running.url}/v1/completions"
        with (
            httpx.stream("POST", url, json={**LONG, "stream": True}, timeout=60),
            httpx.stream("POST", url, json={"prompt": "a", "stream": True}, timeout=60) as waiting,
        ):
            assert next(waiting.iter_lines()) == ": keep-alive"


def test_an_error_on_the_way_is_an_event_with_the_text_so_far() -> None:
    with serving() as running, OpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
        stream = client.completions.create(
            model="demo", prompt="one two", max_tokens=100_000, stream=True,
            extra_body={"ignore_eos": True},
        )  # fmt: skip
        text = next(stream).choices[0].text
        threading.Thread(target=running.llm.close).start()
        texts: list[str] = []
        with pytest.raises(APIError, match="closed while the request ran") as caught:
            texts.extend(chunk.choices[0].text for chunk in stream)
        body: Any = caught.value.body
        assert body["partial_text"] == text + "".join(texts)


def test_a_server_that_stops_lets_answers_finish() -> None:
    with serving(grace_s=30.0) as running:
        body = {**LONG, "max_tokens": 300, "stream": True}
        with httpx.stream("POST", f"{running.url}/v1/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            running.server.should_exit = True
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2][6:])["choices"][0]["finish_reason"] == "length"


def test_a_server_that_stops_ends_what_takes_too_long_with_an_event() -> None:
    with serving(grace_s=0.3) as running:
        body = {**LONG, "stream": True}
        with httpx.stream("POST", f"{running.url}/v1/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            running.server.should_exit = True
            rest = [line for line in lines if line]
        error = json.loads(rest[-1].removeprefix("data: "))["error"]
        assert error["code"] == "shutting_down"
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{running.url}/health")


def test_a_whole_answer_is_cut_where_the_server_stops() -> None:
    with serving(grace_s=0.3) as running:
        answers = []

        def ask() -> None:
            url = f"{running.url}/v1/completions"
            answers.append(httpx.post(url, json=LONG, timeout=60).json())

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: running.llm.stats().running == 1)
        running.server.should_exit = True
        asking.join()
    assert answers[0]["choices"][0]["finish_reason"] == "cancelled"
    assert answers[0]["choices"][0]["text"]


def test_many_idle_connections_and_many_streams() -> None:
    """200 connections that do nothing, and 32 streams at a time."""

    async def everybody(url: str) -> list[str]:
        limits = httpx.Limits(max_connections=300, max_keepalive_connections=300)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as http:
            idle = [await asyncio.open_connection(*_address(url)) for _ in range(200)]
            for _, writer in idle:
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            first_lines = [await reader.readline() for reader, _ in idle]
            ends = await asyncio.gather(*(_stream(http, n) for n in range(32)))
            for _, writer in idle:
                assert not writer.transport.is_closing()
                writer.close()
            assert set(first_lines) == {b"HTTP/1.1 200 OK\r\n"}
            return list(ends)

    with serving() as running:
        running.llm.stats()
        assert asyncio.run(everybody(running.url)) == ["data: [DONE]"] * 32


async def _stream(http: httpx.AsyncClient, n: int) -> str:
    body = {"prompt": f"number {n}", "max_tokens": 16, "stream": True}
    async with http.stream("POST", "/v1/completions", json=body) as answer:
        return [line async for line in answer.aiter_lines() if line][-1]


def _address(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)
