"""Sixty-four callers who come and go as they like: one end each, and nothing left over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from llamaherd import DecodeError, Llama
from llamaherd.native.bindings import llama_batch

CALLERS, ROUNDS = 64, 20
ENDS = {"stop", "length", "cancelled"}
SYSTEM = [7, 8, 9] * 12


@pytest.fixture(scope="module")
def herd() -> Iterator[Llama]:
    """With few cells for so many, so that requests must step back all the time."""
    with Llama("demo", n_ctx=256, n_parallel=6, n_threads=1, draft_model="prompt_lookup") as llm:
        yield llm


def _prompt(dice: random.Random) -> list[int]:
    own = [dice.randrange(300, 340) for _ in range(dice.randrange(1, 60))]
    return SYSTEM + own if dice.random() < 0.5 else own


def _options(dice: random.Random, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "max_tokens": dice.randrange(1, 40),
        "priority": dice.randrange(2),
        "temperature": dice.choice([0.0, 1.0]),
        "logprobs": dice.choice([None, None, None, 2]),
        "echo": dice.random() < 0.1,
        "n": dice.choice([1, 1, 1, 2]),
    }


def _call(llm: Llama, seed: int) -> list[str]:
    """One caller on a thread of its own; a third of them leave at a random chunk."""
    dice = random.Random(seed)
    options = _options(dice, seed)
    leaves_after = dice.randrange(12) if dice.random() < 0.3 else None
    stream = llm(_prompt(dice), stream=True, **options)
    ends = []
    for at, chunk in enumerate(stream):
        if at == leaves_after:
            stream.cancel()
        ends += [c["finish_reason"] for c in chunk["choices"] if c["finish_reason"]]
    assert len(ends) == options["n"]
    return ends


def _check_at_rest(llm: Llama) -> None:
    stats = llm.stats()
    assert (stats.running, stats.waiting) == (0, 0)
    llm._engine._worker.check_integrity()
    assert llm._engine._n_unfinished == 0


def test_every_request_ends_once_and_memory_returns_to_its_level(herd: Llama) -> None:
    process = psutil.Process()
    n_ends, levels = 0, []
    with ThreadPoolExecutor(CALLERS) as callers:
        for turn in range(ROUNDS):
            seeds = range(turn * CALLERS, (turn + 1) * CALLERS)
            for ends in callers.map(lambda seed: _call(herd, seed), seeds):
                assert set(ends) <= ENDS
                n_ends += len(ends)
            _check_at_rest(herd)
            levels.append(process.memory_info().rss)
    stats = herd.stats()
    assert sum(stats.finished.values()) == n_ends
    assert stats.preempted > 0, "memory must have run out"
    assert stats.cache.evicted > 0
    assert stats.cache.hits > 0
    assert levels[-1] - levels[4] < 8 << 20, f"memory grew: {levels}"


def test_tasks_that_are_cancelled_at_any_moment_leave_nothing(herd: Llama) -> None:
    async def call(seed: int) -> str:
        dice = random.Random(seed)
        ask = herd.acreate_completion(_prompt(dice), **_options(dice, seed))
        try:
            await asyncio.wait_for(ask, timeout=dice.random() if seed % 3 == 0 else 60)
        except asyncio.TimeoutError:
            return "left"
        return "answered"

    async def everyone() -> list[str]:
        return await asyncio.gather(*(call(seed) for seed in range(CALLERS)))

    ends = asyncio.run(everyone())
    assert ends.count("answered") >= CALLERS * 2 // 3
    herd("Hello", max_tokens=1)
    _check_at_rest(herd)


def test_native_failures_at_random_moments_fail_only_their_requests(herd: Llama) -> None:
    """One decode in twelve fails; whoever was not in it is answered."""
    runner, dice = herd._engine._runner, random.Random(5)
    decode = runner._decode

    def failing(context: Any, batch: llama_batch) -> int:
        return -3 if dice.random() < 0.08 else int(decode(context, batch))

    def call(seed: int) -> str:
        try:
            return _call(herd, seed)[0]
        except DecodeError:
            return "failed"

    runner._decode = failing
    try:
        with ThreadPoolExecutor(CALLERS) as callers:
            ends = list(callers.map(call, range(2 * CALLERS)))
    finally:
        runner._decode = decode
    assert set(ends) <= {*ENDS, "failed"}
    assert 0 < ends.count("failed") < len(ends)
    _check_at_rest(herd)
