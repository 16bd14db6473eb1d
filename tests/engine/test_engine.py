"""Many requests at a time on the real library: same answers, one end each, nothing left over."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llamaherd import DecodeError, Llama, QueueFullError
from llamaherd.engine.plan import Plan

PROMPTS = [
    "<|im_start|>user\nTell me a joke about birds.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nwhat is 25x5<|im_end|>\n<|im_start|>assistant\n",
    "The cat is",
    "one two three",
    "def add(a, b):\n",
    "Hello, my name is Ada. What is",
]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 24, "ignore_eos": True}


@pytest.fixture
def herd() -> Iterator[Llama]:
    with Llama("demo", n_ctx=2048, n_parallel=4, n_threads=1) as llm:
        yield llm


def _text(response: dict[str, Any]) -> str:
    return str(response["choices"][0]["text"])


def _ask_all(llm: Llama, prompts: list[str], **options: Any) -> list[str]:
    with ThreadPoolExecutor(len(prompts)) as callers:
        return list(callers.map(lambda p: _text(llm(p, **{**GREEDY, **options})), prompts))


NOISE = 0.05
"""Difference of log-probabilities below which the batch a token is computed in may decide: sums in
another order differ in their last bits. llama.cpp's own batches of 1 and 64 differ by less here."""


def _same_but_for_noise(mine: dict[str, Any], alone: dict[str, Any]) -> bool:
    """Equal tokens, or the first difference lies between two that are as likely."""
    here, there = (r["choices"][0]["logprobs"] for r in (mine, alone))
    for token, other, top in zip(
        here["tokens"], there["tokens"], there["top_logprobs"], strict=False
    ):
        if token != other:
            return token in top and abs(top[token] - top[other]) < NOISE
    return True


def test_answers_in_a_mixed_batch_equal_those_given_alone(herd: Llama) -> None:
    prompts = [f"{prompt} {n}" for n in range(3) for prompt in PROMPTS]
    alone = []
    for prompt in prompts:
        herd.reset()
        alone.append(herd(prompt, logprobs=2, **GREEDY))
    herd.reset()
    with ThreadPoolExecutor(len(prompts)) as callers:
        mixed = list(callers.map(lambda prompt: herd(prompt, logprobs=2, **GREEDY), prompts))
    assert all(map(_same_but_for_noise, mixed, alone))
    equal = sum(_text(a) == _text(b) for a, b in zip(mixed, alone, strict=True))
    assert equal >= 0.8 * len(prompts)


def test_requests_share_steps(herd: Llama) -> None:
    """Counted in native calls: four answers of 24 tokens take far fewer than 4 x 24 steps."""
    steps = 0
    run = herd._engine._runner.run

    def counted(plan: Plan) -> list[int]:
        nonlocal steps
        steps += 1
        return run(plan)

    herd._engine._runner.run = counted  # type: ignore[method-assign]
    streams = [herd(prompt, stream=True, **GREEDY) for prompt in PROMPTS[:4]]
    for stream in streams:
        list(stream)
    assert steps < 2 * 24


def test_a_common_beginning_is_read_once(herd: Llama) -> None:
    common = "You are a helpful assistant. " * 30
    prompts = [f"{common}Question {n}?" for n in range(8)]
    n_common = len(herd.tokenize(common))
    n_all = sum(len(herd.tokenize(prompt)) for prompt in prompts)
    before = herd.stats()
    _ask_all(herd, prompts, max_tokens=1)
    n_own = n_all - len(prompts) * n_common
    n_read = herd.stats().prompt_tokens - before.prompt_tokens
    assert n_read <= 1.05 * (n_common + n_own)
    assert herd.stats().cache.hits - before.cache.hits == 7


def test_n_answers_read_the_prompt_once(herd: Llama) -> None:
    prompt = "one two three four five " * 40
    n_prompt = len(herd.tokenize(prompt))
    before = herd.stats().prompt_tokens
    herd(prompt, n=4, max_tokens=2, ignore_eos=True)
    assert herd.stats().prompt_tokens - before <= n_prompt + 4


def test_when_memory_runs_out_requests_wait_and_lose_nothing() -> None:
    prompts = [f"{prompt} {n}" for n in range(2) for prompt in PROMPTS]
    options: dict[str, Any] = {**GREEDY, "max_tokens": 90}
    with Llama("demo", n_ctx=256, n_parallel=4, n_threads=1) as llm:
        alone = []
        for prompt in prompts:
            llm.reset()
            alone.append(llm(prompt, logprobs=2, **options))
        with ThreadPoolExecutor(len(prompts)) as callers:
            mixed = list(callers.map(lambda p: llm(p, logprobs=2, **options), prompts))
        assert all(map(_same_but_for_noise, mixed, alone))
        assert all(m["usage"]["completion_tokens"] == 90 for m in mixed)


