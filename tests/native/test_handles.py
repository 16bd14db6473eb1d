"""Owners of native objects, and callbacks that carry exceptions."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
from typing import Any

import pytest

from llamaherd import ClosedError, ContextCreateError, ContextParams
from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native.callbacks import AbortFlag, Callback
from llamaherd.native.handles import Batch, ContextHandle, Handle, SamplerChain


class _Counted(Handle):
    def __init__(self, *, fails: bool = False) -> None:
        self.freed = 0
        if fails:
            raise RuntimeError("half-way")
        self._owned = object()

    def _free(self, owned: Any) -> None:
        self.freed += 1


def test_close_frees_once_however_often_it_is_called() -> None:
    with _Counted() as handle:
        pass
    handle.close()
    handle.close()
    assert handle.freed == 1
    assert handle.closed


def test_a_closed_handle_gives_no_pointer_to_native_code() -> None:
    handle = _Counted()
    handle.close()
    with pytest.raises(ClosedError, match="_counted is closed"):
        _ = handle.pointer


def test_a_handle_that_failed_to_be_made_frees_nothing() -> None:
    with pytest.raises(RuntimeError, match="half-way"):
        _Counted(fails=True)
    gc.collect()  # __del__ must not raise: pytest would report it as an error


def test_a_held_object_is_freed_by_its_last_holder() -> None:
    handle = _Counted()
    with handle.held():
        handle.close()
        assert handle.freed == 0
        with pytest.raises(ClosedError):
            handle.hold()
    assert handle.freed == 1


def test_a_context_outlives_the_closing_of_its_model() -> None:
    model = Model("demo")
    context = model.new_context(ContextParams(n_ctx=64))
    batch = Batch(8)
    batch.add([5, 6, 7], 0, seq_id=0)
    model.close()
    assert c.llama_decode(context.pointer, batch.native) == 0
    context.close()
    assert model.handle._owned is None
    batch.close()


def test_many_threads_may_close_at_once() -> None:
    for _ in range(20):
        model = Model("demo")
        threads = [threading.Thread(target=model.close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert model.handle._owned is None


def test_a_context_that_cannot_be_made_is_an_error_with_a_remedy() -> None:
    with Model("demo") as model, pytest.raises(ContextCreateError, match="n_ctx"):
        # A quantised value cache needs flash attention.
        model.new_context(ContextParams(n_ctx=64, type_v="q4_0", flash_attn=False))


def test_a_sampler_that_native_code_refuses_is_not_added() -> None:
    with Model("demo") as model, SamplerChain() as chain:
        bad = c.llama_sampler_init_grammar(model.vocab.pointer, b"root ::= nowhere", b"root")
        with pytest.raises(ValueError, match="refused"):
            chain.add(bad)
        assert c.llama_sampler_chain_n(chain.pointer) == 0


def test_a_batch_is_filled_in_place_and_refuses_too_many_tokens() -> None:
    with Batch(4) as batch:
        batch.add([8, 9], 1, seq_id=0)
        native = batch.native
        assert native.n_tokens == 2
        assert [native.token[i] for i in range(2)] == [8, 9]
        assert [native.pos[i] for i in range(2)] == [1, 2]
        assert [native.logits[i] for i in range(2)] == [0, 1]
        with pytest.raises(ValueError, match="5 tokens in a batch for 4"):
            batch.add([1, 2, 3], 0, seq_id=0)


def test_an_exception_in_a_callback_surfaces_in_the_caller() -> None:
    def progress(fraction: float) -> None:
        raise ZeroDivisionError(f"at {fraction}")

    with pytest.raises(ZeroDivisionError, match="at 0"):
        Model("demo", progress=progress)


def test_a_callback_tells_native_code_to_stop() -> None:
    def broken(*_: Any) -> bool:
        raise KeyError("inside")

    callback = Callback(c.llama_progress_callback, broken, on_error=False)
    assert callback.pointer(0.5, None) is False
    with pytest.raises(KeyError, match="inside"):
        callback.reraise()
    callback.reraise()  # told once


def test_progress_goes_from_zero_to_one() -> None:
    seen: list[float] = []
    with Model("demo", progress=seen.append):
        pass
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_an_abort_flag_stops_a_decode_without_python() -> None:
    flag = AbortFlag()
    with Model("demo") as model, model.new_context(ContextParams(n_ctx=64)) as context:
        _set_abort(context, flag)
        batch = Batch(8)
        batch.add(list(range(8)), 0, seq_id=0)
        flag.set()
        assert c.llama_decode(context.pointer, batch.native) == 2
        flag.clear()
        assert c.llama_decode(context.pointer, batch.native) == 0
        batch.close()


def _set_abort(context: ContextHandle, flag: AbortFlag) -> None:
    callback = ctypes.cast(flag.address, c.ggml_abort_callback)
    c.llama_set_abort_callback(context.pointer, callback, flag.argument)


def test_native_logs_arrive_in_logging_at_their_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "llamaherd.native"), Model("demo"):
        pass
    records = [r for r in caplog.records if r.name == "llamaherd.native"]
    assert any(r.levelno == logging.INFO and "arch" in r.getMessage() for r in records)
    assert all("\n" not in r.getMessage() for r in records)
