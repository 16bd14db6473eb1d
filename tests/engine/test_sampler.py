"""How tokens are drawn: every sampler, biases, processors, and what native code must never see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llamaherd import DecodeError, Llama, OptionError, RequestError


def _text(response: dict[str, Any]) -> str:
    return str(response["choices"][0]["text"])


def test_a_banned_token_is_not_drawn(llm: Llama) -> None:
    first = next(llm.generate(llm.tokenize("Hello"), temperature=0))
    for banned in ({first: False}, {str(first): -100}):
        drawn = llm.generate(llm.tokenize("Hello"), temperature=0, logit_bias=banned)
        assert next(drawn, None) != first


def test_a_wanted_token_is_drawn(llm: Llama) -> None:
    wanted = llm.tokenize("7", add_bos=False)[-1]
    drawn = next(llm.generate(llm.tokenize("Hello"), logit_bias={wanted: 1000}))
    assert drawn == wanted


@pytest.mark.parametrize(
    "bias", [{-1: 1.0}, {10**9: 1.0}, {"x": 1.0}, {0: "much"}, {0: True}, {0: 1e9}]
)
def test_a_bias_for_no_token_is_refused(llm: Llama, bias: dict[Any, Any]) -> None:
    with pytest.raises(OptionError, match="logit_bias"):
        llm("Hello", logit_bias=bias)


def test_a_logits_processor_decides(llm: Llama) -> None:
    wanted = llm.tokenize("7", add_bos=False)[-1]

    def only(ids: Any, logits: Any) -> Any:
        assert ids[-1] >= 0
        forced = np.full_like(logits, -np.inf)
        forced[wanted] = 0.0
        return forced

    assert _text(llm("Hello", logits_processor=[only], max_tokens=3)) == "777"


def test_logits_that_leave_no_token_are_an_error(llm: Llama) -> None:
    with pytest.raises(RequestError, match="every token"):
        llm("Hello", logits_processor=[lambda _ids, logits: np.full_like(logits, -np.inf)])


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"mirostat": 2}])
def test_banning_all_tokens_is_an_error(llm: Llama, options: dict[str, Any]) -> None:
    banned = dict.fromkeys(range(llm.n_vocab()), False)
    with pytest.raises(RequestError, match="banned"):
        llm("Hello", logit_bias=banned, **options)


def test_a_model_that_computes_no_numbers_is_an_error(tiny_model: Path) -> None:
    with Llama(tiny_model, rope_freq_scale=1e300) as model, pytest.raises(DecodeError):
        model("the the the", max_tokens=4, logprobs=1)


def test_a_logits_processor_may_work_in_place_and_keep_what_it_was_given(llm: Llama) -> None:
    kept: list[Any] = []
    wanted = llm.tokenize("7", add_bos=False)[-1]

    def only(_ids: Any, logits: Any) -> None:
        kept.append(logits)
        logits[:] = -np.inf
        logits[wanted] = 0.0

    assert _text(llm("Hello", logits_processor=[only], max_tokens=2)) == "77"
    kept[0][:] = 1.0  # a copy: native memory is not touched


@pytest.mark.parametrize("made", [1.0, np.zeros(3), "text", np.zeros(3, complex)])
def test_a_logits_processor_that_returns_something_else_is_named(llm: Llama, made: Any) -> None:
    with pytest.raises(OptionError, match="logits_processor"):
        llm("Hello", logits_processor=[lambda _ids, _logits: made])


def test_a_logits_processor_cannot_wait_for_its_own_model(llm: Llama) -> None:
    with pytest.raises(RequestError, match="wait for itself"):
        llm("Hello", logits_processor=[lambda _ids, _logits: llm("hi")])
    assert llm("Hello", max_tokens=1)["choices"]


def test_not_even_an_exit_in_a_logits_processor_stops_the_engine(llm: Llama) -> None:
    def leave(_ids: Any, _logits: Any) -> Any:
        raise SystemExit

    with pytest.raises(SystemExit):
        llm("Hello", logits_processor=[leave])
    assert llm("Hello", max_tokens=1)["choices"]


def test_an_error_in_a_logits_processor_surfaces_and_the_engine_goes_on(llm: Llama) -> None:
    def broken(_ids: Any, _logits: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        llm("Hello", logits_processor=[broken])
    assert llm("Hello", max_tokens=1)["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"mirostat": 1},
        {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.2},
        {"adaptive_target": 0.3, "adaptive_decay": 0.5},
        {"dry_multiplier": 0.8, "dry_penalty_last_n": 32, "dry_sequence_breakers": ["x"]},
        {"repeat_penalty": 1.3, "presence_penalty": 0.2, "frequency_penalty": 0.1},
        {"repeat_penalty": 1.3, "last_n_tokens_size": -1},
        {"xtc_probability": 0.5, "xtc_threshold": 0.05},
        {"top_n_sigma": 1.0},
        {"typical_p": 0.7, "min_keep": 2},
        {"dynatemp_range": 0.5, "dynatemp_exponent": 1.2},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.0},
        {"samplers": ["temperature", "top_k"]},
        {"samplers": []},
        {"samplers": ["top_k", "infill"]},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_sampler_runs_and_its_seed_repeats(llm: Llama, options: dict[str, Any]) -> None:
    answers = {_text(llm("Hello", seed=11, max_tokens=10, **options)) for _ in range(2)}
    assert len(answers) == 1


def test_the_order_of_samplers_matters(llm: Llama) -> None:
    """Top-k 1 first leaves one token; dropped from the chain, heat decides."""
    hot: dict[str, Any] = {"temperature": 50.0, "top_k": 1, "max_tokens": 10, "seed": 1}
    assert _text(llm("Hello", **hot)) == _text(llm("Hello", temperature=0, max_tokens=10))
    assert _text(llm("Hello", **hot, samplers=["temperature"])) != _text(llm("Hello", **hot))


def test_a_repeat_penalty_changes_what_repeats(llm: Llama) -> None:
    prompt = llm.tokenize("one one one one one one")
    free = list(llm.generate(prompt, temperature=0, max_tokens=20, ignore_eos=True))
    fined = list(
        llm.generate(prompt, temperature=0, max_tokens=20, ignore_eos=True, repeat_penalty=5.0)
    )
    assert len(set(fined)) >= len(set(free))
    assert fined != free
