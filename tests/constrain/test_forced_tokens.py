"""What a grammar determines is read in one batch instead of being drawn token by token."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llamaherd import Llama, RequestError

PATTERN = 'start: "yes, I know it all" /[0-9]/ " and more of this"'
RECORD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "delivery_address": {"enum": ["home", "work"]},
        "confirmed_by_customer": {"type": "boolean"},
        "number_of_articles": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["delivery_address", "confirmed_by_customer", "number_of_articles"],
    "additionalProperties": False,
}


def _steps(llm: Llama, **options: Any) -> tuple[dict[str, Any], int]:
    before = llm.stats().steps
    done = llm("Hello", temperature=0, **options)
    return done, llm.stats().steps - before


def test_determined_text_costs_no_steps_of_its_own(llm: Llama) -> None:
    done, n_steps = _steps(llm, grammar=PATTERN)
    text, n_tokens = done["choices"][0]["text"], done["usage"]["completion_tokens"]
    assert text.startswith("yes, I know it all")
    assert text.endswith(" and more of this")
    assert done["choices"][0]["finish_reason"] == "stop"
    assert n_tokens > 8
    assert n_steps <= 2  # the prompt with the first part, perhaps the digit alone


def test_a_record_takes_less_than_half_of_its_tokens_in_steps(llm: Llama) -> None:
    done, n_steps = _steps(llm, json_schema=RECORD)
    assert set(json.loads(done["choices"][0]["text"])) == set(RECORD["properties"])
    assert n_steps <= done["usage"]["completion_tokens"] / 2


def test_the_text_is_what_drawing_each_token_gives(llm: Llama) -> None:
    """Whoever wants log-probabilities gets each token drawn."""
    for options in ({"json_schema": RECORD}, {"grammar": PATTERN}):
        forced, n_forced_steps = _steps(llm, **options)
        drawn, n_drawn_steps = _steps(llm, logprobs=0, **options)
        assert forced["choices"][0]["text"] == drawn["choices"][0]["text"]
        assert n_forced_steps < n_drawn_steps
        assert len(drawn["choices"][0]["logprobs"]["tokens"]) == drawn["usage"]["completion_tokens"]


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 7])
def test_limits_hold_inside_of_determined_text(llm: Llama, max_tokens: int) -> None:
    done, _ = _steps(llm, grammar=PATTERN, max_tokens=max_tokens)
    assert done["usage"]["completion_tokens"] == max_tokens
    assert done["choices"][0]["finish_reason"] == "length"


def test_a_stop_string_ends_determined_text(llm: Llama) -> None:
    done, _ = _steps(llm, grammar=PATTERN, stop="know")
    assert done["choices"][0]["text"] == "yes, I "
    assert done["choices"][0]["finish_reason"] == "stop"
    assert done["usage"]["completion_tokens"] < 8


def test_a_grammar_that_leaves_no_choice_needs_no_draw(llm: Llama) -> None:
    done, n_steps = _steps(llm, grammar='start: "yes, of course"')
    assert done["choices"][0]["text"] == "yes, of course"
    assert done["choices"][0]["finish_reason"] == "stop"
    assert n_steps == 1


def test_determined_tokens_that_are_banned_are_an_error(llm: Llama) -> None:
    (comma,) = llm.tokenize(",", add_bos=False)
    with pytest.raises(RequestError, match="every token that could follow"):
        llm("Hello", grammar='start: "yes, of course"', logit_bias={comma: False})


def test_a_stream_of_determined_text_comes_whole(llm: Llama) -> None:
    chunks = llm("Hello", grammar=PATTERN, temperature=0, stream=True)
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert text == llm("Hello", grammar=PATTERN, temperature=0)["choices"][0]["text"]


def test_penalties_see_determined_tokens_once(llm: Llama) -> None:
    options = {"repeat_penalty": 1.3, "frequency_penalty": 0.5, "repeat_last_n": 32}
    forced, _ = _steps(llm, json_schema=RECORD, **options)
    drawn, _ = _steps(llm, json_schema=RECORD, logprobs=0, **options)
    assert forced["choices"][0]["text"] == drawn["choices"][0]["text"]


def test_constrained_and_free_requests_share_steps(llm: Llama) -> None:
    """Eight at once, in a context that four share: each is what it is alone."""
    prompts = [f"Number {n}" for n in range(8)]
    options: list[dict[str, Any]] = [
        {"json_schema": RECORD} if n % 2 else {"max_tokens": 20} for n in range(8)
    ]
    alone = [llm(p, temperature=0, **o) for p, o in zip(prompts, options, strict=True)]

    def answer(prompt: str, chosen: dict[str, Any]) -> Any:
        return llm(prompt, temperature=0, **chosen)

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(answer, prompts, options))
    for one, other in zip(alone, together, strict=True):
        assert one["choices"][0]["text"] == other["choices"][0]["text"]


def test_guesses_are_checked_against_determined_tokens() -> None:
    """Prompt lookup guesses the record that the prompt holds; the answer is what it was."""
    record = '{"delivery_address":"work","confirmed_by_customer":true,"number_of_articles":7}'
    prompt = f"{record}\n{record}\n"
    options: dict[str, Any] = {"json_schema": RECORD, "temperature": 0}
    with Llama("demo", n_ctx=512, n_threads=1) as plain:
        expected = plain(prompt, **options)["choices"][0]["text"]
    with Llama("demo", n_ctx=512, n_threads=1, draft_model="prompt_lookup") as guessing:
        for _ in range(3):
            assert guessing(prompt, **options)["choices"][0]["text"] == expected
