"""Many callers at once, and callers who leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from index_fixtures import demo_llm
from llama_index.core.llms import ChatMessage

from llamaherd.llama_index import LlamaCppLLM

N = 16
LONG = {"max_tokens": 40, "ignore_eos": True}
ENDLESS = {"max_tokens": 1500, "ignore_eos": True}


@pytest.fixture(scope="module")
def llm() -> LlamaCppLLM:
    found = demo_llm()  # a component's engine runs 16 at a time unless told otherwise
    found.load()
    return found


def _asked(n: int) -> list[ChatMessage]:
    return [ChatMessage(f"what is {n} + 1?")]


def _check_shared(llm: LlamaCppLLM, run: Callable[[], list[int]]) -> None:
    before = llm.load().stats()
    assert run() == [40] * N
    after = llm.load().stats()
    generated = after.generated_tokens - before.generated_tokens
    assert generated == 40 * N
    assert after.steps - before.steps < generated / 4  # alone, each token is a step


def test_coroutines_share_a_batch(llm: LlamaCppLLM) -> None:
    async def answers() -> list[int]:
        found = await asyncio.gather(*(llm.achat(_asked(n), **LONG) for n in range(N)))
        return [each.raw["usage"]["completion_tokens"] for each in found]

    _check_shared(llm, lambda: asyncio.run(answers()))


def test_threads_share_a_batch(llm: LlamaCppLLM) -> None:
    def answer(n: int) -> int:
        return int(llm.chat(_asked(n), **LONG).raw["usage"]["completion_tokens"])

    def answers() -> list[int]:
        with ThreadPoolExecutor(N) as pool:
            return list(pool.map(answer, range(N)))

    _check_shared(llm, answers)


def _n_cancelled(llm: LlamaCppLLM) -> int:
    return int(llm.load().stats().finished.get("cancelled", 0))


def _wait_until(done: Callable[[], bool]) -> None:
    patience = time.monotonic() + 60
    while not done():
        assert time.monotonic() < patience
        time.sleep(0.01)


async def _await_until(done: Callable[[], bool]) -> None:
    patience = time.monotonic() + 60
    while not done():
        assert time.monotonic() < patience
        await asyncio.sleep(0.01)


def test_closing_a_stream_ends_its_request(llm: LlamaCppLLM) -> None:
    before = _n_cancelled(llm)
    chat = llm.stream_chat(_asked(1), **ENDLESS)
    next(chat)
    chat.close()
    completion = llm.stream_complete("a", **ENDLESS)
    next(completion)
    completion.close()
    never_started = llm.stream_chat(_asked(1), **ENDLESS)
    del never_started
    _wait_until(lambda: _n_cancelled(llm) == before + 3)


async def test_leaving_an_async_stream_or_a_cancelled_task_ends_the_request(
    llm: LlamaCppLLM,
) -> None:
    before = _n_cancelled(llm)
    stream = await llm.astream_chat(_asked(1), **ENDLESS)
    async for _ in stream:
        break
    await stream.aclose()
    del stream
    await _await_until(lambda: _n_cancelled(llm) == before + 1)
    task = asyncio.create_task(llm.achat(_asked(2), **ENDLESS))
    await _await_until(lambda: llm.load().stats().running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _await_until(lambda: _n_cancelled(llm) == before + 2)


async def test_a_load_does_not_hold_up_the_event_loop() -> None:
    llm = demo_llm(n_ctx=300)
    task = asyncio.create_task(llm.achat(_asked(1)))
    await asyncio.sleep(0)
    assert llm._source._llama is None  # loading, on another thread
    assert (await task).message.content == "1 + 1 = 2"
