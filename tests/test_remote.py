"""RemoteLlama against the real server: the same answers and errors as Llama."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import Any

import numpy as np
import pytest
from serving import Running, serving, wait_until

from llamaherd import (
    ContextLengthError,
    GrammarError,
    LlamaHerdError,
    OptionError,
    QueueFullError,
    RequestError,
    ServerError,
    ServerTimeoutError,
    ServerUnreachableError,
    UnknownOptionError,
)
from llamaherd.remote import RemoteLlama
from llamaherd.server.settings import ModelSettings

ASKED: list[dict[str, Any]] = [{"role": "user", "content": "what is 25x5"}]
PROMPT = "<|im_start|>user\nwhat is 25x5<|im_end|>\n<|im_start|>assistant\n"
ANSWER = "25 x 5 = 125"


@pytest.fixture
def remote(server: Running) -> RemoteLlama:
    return RemoteLlama(server.url, max_retries=0)


def text(chunks: list[dict[str, Any]]) -> str:
    """The text of streamed chunks."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_chats(remote: RemoteLlama) -> None:
    answer = remote.create_chat_completion(ASKED, temperature=0)
    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert answer["usage"]["prompt_tokens"] > 0


def test_streams_chats(remote: RemoteLlama) -> None:
    options: dict[str, Any] = {"temperature": 0, "stream_options": {"include_usage": True}}
    with remote.create_chat_completion(ASKED, stream=True, **options) as stream:
        chunks = list(stream)
    assert text(chunks) == ANSWER
    assert chunks[-1]["usage"]["completion_tokens"] > 0


async def test_coroutines_get_the_same(remote: RemoteLlama) -> None:
    answer = await remote.acreate_chat_completion(ASKED, temperature=0)
    assert answer["choices"][0]["message"]["content"] == ANSWER
    async with await remote.acreate_chat_completion(ASKED, stream=True, temperature=0) as stream:
        assert text([chunk async for chunk in stream]) == ANSWER
    whole = await remote.acreate_completion(PROMPT, temperature=0)
    assert whole["choices"][0]["text"] == ANSWER


def test_may_be_used_from_one_event_loop_after_another(remote: RemoteLlama) -> None:
    for _ in range(3):
        answer = asyncio.run(remote.acreate_chat_completion(ASKED, temperature=0))
        assert answer["choices"][0]["message"]["content"] == ANSWER


def test_completes(remote: RemoteLlama) -> None:
    assert remote.create_completion(PROMPT, temperature=0)["choices"][0]["text"] == ANSWER
    filled = remote.create_completion(
        "def add(a, b):\n    return ", "\n", temperature=0, max_tokens=16
    )
    assert filled["choices"][0]["text"].strip() == "a + b"


async def test_embeds(remote: RemoteLlama, server: Running) -> None:
    expected = await asyncio.to_thread(server.llm.embed, ["one", "two"])
    assert np.allclose(remote.embed(["one", "two"]), expected, atol=1e-3)
    assert np.allclose(await remote.aembed("one"), expected[0], atol=1e-3)
    assert remote.create_embedding("one")["usage"]["prompt_tokens"] > 0
    found = remote.embed("one", normalize=False, pooling="last")
    assert abs(np.linalg.norm(found) - 1) > 0.01


async def test_ranks(remote: RemoteLlama) -> None:
    found = remote.rerank("a cat", ["dogs bark", "a cat"], method="cosine", top_n=1)
    assert [result["index"] for result in found["results"]] == [1]
    assert await remote.arerank("a cat", ["dogs bark", "a cat"], method="cosine", top_n=1) == found


