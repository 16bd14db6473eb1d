"""Options: ranges, types, aliases and the suggestions for wrong names."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from llamaherd import ContextParams, ModelParams, OptionError, SamplingParams, UnknownOptionError
from llamaherd.declared import range_text, split_options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_p", 1.1),
        ("top_k", 2**31),
        ("top_k", 1.5),
        ("top_k", True),
        ("repeat_penalty", 0.0),
        ("mirostat", 3),
        ("seed", 2**32 - 1),
        ("max_tokens", -2),
        ("samplers", ["top_k", "top_z"]),
        ("samplers", ["top_k", "top_k"]),
        ("stop", [""]),
        ("stop", ["a", 3]),
        ("n", 0),
        ("deadline_s", 0.0),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        SamplingParams(**{name: value})
    assert caught.value.option == name


def test_an_integer_will_do_for_a_number() -> None:
    assert SamplingParams(temperature=1).temperature == 1.0
    assert isinstance(SamplingParams(temperature=1).temperature, float)


def test_a_grammar_beside_a_schema_is_refused() -> None:
    with pytest.raises(OptionError, match="json_schema"):
        SamplingParams(grammar="root ::= [a]", json_schema={})


def test_options_are_sorted_by_the_class_that_declares_them() -> None:
    model, context, sampling = split_options(
        {"n_gpu_layers": 0, "n_ctx": 512, "mirostat_mode": 2},
        ModelParams,
        ContextParams,
        SamplingParams,
    )
    assert (model, context, sampling) == ({"n_gpu_layers": 0}, {"n_ctx": 512}, {"mirostat": 2})


def test_a_wrong_name_suggests_the_nearest_one() -> None:
    with pytest.raises(UnknownOptionError, match="did you mean 'temperature'"):
        split_options({"temprature": 1}, SamplingParams)
    assert issubclass(UnknownOptionError, TypeError)


@pytest.mark.parametrize(
    ("option", "instead"),
    [("logits_all", "come without it"), ("functions", "use tools"), ("embedding", "call embed")],
)
def test_names_that_other_programs_have_say_what_to_do_instead(option: str, instead: str) -> None:
    with pytest.raises(UnknownOptionError, match=instead):
        split_options({option: 1}, SamplingParams)


def test_an_option_and_its_alias_together_are_refused() -> None:
    with pytest.raises(OptionError, match="max_tokens"):
        split_options({"max_tokens": 1, "n_predict": 2}, SamplingParams)


@pytest.mark.parametrize("kind", [ModelParams, ContextParams, SamplingParams])
def test_every_option_is_documented_and_its_default_is_valid(kind: type[Any]) -> None:
    kind()
    for spec in fields(kind):
        assert spec.metadata["doc"], spec.name
        assert isinstance(range_text(spec), str)


def test_defaults_are_not_shared_between_instances() -> None:
    SamplingParams().samplers.append("infill")
    assert "infill" not in SamplingParams().samplers
