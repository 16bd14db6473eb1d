"""LoRA adapters for each request: computed together only when equal, and never mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llamaherd import Llama, ModelLoadError, OptionError

PROMPT = [5, 6, 7, 8, 9] * 12
SCALES: list[dict[str, float] | None] = [None, {"tuned": 20.0}, {"tuned": -20.0}, {}]


@pytest.fixture
def llm(tiny_model: Path, adapter_file: Path) -> Iterator[Llama]:
    with Llama(tiny_model, n_ctx=256, n_parallel=4, n_threads=1) as loaded:
        loaded.load_lora("tuned", adapter_file)
        yield loaded


def _logprobs(llm: Llama, scales: dict[str, float] | None) -> list[float]:
    done = llm(PROMPT, lora=scales, max_tokens=8, temperature=0, ignore_eos=True, logprobs=0)
    return [float(each) for each in done["choices"][0]["logprobs"]["token_logprobs"]]


def test_requests_with_other_adapters_run_at_once_and_stay_apart(llm: Llama) -> None:
    alone = []
    for scales in SCALES:
        llm.reset()
        alone.append(_logprobs(llm, scales))
    assert alone[0] == pytest.approx(alone[3], abs=1e-4)
    assert alone[0] != pytest.approx(alone[1], abs=1e-2)
    assert alone[1] != pytest.approx(alone[2], abs=1e-2)
    llm.reset()
    with ThreadPoolExecutor(8) as callers:
        mixed = list(callers.map(lambda scales: _logprobs(llm, scales), SCALES * 4))
    for mine, expected in zip(mixed, alone * 4, strict=True):
        assert mine == pytest.approx(expected, abs=0.02)


def test_a_prefix_read_with_another_adapter_is_not_reused(llm: Llama) -> None:
    _logprobs(llm, None)
    before = llm.stats()
    _logprobs(llm, {"tuned": 1.0})
    after = llm.stats()
    assert after.cached_tokens == before.cached_tokens
    assert after.cache.misses["other_adapters"] == 1
    _logprobs(llm, {"tuned": 1.0})
    assert llm.stats().cached_tokens - after.cached_tokens == len(PROMPT) - 1


def test_the_adapter_of_lora_path_is_the_default(tiny_model: Path, adapter_file: Path) -> None:
    with Llama(tiny_model, lora_path=adapter_file, lora_scale=20.0, n_threads=1) as llm:
        tuned, plain = _logprobs(llm, None), _logprobs(llm, {})
        assert tuned == pytest.approx(_logprobs(llm, {"default": 20.0}), abs=1e-4)
        assert tuned != pytest.approx(plain, abs=1e-2)


@pytest.mark.parametrize("scales", [{"other": 1.0}, {"tuned": "strong"}, {"tuned": float("nan")}])
def test_a_bad_choice_of_adapters_is_named(llm: Llama, scales: Any) -> None:
    with pytest.raises(OptionError, match="lora"):
        llm(PROMPT, lora=scales)


def test_a_name_is_given_once_and_a_bad_file_is_refused(
    llm: Llama, adapter_file: Path, tiny_model: Path
) -> None:
    with pytest.raises(OptionError, match="tuned"):
        llm.load_lora("tuned", adapter_file)
    with pytest.raises(ModelLoadError, match="adapter"):
        llm.load_lora("another", tiny_model)


def test_a_strength_that_is_no_number_is_refused(tiny_model: Path, adapter_file: Path) -> None:
    with pytest.raises(OptionError, match="finite"):
        Llama(tiny_model, lora_path=adapter_file, lora_scale=float("nan"))
