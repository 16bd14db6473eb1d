"""The worker on the real library: many callers, one end for each call, nothing left over."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from llamaherd import ClosedError, DecodeError, Llama
from llamaherd.embed.embedder import Embedder
from llamaherd.embed.packing import Call, Slice
from llamaherd.embed.runner import EmbeddingRunner
from llamaherd.native import bindings as c
from llamaherd.params import ContextParams

TEXTS = [f"number {n} is followed by number {n + 1}" for n in range(40)]


@pytest.fixture
def herd() -> Iterator[Llama]:
    with Llama("demo", n_ctx=2048, n_threads=1) as llm:
        yield llm


def _embedder(llm: Llama) -> Embedder:
    return llm._embeddings.embedder


def _runner(llm: Llama) -> EmbeddingRunner:
    runner = _embedder(llm)._lanes["mean"].runner
    assert runner is not None
    return runner


def _held(llm: Llama) -> threading.Event:
    """The worker waits until this is set."""
    gate = threading.Event()

    def hold() -> None:
        assert gate.wait(10)

    _embedder(llm)._inbox.put(hold)
    return gate


def test_texts_of_one_call_share_batches(herd: Llama) -> None:
    herd.embed(TEXTS)
    n_tokens = sum(len(herd.tokenize(text)) for text in TEXTS)
    assert _embedder(herd).n_batches <= n_tokens // 512 + 1


def test_texts_of_many_callers_share_batches(herd: Llama) -> None:
    herd.embed("first")  # makes the context
    gate = _held(herd)
    before = _embedder(herd).n_batches
    with ThreadPoolExecutor(len(TEXTS)) as callers:
        futures = [callers.submit(herd.embed, text) for text in TEXTS]
        while len(_embedder(herd)._inbox) < len(TEXTS):
            time.sleep(0.005)
        gate.set()
        together = [future.result() for future in futures]
    assert _embedder(herd).n_batches - before <= 2
    alone = [herd.embed(text) for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=2e-3)


def test_without_the_output_head_vectors_are_the_same(herd: Llama) -> None:
    """Against a context that computes all logits, as a C program would."""
    ours = herd.embed(TEXTS[:8], normalize=False)
    native = herd.model.new_embedding_context(
        ContextParams(n_threads=1), "mean", n_ctx=512, n_batch=512, n_seq=256
    )
    with native as context:
        runner = _runner(herd)
        batch = runner._batch
        calls = [herd.tokenize(text) for text in TEXTS[:8]]
        batch.fill(_slices(calls))
        assert c.llama_decode(context.pointer, batch.native) == 0
        theirs = [
            np.ctypeslib.as_array(
                c.llama_get_embeddings_seq(context.pointer, at), shape=(herd.n_embd(),)
            ).copy()
            for at in range(8)
        ]
        logits = c.llama_get_logits_ith(context.pointer, 0)
        assert np.ctypeslib.as_array(logits, shape=(herd.n_vocab(),)).any(), "there is a head"
    np.testing.assert_array_equal(ours, theirs)


def _slices(texts: list[list[int]]) -> list[Any]:
    call = Call(texts)
    return [Slice(call, at, 0, len(text)) for at, text in enumerate(texts)]


def test_a_failing_batch_fails_its_calls_and_the_worker_goes_on(herd: Llama) -> None:
    expected = herd.embed("again")
    runner = _runner(herd)
    read, runner._read = runner._read, lambda *_: -3
    with pytest.raises(DecodeError) as caught:
        herd.embed(["one", "two"])
    assert caught.value.code == -3
    runner._read = read
    np.testing.assert_array_equal(herd.embed("again"), expected)


def test_calls_in_other_batches_are_not_concerned(herd: Llama) -> None:
    herd.embed("first")
    gate = _held(herd)
    runner = _runner(herd)
    read = runner._read

    def failing_once(*args: Any) -> int:
        runner._read = read
        return -3

    runner._read = failing_once
    with ThreadPoolExecutor(2) as callers:
        large = callers.submit(herd.embed, [[5] * 500] * 2)
        while len(_embedder(herd)._inbox) < 1:
            time.sleep(0.005)
        other = callers.submit(herd.embed, [[6] * 400])
        while len(_embedder(herd)._inbox) < 2:
            time.sleep(0.005)
        gate.set()
        with pytest.raises(DecodeError):
            large.result()
        assert other.result().shape == (1, herd.n_embd())


def test_closing_fails_what_waits() -> None:
    llm = Llama("demo", n_ctx=2048, n_threads=1)
    pending = [llm._embeddings.embedder.submit([[5] * 400] * 50, "mean") for _ in range(3)]
    llm.close()
    for future in pending:
        with pytest.raises(ClosedError):
            future.result(timeout=10)
    with pytest.raises(ClosedError):
        llm.embed("too late")
    llm.close()


def test_closing_aborts_the_running_batch() -> None:
    llm = Llama("demo", n_ctx=8192, n_threads=1, n_batch=8192, n_ubatch=8192)
    future = llm._embeddings.embedder.submit([[5] * 4000, [6] * 4000], "mean")
    while _embedder(llm)._running is None:
        time.sleep(0.005)
    llm.close()
    with pytest.raises(ClosedError):
        future.result(timeout=10)


def test_a_model_that_never_embedded_closes_without_a_thread() -> None:
    llm = Llama("demo", n_ctx=512, n_threads=1)
    llm.close()
    assert _embedder(llm)._thread is None


def test_a_cancelled_coroutine_leaves_the_rest_unread(herd: Llama) -> None:
    async def impatient() -> None:
        task = asyncio.create_task(herd.aembed([[5] * 400] * 400))
        while _embedder(herd).n_batches < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())
    herd.embed("next")
    assert _embedder(herd).n_batches < 300


def test_generating_and_embedding_do_not_disturb_each_other(herd: Llama) -> None:
    alone = herd.embed(TEXTS)
    options: dict[str, Any] = {"max_tokens": 40, "temperature": 0, "ignore_eos": True}

    def answer_text() -> Any:
        return herd("one two three", **options)["choices"][0]["text"]

    text = answer_text()
    with ThreadPoolExecutor(2) as callers:
        answer = callers.submit(answer_text)
        together = callers.submit(herd.embed, TEXTS)
        assert answer.result() == text
        np.testing.assert_array_equal(together.result(), alone)


def test_a_longer_text_comes_while_a_long_one_is_read(herd: Llama) -> None:
    """The context is made anew only between texts: its memory holds the beginning of one."""
    expected = herd.embed([7] * 1100)
    with Llama("demo", n_ctx=2048, n_threads=1) as llm:
        first = _embedder(llm).submit([[7] * 1100], "mean")
        second = _embedder(llm).submit([[8] * 2000], "mean")
        vector = first.result()[0]
        assert second.result()[0].shape == (llm.n_embd(),)
    np.testing.assert_allclose(vector / np.linalg.norm(vector), expected, atol=2e-3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("used_before", [False, True])
def test_in_a_forked_child_it_says_so(herd: Llama, used_before: bool) -> None:
    if used_before:
        herd.embed("in the parent")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _embedder(herd).submit([[5]], "mean")
        except ClosedError as error:
            status = 0 if "forked" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_program_that_ends_while_texts_are_read_ends_cleanly() -> None:
    program = (
        "from llamaherd import Llama\n"
        "llm = Llama('demo', n_ctx=2048, n_threads=1)\n"
        "llm._embeddings.embedder.submit([[5] * 400] * 200, 'mean')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""


def test_the_native_batch_says_what_its_slices_say(herd: Llama) -> None:
    herd.embed("makes the context")
    batch = _runner(herd)._batch
    batch.fill(_slices([[5, 6, 7], [8, 9]]))
    native = batch.native
    assert native.n_tokens == 5
    assert native.token[:5] == [5, 6, 7, 8, 9]
    assert native.pos[:5] == [0, 1, 2, 0, 1]
    assert [native.seq_id[at][0] for at in range(5)] == [0, 0, 0, 1, 1]
    assert ctypes.string_at(native.logits, 5) == b"\x01" * 5