def test_a_long_prompt_does_not_stop_a_running_answer(herd: Llama) -> None:
    stream = herd("one two", stream=True, temperature=0, max_tokens=400, ignore_eos=True)
    for _ in range(20):
        next(stream)  # enough steps to know how long one takes
    reader = threading.Thread(target=herd, args=([5] * 1500,), kwargs={"max_tokens": 1})
    reader.start()
    n_meanwhile = 0
    for chunk in stream:
        if not reader.is_alive():
            break
        n_meanwhile += bool(chunk["choices"][0]["text"])
    reader.join()
    assert n_meanwhile >= 3, "the answer must have gone on while the prompt was read"


def test_a_failing_native_call_fails_only_what_runs_and_the_engine_goes_on(herd: Llama) -> None:
    runner = herd._engine._runner
    decode = runner._decode
    runner._decode = lambda *_: -3
    with pytest.raises(DecodeError, match="-3"):
        herd("Hello")
    runner._decode = decode
    assert herd("Hello", **GREEDY)["usage"]["completion_tokens"] == 24


def test_a_bug_of_ours_ends_requests_with_itself_and_the_engine_goes_on(
    herd: Llama, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = herd._engine._worker._scheduler
    plan = scheduler.plan

    def broken(prefill_limit: Callable[[int], int] | None = None) -> Plan:
        made = plan(prefill_limit)
        scheduler.plan = plan  # type: ignore[method-assign]
        assert made.slices
        raise ZeroDivisionError("ours")

    scheduler.plan = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError, match="ours"):
        herd("Hello")
    assert "a step failed" in caplog.text
    assert herd("Hello", **GREEDY)["usage"]["completion_tokens"] == 24


def test_a_full_queue_refuses_and_an_emptied_one_takes_again() -> None:
    with Llama("demo", n_ctx=512, n_parallel=1, max_queue=1, n_threads=1) as llm:
        streams = [llm("Hello", stream=True, max_tokens=400, ignore_eos=True) for _ in range(2)]
        with pytest.raises(QueueFullError, match="2 requests run or wait, of at most 2"):
            llm("Hello")
        for stream in streams:
            stream.close()
        while llm.stats().running or llm.stats().waiting:
            time.sleep(0.01)
        assert llm("Hello", **GREEDY)["usage"]["completion_tokens"] == 24
        with pytest.raises(QueueFullError):
            llm(["a", "b", "c"], **GREEDY)
        assert llm(["a", "b"], **GREEDY)["usage"]["completion_tokens"] == 48


def test_an_urgent_request_overtakes_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "llamaherd.engine")
    with Llama("demo", n_ctx=512, n_parallel=1, n_threads=1) as llm:
        options: dict[str, Any] = {"stream": True, "ignore_eos": True, "max_tokens": 5}
        running = llm([300] * 4, **{**options, "max_tokens": 400})
        next(running)
        first, second = llm([301] * 5, **options), llm([302] * 6, **options)
        urgent = llm([303] * 7, priority=-1, **options)
        running.close()
        for stream in (first, second, urgent):
            list(stream)
    started = re.findall(r"request of (\d) tokens starts", caplog.text)
    assert started == ["4", "7", "5", "6"]


def test_random_callers_who_come_and_go_each_get_one_end(herd: Llama) -> None:
    """Forty callers, a third of whom leave at a random moment."""
    ends: list[str] = []

    def call(seed: int) -> None:
        dice = random.Random(seed)
        prompt = [dice.randrange(300, 1000) for _ in range(dice.randrange(1, 120))]
        stream = herd(prompt, stream=True, seed=seed, max_tokens=dice.randrange(1, 40))
        leaves_at = time.monotonic() + dice.random() if dice.random() < 0.33 else None
        reason = "none"
        for chunk in stream:
            if leaves_at is not None and time.monotonic() > leaves_at:
                stream.cancel()
            reason = chunk["choices"][0]["finish_reason"] or reason
        ends.append(reason)

    with ThreadPoolExecutor(12) as callers:
        list(callers.map(call, range(40)))
    assert len(ends) == 40
    assert set(ends) <= {"stop", "length", "cancelled"}
    assert (herd.stats().running, herd.stats().waiting) == (0, 0)
    herd._engine._worker.check_integrity()


def test_a_cancelled_prompt_is_no_error_in_the_log(
    herd: Llama, caplog: pytest.LogCaptureFixture
) -> None:
    stream = herd([5] * 2000, stream=True, max_tokens=1)
    while not herd.stats().running:
        time.sleep(0.001)
    stream.close()
    assert herd("Hello", max_tokens=1)["choices"]
    assert not [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")]
