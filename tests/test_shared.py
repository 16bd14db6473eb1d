"""One loaded model for everyone who asks for the same."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llamaherd import Llama, shared
from llamaherd.errors import ModelLoadError, OptionError, UnknownOptionError
from llamaherd.shared import shared_llama


def test_equal_options_give_the_same_llama(tiny_model: Path) -> None:
    assert shared_llama(tiny_model, n_ctx=64) is shared_llama(tiny_model, n_ctx=64)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"n_batch": 2048}),
        ({}, {"lora_scale": 1}),
        ({}, {"verbose": True}),
        ({}, {"progress": lambda done: None}),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"n_predict": 5}, {"max_tokens": 5}),
        ({"tensor_split": (1, 2)}, {"tensor_split": [1, 2]}),
        ({"n_ctx": 64, "n_batch": 32}, {"n_batch": 32, "n_ctx": 64}),
    ],
)
def test_options_are_compared_by_meaning(
    tiny_model: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first = shared_llama(tiny_model, **one)
    assert shared_llama(tiny_model, **other) is first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n_ctx": 64}, {"n_ctx": 128}),
        ({}, {"temperature": 0.8}),  # the model's file may recommend another
        ({"temperature": 0}, {"temperature": 1}),
        ({"kv_overrides": {"a.b": 1}}, {"kv_overrides": {"a.b": True}}),
        ({"kv_overrides": {"a.b": 1}}, {"kv_overrides": {"a.b": 1.0}}),
        ({}, {"chat_template": "{{ messages }}"}),
        ({}, {"draft_model": "prompt_lookup"}),
    ],
)
def test_other_options_give_another_llama(
    tiny_model: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first = shared_llama(tiny_model, **one)
    assert shared_llama(tiny_model, **other) is not first


def test_paths_are_compared_resolved(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    (tmp_path / "link.gguf").symlink_to(tiny_model)
    first = shared_llama(tiny_model)
    assert shared_llama(f"./{tiny_model.name}") is first
    assert shared_llama(tmp_path / "link.gguf") is first


def test_the_demo_model_is_a_file_like_others() -> None:
    first = shared_llama("demo", n_ctx=256)
    assert shared_llama(first.model.path, n_ctx=256) is first


def test_a_file_that_changed_is_loaded_anew(tiny_model: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_model, tmp_path))
    first = shared_llama(path)
    os.utime(path, ns=(1, 1))
    assert shared_llama(path) is not first


def test_adapters_are_compared_by_file(tiny_model: Path, adapter_file: Path) -> None:
    first = shared_llama(tiny_model, lora_path=adapter_file)
    assert shared_llama(tiny_model, lora_path=str(adapter_file)) is first
    assert shared_llama(tiny_model, lora_path=adapter_file, lora_scale=0.5) is not first
    assert shared_llama(tiny_model) is not first


def test_a_llama_that_nobody_holds_is_closed(tiny_model: Path) -> None:
    llama = shared_llama(tiny_model)
    engine, gone = llama._engine, weakref.ref(llama)
    del llama
    gc.collect()
    assert gone() is None
    assert engine.closed


def test_after_close_the_next_gets_a_new_one(tiny_model: Path) -> None:
    first = shared_llama(tiny_model)
    first.close()
    second = shared_llama(tiny_model)
    assert second is not first
    assert not second.closed


def test_many_threads_load_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Llama] = []
    _count_loads(monkeypatch, loads.append)
    start, found = threading.Barrier(8), []

    def ask() -> None:
        start.wait()
        found.append(shared_llama(tiny_model))

    _in_threads([ask] * 8)
    assert len(loads) == 1
    assert found == loads * 8


def test_another_model_is_not_kept_waiting(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_load, go_on = threading.Event(), threading.Event()

    def wait_if_small(llama: Llama) -> None:
        if llama.n_ctx() == 256:
            in_load.set()
            assert go_on.wait(60)

    _count_loads(monkeypatch, wait_if_small)
    slow = threading.Thread(target=shared_llama, args=(tiny_model,), kwargs={"n_ctx": 256})
    slow.start()
    assert in_load.wait(60)
    assert shared_llama(tiny_model, n_ctx=512).n_ctx() == 512
    go_on.set()
    slow.join()


def test_errors_are_those_of_llama_and_nothing_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="does not exist"):
        shared_llama(tmp_path / "missing.gguf")
    with pytest.raises(UnknownOptionError, match="n_ctx"):
        shared_llama(tiny_model, n_ctxx=5)
    with pytest.raises(OptionError):
        shared_llama(tiny_model, n_ctx=-5)
    with pytest.raises(ModelLoadError):
        shared_llama(tiny_model, lora_path=tmp_path / "missing.gguf")
    gc.collect()
    assert not [key for key in shared._turns if "missing" in repr(key)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_loads_its_own(tiny_model: Path) -> None:
    first = shared_llama(tiny_model)
    child = os.fork()
    if child == 0:
        same = first.closed and shared_llama(tiny_model) is not first
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not first.closed


def _count_loads(monkeypatch: pytest.MonkeyPatch, then: Callable[[Llama], None]) -> None:
    def load(*args: Any, **options: Any) -> Llama:
        llama = Llama(*args, **options)
        then(llama)
        return llama

    monkeypatch.setattr(shared, "Llama", load)


def _in_threads(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
