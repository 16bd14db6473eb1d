"""Whole models: the same text with and without the plugin, and memory that is given back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gguf_files import quantise_file

from llamaherd import Llama
from llamaherd.cli.model_report import packed_bytes
from llamaherd.model import Model
from llamaherd.model.gguf import check_model
from llamaherd.model.source import DEMO, model_file
from llamaherd.native import kernels

PROMPTS = ("what is 25x5", "Tell me a joke about birds.", "translate to German: the cat sleeps")
KINDS = ("Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q4_0", "IQ4_XS", "F16", "BF16")


@pytest.fixture(scope="module", params=KINDS)
def quantised(
    plugin: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """The demo model in a type that the plugin packs."""
    target = tmp_path_factory.mktemp("models") / f"demo-{request.param}.gguf"
    quantise_file(model_file(DEMO), target, f"MOSTLY_{request.param}")
    if not packed_bytes(check_model(target)):
        pytest.skip(f"{request.param} is left to llama.cpp with {kernels.status().instructions}")
    return target


@pytest.fixture(scope="module")
def pair(quantised: Path) -> Iterator[tuple[Llama, Llama]]:
    """The same file with the plugin and without."""
    with (
        closing(Llama(quantised, n_threads=1)) as ours,
        closing(Llama(quantised, n_threads=1, kernels="off")) as stock,
    ):
        yield ours, stock


def answer(llm: Llama, prompt: str) -> Any:
    return llm.create_chat_completion(
        [{"role": "user", "content": prompt}], temperature=0, max_tokens=60
    )["choices"][0]["message"]["content"]


def mean_logprob(llm: Llama, text: str) -> float:
    """Over the prompt's own tokens."""
    said = llm.create_completion(text, max_tokens=1, echo=True, logprobs=1, temperature=0)
    values = said["choices"][0]["logprobs"]["token_logprobs"]
    return math.fsum(v for v in values if v is not None) / len(values)


def test_the_header_tells_what_will_be_packed(quantised: Path) -> None:
    promised = packed_bytes(check_model(quantised))
    before = kernels.packed_bytes()
    with Model(quantised):
        assert kernels.packed_bytes() - before == promised


def test_greedy_text_is_unchanged(pair: tuple[Llama, Llama]) -> None:
    ours, stock = pair
    for prompt in PROMPTS:
        assert answer(ours, prompt) == answer(stock, prompt)


def test_the_perplexity_is_unchanged(pair: tuple[Llama, Llama]) -> None:
    """Within 1%: stock's own two paths (use_extra_bufts on and off) differ by up to 0.4% here."""
    text = "The cat sleeps on the warm stone. What is 3 + 4? It is 7. " * 4
    ours, stock = (math.exp(-mean_logprob(llm, text)) for llm in pair)
    assert ours == pytest.approx(stock, rel=1e-2)


def test_packed_memory_is_there_and_is_given_back(quantised: Path) -> None:
    before = kernels.packed_bytes()
    with Llama(quantised, n_threads=1):
        assert kernels.packed_bytes() > before
    assert kernels.packed_bytes() == before
    with Llama(quantised, n_threads=1, kernels="off"):
        assert kernels.packed_bytes() == before
