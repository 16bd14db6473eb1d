"""The generator: the same seed gives the same draw, and every skill renders."""

from __future__ import annotations

import json
import random
import re

import pytest

from llamaherd.demo.data import (
    SKILLS,
    TRAINING_ONLY,
    held_out,
    prompt_and_answer,
    segments,
    training_draw,
)

EVERY_SKILL = {**SKILLS, **TRAINING_ONLY}
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


@pytest.mark.parametrize("skill", EVERY_SKILL)
def test_same_seed_gives_the_same_draw(skill: str) -> None:
    draw = EVERY_SKILL[skill]
    assert draw(random.Random(3)) == draw(random.Random(3))


@pytest.mark.parametrize("skill", EVERY_SKILL)
def test_every_draw_renders_to_prompt_and_answer(skill: str) -> None:
    for seed in range(50):
        example = EVERY_SKILL[skill](random.Random(seed))
        prompt, answer = prompt_and_answer(example)
        assert prompt
        assert answer.endswith(("<|im_end|>", "<|endoftext|>"))
        text = "".join(piece for piece, _ in segments(example, 0.2))
        assert text == prompt + answer


@pytest.mark.parametrize("skill", [name for name in SKILLS if name.startswith("tool")])
def test_calls_are_json_for_offered_tools(skill: str) -> None:
    for index in range(50):
        example = held_out(skill, index)
        _, answer = prompt_and_answer(example)
        parameters = {t["function"]["name"]: t["function"]["parameters"] for t in example.tools}
        for block in _CALL.findall(example.hint + answer):
            call = json.loads(block)
            assert set(call["arguments"]) <= set(parameters[call["name"]]["properties"])


def test_held_out_draws_are_not_training_draws() -> None:
    trained = {prompt_and_answer(training_draw(random.Random(f"train 0 {step}"), 1.0))
               for step in range(2000)}  # fmt: skip
    held = {prompt_and_answer(held_out("tool_unseen", index)) for index in range(200)}
    assert not trained & held


def test_answers_count_fully_and_prompts_less() -> None:
    weights = [w for _, w in segments(held_out("memory", 0), prompt_weight=0.2)]
    assert set(weights) == {0.2, 1.0}


def test_a_hint_belongs_to_the_prompt() -> None:
    example = next(e for i in range(99) if (e := held_out("joke_json", i)).hint)
    prompt, answer = prompt_and_answer(example)
    assert prompt.endswith('{"setup":"')
    assert json.loads(example.hint + answer.removesuffix("<|im_end|>"))["setup"]
