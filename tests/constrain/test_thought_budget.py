"""Thoughts end when they have had their tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from llamaherd import Llama, OptionError
from llamaherd.constrain import ThoughtBudget
from llamaherd.model import IncrementalDetokenizer

OPENED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
UNOPENED = OPENED.replace("assistant\n<think>\n", "assistant\n")
QUESTION = [{"role": "user", "content": "Tell me a joke about cats."}]
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def thinker() -> Iterator[Llama]:
    """The demo model, whose prompt opens a thought that it never learned to end."""
    with Llama("demo", n_ctx=512, n_threads=1, chat_template=OPENED) as llm:
        yield llm


def _ask(llm: Llama, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    done = llm.create_chat_completion(QUESTION, temperature=0, **options)
    return done["choices"][0], done["usage"]


@pytest.mark.parametrize("budget", [1, 5, 12])
def test_a_thought_ends_at_its_budget_and_the_answer_follows(thinker: Llama, budget: int) -> None:
    choice, usage = _ask(thinker, reasoning_budget_tokens=budget, max_tokens=60, ignore_eos=True)
    message = choice["message"]
    assert 0 < len(thinker.tokenize(message["reasoning_content"], add_bos=False)) <= budget
    assert message["content"]
    assert "</think>" not in message["content"] + message["reasoning_content"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] >= budget


def test_no_budget_is_no_thought(thinker: Llama) -> None:
    choice, _ = _ask(thinker, reasoning_budget_tokens=0, max_tokens=20)
    assert "reasoning_content" not in choice["message"]
    assert choice["message"]["content"]


def test_without_a_bound_the_thought_goes_on(thinker: Llama) -> None:
    for unbounded in (None, -1):
        choice, _ = _ask(thinker, reasoning_budget_tokens=unbounded, max_tokens=30, ignore_eos=True)
        assert choice["message"]["content"] == ""


def test_the_answer_behind_a_bounded_thought_keeps_to_its_schema(thinker: Llama) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    for more in ({}, {"logprobs": True}):
        choice, _ = _ask(thinker, reasoning_budget_tokens=7, response_format=form, **more)
        assert set(json.loads(choice["message"]["content"])) == {"ok"}
        assert choice["message"]["reasoning_content"]


def test_a_thought_that_the_model_opens_is_bounded_too() -> None:
    grammar = 'start: "<think>\\n" /[a-z ]{60,90}/ "\\n</think>\\n\\n" "four"'
    with Llama("demo", n_ctx=512, n_threads=1, chat_template=UNOPENED) as llm:
        plain, _ = _ask(llm, grammar=grammar)
        assert plain["message"]["content"] == "four"
        shorter = grammar.replace("{60,90}", "{0,90}")
        bounded, usage = _ask(llm, grammar=shorter, reasoning_budget_tokens=4)
        assert bounded["message"]["content"] == "four"
        assert usage["completion_tokens"] < 25


def test_a_model_without_thoughts_keeps_to_any_budget(llm: Llama) -> None:
    choice, _ = _ask(llm, reasoning_budget_tokens=3)
    assert choice["message"]["content"]


def test_a_budget_out_of_range_is_refused(thinker: Llama) -> None:
    with pytest.raises(OptionError, match="reasoning_budget_tokens"):
        _ask(thinker, reasoning_budget_tokens=-2)


class _Thinking:
    in_thought = True

    def feed(self, text: str) -> None:
        self.in_thought = "#" not in text


def test_a_character_that_has_begun_is_finished_first(llm: Llama) -> None:
    vocab = llm.model.vocab
    letter = next(
        tokens
        for tokens in (llm.tokenize(chr(code), add_bos=False) for code in range(0x4E00, 0x9FFF))
        if len(tokens) > 1 and all(len(vocab.token_bytes(t)) < 3 for t in tokens)
    )
    closing = llm.tokenize("#", add_bos=False)
    budget = ThoughtBudget(1, closing, _Thinking(), IncrementalDetokenizer(vocab))
    for token in letter:
        assert budget.forced() == ()
        budget.accept(token)
    assert list(budget.forced()) == closing
    logits = np.zeros(len(vocab), dtype=np.float32)
    budget.mask(logits)
    assert np.flatnonzero(logits == 0).tolist() == closing
    budget.accept(closing[0])
    assert budget.forced() == ()