def test_counts_tokens_like_llama(remote: RemoteLlama, server: Running) -> None:
    llm = server.llm
    assert remote.tokenize("what is 25x5") == llm.tokenize("what is 25x5")
    assert remote.tokenize("<|im_end|>", special=True) == llm.tokenize("<|im_end|>", special=True)
    assert remote.chat_tokens(ASKED) == llm.chat_tokens(ASKED)

    def magic(number: int) -> int:
        """A magic function."""
        return number

    assert remote.chat_tokens(ASKED, tools=[magic]) == llm.chat_tokens(ASKED, tools=[magic])


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"temprature": 1}, UnknownOptionError, "did you mean 'temperature'"),
        ({"temperature": -1}, OptionError, "temperature=-1"),
        ({"logits_processor": [len]}, OptionError, "travel"),
        ({"priority": 3}, OptionError, "priority"),
        ({"response_format": {"type": "json_schema"}}, OptionError, "response_format"),
        ({"grammar": 'root ::= "a'}, RequestError, "grammar"),
    ],
)
def test_errors_are_those_of_llama(
    remote: RemoteLlama, options: dict[str, Any], kind: type[LlamaHerdError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        remote.create_chat_completion(ASKED, **options)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_over_long_prompt(remote: RemoteLlama, stream: bool) -> None:
    long: list[dict[str, Any]] = [{"role": "user", "content": "word " * 9000}]
    with pytest.raises(ContextLengthError, match="tokens"):
        remote.create_chat_completion(long, stream=stream)
    with pytest.raises(ContextLengthError, match="tokens"):
        await remote.acreate_chat_completion(long, stream=stream)


def test_a_model_that_is_not_there(server: Running) -> None:
    with pytest.raises(ServerError, match="nowhere") as caught:
        RemoteLlama(server.url, model="nowhere").create_chat_completion(ASKED)
    assert caught.value.status == 404


def test_leaving_a_stream_ends_the_answer(remote: RemoteLlama, server: Running) -> None:
    before = server.llm.stats().finished.get("cancelled", 0)
    with remote.create_chat_completion(ASKED, stream=True, ignore_eos=True) as stream:
        next(stream)
    wait_until(lambda: server.llm.stats().finished.get("cancelled", 0) == before + 1)
    dropped = remote.create_chat_completion(ASKED, stream=True, ignore_eos=True)
    next(dropped)
    del dropped
    gc.collect()
    wait_until(lambda: server.llm.stats().finished.get("cancelled", 0) == before + 2)


async def test_a_cancelled_task_ends_the_answer(remote: RemoteLlama, server: Running) -> None:
    before = server.llm.stats().finished.get("cancelled", 0)
    task = asyncio.create_task(remote.acreate_chat_completion(ASKED, ignore_eos=True))
    await asyncio.to_thread(wait_until, lambda: server.llm.stats().running > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(
        wait_until, lambda: server.llm.stats().finished.get("cancelled", 0) == before + 1
    )


def test_keys() -> None:
    with serving(api_key="s3cret-key") as running:
        with pytest.raises(ServerError) as caught:
            RemoteLlama(running.url).create_chat_completion(ASKED)
        assert caught.value.status == 401
        llm = RemoteLlama(f"{running.url}/v1/", api_key="s3cret-key")
        assert llm.create_chat_completion(ASKED, temperature=0)["choices"]


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMAHERD_API_KEY", "s3cret-key")
    with serving(api_key="s3cret-key") as running:
        assert RemoteLlama(running.url).create_chat_completion(ASKED)["choices"]


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ServerUnreachableError, match="cannot be reached"):
            RemoteLlama(address, max_retries=0).create_chat_completion(ASKED)
        with pytest.raises(ServerUnreachableError):
            asyncio.run(RemoteLlama(address, max_retries=0).acreate_chat_completion(ASKED))


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamaherd.remote.MARGIN_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServerTimeoutError, match="in time"):
            RemoteLlama(address, timeout_s=0.1).create_chat_completion(ASKED)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(OptionError, match="base_url"):
        RemoteLlama("localhost:8080")


def test_a_busy_server_is_asked_again() -> None:
    busy = ModelSettings(
        name="demo", file="demo", options={"n_threads": 1, "n_parallel": 1, "max_queue": 0}
    )
    with serving(busy) as running:
        patient = RemoteLlama(running.url, max_retries=6)
        hasty = RemoteLlama(running.url, max_retries=0)
        hasty.create_chat_completion(ASKED, max_tokens=1)
        stream = hasty.create_chat_completion(ASKED, stream=True, ignore_eos=True)
        next(stream)
        with pytest.raises(QueueFullError):
            hasty.create_chat_completion(ASKED)
        threading.Timer(0.2, stream.close).start()
        assert patient.create_chat_completion(ASKED, max_tokens=1)["choices"]


def test_an_error_behind_the_first_chunk_keeps_the_text(server: Running) -> None:
    """The server is stopped while it answers."""
    with serving(grace_s=0.0) as running:
        llm = RemoteLlama(running.url)
        stream = llm.create_chat_completion(ASKED, stream=True, ignore_eos=True)
        next(stream)
        running.on_loop(running.service.stop_all)
        with pytest.raises(ServerError, match="shutting down"):
            list(stream)


def test_grammars_are_checked_on_the_server(remote: RemoteLlama) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}
    with pytest.raises(RequestError) as caught:
        remote.create_chat_completion(ASKED, json_schema=schema)
    assert not isinstance(caught.value, ServerError)
    assert issubclass(GrammarError, RequestError)
