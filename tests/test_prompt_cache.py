"""Saved prompts: what was read once is not read again, and nothing else's memory is ever used."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from llamaherd import Llama, OptionError, SavedPromptError
from llamaherd.engine.saved_prompts import SUFFIX

SYSTEM = "<|im_start|>system\n" + "You are a helpful assistant. " * 20 + "<|im_end|>\n"
QUESTION = "<|im_start|>user\nwhat is 25x5<|im_end|>\n<|im_start|>assistant\n"
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 16}


def _load(folder: Path | None = None, **options: Any) -> Llama:
    return Llama("demo", n_ctx=1024, n_threads=1, prompt_cache=folder, **options)


def _text(response: dict[str, Any]) -> str:
    return str(response["choices"][0]["text"])


def test_a_saved_prompt_is_restored_by_the_next_process(tmp_path: Path) -> None:
    with _load(tmp_path) as llm:
        path = llm.save_prompt(SYSTEM)
        n_saved = len(llm.tokenize(SYSTEM, special=True)) - 1
        expected = _text(llm(SYSTEM + QUESTION, **GREEDY))
    assert path.parent == tmp_path
    assert path.name.endswith(SUFFIX)
    with _load(tmp_path) as llm:
        answer = llm(SYSTEM + QUESTION, **GREEDY)
        assert _text(answer) == expected
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == n_saved
        llm._engine._worker.check_integrity()


def test_a_conversation_is_saved_with_its_tools_and_goes_on(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Nice to meet you, Ada!"},
    ]
    with _load() as llm:
        path = llm.save_prompt(messages, tmp_path / "talk")
        before = llm.stats().cached_tokens
        llm.reset()
        n = llm.load_prompt(path)
        more = [*messages, {"role": "user", "content": "What is my name?"}]
        llm.create_chat_completion(more, **GREEDY)
        assert llm.stats().cached_tokens - before == n > 10


def test_saving_what_is_in_memory_already_reads_next_to_nothing(tmp_path: Path) -> None:
    with _load(tmp_path) as llm:
        llm(SYSTEM + QUESTION, max_tokens=1)
        before = llm.stats().prompt_tokens
        llm.save_prompt(SYSTEM)
        assert llm.stats().prompt_tokens - before <= 2


@pytest.mark.parametrize("options", [{"type_k": "q8_0"}, {"flash_attn": False}])
def test_another_cache_does_not_take_it(tmp_path: Path, options: dict[str, Any]) -> None:
    with _load(tmp_path) as llm:
        path = llm.save_prompt(SYSTEM)
    with _load(tmp_path, **options) as llm:
        with pytest.raises(SavedPromptError, match="made by"):
            llm.load_prompt(path)
        assert llm.stats().cache.snapshots == 0


def test_another_model_does_not_take_it(tmp_path: Path, tiny_model: Path) -> None:
    with _load(tmp_path) as llm:
        path = llm.save_prompt(SYSTEM)
    with Llama(tiny_model, n_threads=1) as other, pytest.raises(SavedPromptError, match="made by"):
        other.load_prompt(path)


def test_a_damaged_file_is_refused_wherever_the_damage_lies(tmp_path: Path) -> None:
    with _load() as llm:
        path = llm.save_prompt("Hello, world", tmp_path / "saved")
        whole = path.read_bytes()
        dice = random.Random(1)
        for _ in range(300):
            at = dice.randrange(len(whole))
            broken = bytearray(whole)
            broken[at] ^= 1 << dice.randrange(8)
            path.write_bytes(broken if dice.random() < 0.7 else broken[:at])
            try:
                llm.load_prompt(path)
            except SavedPromptError:
                continue
            assert _text(llm("Hello, world", **GREEDY)), "damage where no content lies"


def test_a_missing_file_and_a_missing_place_are_errors(tmp_path: Path) -> None:
    with _load() as llm:
        with pytest.raises(SavedPromptError, match="No such file"):
            llm.load_prompt(tmp_path / "nothing")
        with pytest.raises(OptionError, match="prompt_cache=FOLDER"):
            llm.save_prompt(SYSTEM)
        with pytest.raises(OptionError, match="two tokens"):
            llm.save_prompt([5], tmp_path / "short")
