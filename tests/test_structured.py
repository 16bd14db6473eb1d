"""Answers of a given form: formats of every kind, and Python types."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from llamaherd import GrammarError, Llama, OptionError, StructuredOutputError

JOKE: list[dict[str, Any]] = [{"role": "user", "content": "Tell me a joke about cats."}]


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str = Field(description="what makes it funny")


class Cat(TypedDict):
    name: str
    lives: Literal[7, 9]


@dataclasses.dataclass
class Verdict:
    funny: bool


class Nested(BaseModel):
    first: Verdict
    others: list[Verdict] = Field(max_length=2)


class Stern(BaseModel):
    number: int = Field(ge=0, le=9)

    @field_validator("number")
    @classmethod
    def never(cls, number: int) -> int:
        raise ValueError("no number will do")


def _ask(llm: Llama, **options: Any) -> str:
    done = llm.create_chat_completion(JOKE, temperature=0, **options)
    assert done["choices"][0]["finish_reason"] == "stop"
    content: str = done["choices"][0]["message"]["content"]
    return content


def test_parse_gives_an_instance(llm: Llama) -> None:
    joke = llm.parse(JOKE, Joke, temperature=0)
    assert type(joke) is Joke
    assert "cat" in joke.setup
    assert joke.punchline


def test_parse_says_which_argument_is_which(llm: Llama) -> None:
    swapped: Any = (Joke, JOKE)
    with pytest.raises(OptionError, match=r"messages=.*in this order"):
        llm.parse(*swapped)
    with pytest.raises(OptionError, match=r"in this order"):
        asyncio.run(llm.aparse(*swapped))
    for wrong in ("Joke", {"type": "object"}, JOKE, 3):
        no_type: Any = wrong
        with pytest.raises(OptionError, match=r"kind=.*expected a type"):
            llm.parse(JOKE, no_type)


@pytest.mark.parametrize("kind", [Cat, Verdict, Nested])
def test_parse_takes_every_kind_of_type(llm: Llama, kind: Any) -> None:
    found = llm.parse(JOKE, kind, temperature=0)
    if kind is Cat:
        assert set(found) == {"name", "lives"}
    else:
        assert type(found) is kind


def test_parse_for_coroutines(llm: Llama) -> None:
    assert asyncio.run(llm.aparse(JOKE, Joke, temperature=0)) == llm.parse(
        JOKE, Joke, temperature=0
    )


def test_an_answer_that_was_cut_off_is_an_error_with_its_text(llm: Llama) -> None:
    with pytest.raises(StructuredOutputError, match="length") as caught:
        llm.parse(JOKE, Joke, temperature=0, max_tokens=8)
    assert caught.value.finish_reason == "length"
    assert caught.value.partial_text.startswith('{"setup":"')


def test_what_only_a_validator_knows_is_an_error_with_the_text(llm: Llama) -> None:
    with pytest.raises(StructuredOutputError, match="no number will do") as caught:
        llm.parse(JOKE, Stern, temperature=0)
    assert set(json.loads(caught.value.partial_text)) == {"number"}


@pytest.mark.parametrize("kind", [Joke, Cat])
def test_a_type_is_a_response_format(llm: Llama, kind: Any) -> None:
    assert json.loads(_ask(llm, response_format=kind))


@pytest.mark.parametrize(
    "form",
    [
        {"type": "regex", "regex": r"[A-Z][a-z]{2,5}, \d{2}/\d{2}!"},
        {"type": "choice", "choice": ["yes, indeed", "no", '"quoted" \\ <|im_end|>']},
        {"type": "grammar", "grammar": 'root ::= "a" [0-9] "}"'},
        {"type": "grammar", "grammar": 'start: X "b"\nX: /[0-9]{3}/'},
    ],
)
def test_an_answer_keeps_to_its_form(llm: Llama, form: dict[str, Any]) -> None:
    text = _ask(llm, response_format=form)
    patterns = {"regex": form.get("regex"), "grammar": r"a\d\}|\d{3}b"}
    if form["type"] == "choice":
        assert text in form["choice"]
    else:
        assert re.fullmatch(patterns[form["type"]] or "", text)


def test_a_form_beside_tools_gives_a_call_or_such_a_text(llm: Llama) -> None:
    def get_weather(location: str) -> str:
        """Get the weather."""
        return location

    form = {"type": "choice", "choice": ["meow", "purr"]}
    done = llm.create_chat_completion(
        JOKE, tools=[get_weather], response_format=form, temperature=0
    )
    message = done["choices"][0]["message"]
    assert message.get("tool_calls") or message["content"] in form["choice"]


def test_strict_closes_every_object(llm: Llama) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {"b": {"type": "boolean"}}}},
        "required": ["a"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    for seed in range(5):
        done = llm.create_chat_completion(
            JOKE, response_format=form, temperature=3.0, seed=seed, max_tokens=200
        )
        found = json.loads(done["choices"][0]["message"]["content"])
        assert set(found) == {"a"}
        assert set(found["a"]) <= {"b"}


@pytest.mark.parametrize(
    "form",
    [
        {"type": "regex"},
        {"type": "regex", "regex": ""},
        {"type": "choice", "choice": []},
        {"type": "choice", "choice": "yes"},
        {"type": "choice", "choice": [1]},
        {"type": "grammar", "grammar": None},
        {"type": ["regex"]},
        {"type": "json_schema", "json_schema": {"schema": {}, "strict": "yes"}},
        int,
    ],
)
def test_a_malformed_format_is_named(llm: Llama, form: Any) -> None:
    if form is int:
        assert _ask(llm, response_format=int).lstrip("-").isdigit()
        return
    with pytest.raises(OptionError, match="response_format"):
        _ask(llm, response_format=form)


def test_an_unknown_format_names_those_that_there_are(llm: Llama) -> None:
    with pytest.raises(OptionError, match=r"'text'.*'json_schema'.*'grammar'"):
        _ask(llm, response_format={"type": "xml"})


def test_a_type_without_a_schema_is_named(llm: Llama) -> None:
    class Odd:
        """Nothing that JSON could write."""

    with pytest.raises(OptionError, match="JSON schema"):
        _ask(llm, response_format=Odd)


@pytest.mark.parametrize(
    "form", [{"type": "regex", "regex": "(a"}, {"type": "grammar", "grammar": "root ::= nowhere"}]
)
def test_a_form_that_does_not_compile_is_an_error_before_anything_runs(
    llm: Llama, form: dict[str, Any]
) -> None:
    before = llm.stats().steps
    with pytest.raises(GrammarError):
        _ask(llm, response_format=form)
    assert llm.stats().steps == before


def test_parse_leaves_no_room_for_another_format(llm: Llama) -> None:
    with pytest.raises(OptionError, match="response_format"):
        llm.parse(JOKE, Joke, response_format={"type": "text"})
