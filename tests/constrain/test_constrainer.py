"""Answers that must match a grammar or a schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llamaherd import GrammarError, Llama, RequestError
from llamaherd.constrain import Constrainer


@pytest.mark.parametrize("seed", range(5))
def test_an_answer_is_an_instance_of_its_schema(llm: Llama, seed: int) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "ok": {"type": "boolean"}},
        "required": ["name", "ok"],
        "additionalProperties": False,
    }
    done = llm("Hello", json_schema=schema, seed=seed, temperature=9.0, max_tokens=200)
    text = done["choices"][0]["text"]
    value = json.loads(text)
    assert set(value) == {"name", "ok"}
    assert isinstance(value["ok"], bool)
    assert text == json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert done["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "grammar", ['root ::= ("yes" | "no") "!"', 'start: ("yes" | "no") "!"'], ids=["gbnf", "lark"]
)
def test_an_answer_matches_its_grammar(llm: Llama, grammar: str) -> None:
    done = llm("Hello", grammar=grammar, temperature=3.0, seed=1)
    assert done["choices"][0]["text"] in ("yes!", "no!")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_ends_where_its_grammar_ends(llm: Llama, temperature: float) -> None:
    options: dict[str, Any] = {"temperature": temperature, "ignore_eos": True, "max_tokens": 30}
    done = llm("Hello", grammar='root ::= "yes"', **options)
    assert done["choices"][0]["text"] == "yes"
    assert done["choices"][0]["finish_reason"] == "stop"


def test_a_grammar_whose_tokens_are_all_banned_is_an_error(llm: Llama) -> None:
    banned = {token: False for token in range(llm.n_vocab()) if llm.detokenize([token])[:1] == b"y"}
    with pytest.raises(RequestError):
        llm("Hello", grammar='root ::= "yes"', logit_bias=banned)


@pytest.mark.parametrize(
    "options",
    [
        {"grammar": "root ::= nowhere"},
        {"grammar": "root ::= ("},
        {"grammar": ""},
        {"json_schema": {"type": "nothing"}},
        {"json_schema": {"type": "object", "$ref": "#/nowhere"}},
    ],
)
def test_what_cannot_be_enforced_is_an_error_before_anything_runs(
    llm: Llama, options: dict[str, Any]
) -> None:
    with pytest.raises(GrammarError):
        llm("Hello", **options)
    assert llm("Hello", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_a_schema_is_compiled_once_for_all_requests(llm: Llama) -> None:
    constrainer = Constrainer(llm.model.vocab)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    first = constrainer.compile(json_schema=schema)
    again = constrainer.compile(json_schema=dict(schema))
    assert first is not None
    assert again is not None
    assert constrainer.n_compiled == 1
    first.accept(first.forced()[0])
    assert again.forced() == constrainer.compile(json_schema=schema).forced()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"json_schema": {"enum": ["x" * 2000 + str(i) for i in range(1000)]}}, "at most"),
        ({"json_schema": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}}, "nothing"),
        ({"json_schema": {"type": "integer", "minimum": 5, "maximum": 3}}, "minimum"),
        ({"json_schema": {"type": "array", "uniqueItems": True}}, "uniqueItems"),
        ({"json_schema": {"not": {"type": "string"}}}, "not"),
        ({"grammar": "start: /[a&&b]/"}, "nothing"),
    ],
)
def test_what_is_too_large_or_impossible_is_named(
    llm: Llama, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(GrammarError, match=said):
        llm("Hello", **options)
