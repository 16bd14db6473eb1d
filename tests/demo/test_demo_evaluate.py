"""What counts as the right answer."""

from __future__ import annotations

import pytest

from llamaherd.demo.data import Example, held_out, prompt_and_answer
from llamaherd.demo.evaluate import misses, same_answer

CALL = '<tool_call>\n{"name": "f", "arguments": {"x": 3}}\n</tool_call>'


@pytest.mark.parametrize(
    "got",
    [
        CALL,
        CALL + "<|im_end|>",
        '<tool_call>{"name":"f","arguments":{"x":3}}</tool_call>',
    ],
)
def test_equal_calls_are_right_whatever_their_spacing(got: str) -> None:
    assert same_answer(CALL + "<|im_end|>", got)


@pytest.mark.parametrize(
    "got", ["", CALL + CALL, "So: " + CALL, CALL.replace("3", "4"), CALL.replace("}}", "")]
)
def test_other_answers_are_wrong(got: str) -> None:
    assert not same_answer(CALL, got)


def _perfect(example: Example) -> str:
    return prompt_and_answer(example)[1]


def test_a_perfect_model_misses_nothing() -> None:
    assert not list(misses("tool_two_calls", _perfect, 5))


def test_a_silent_model_misses_everything() -> None:
    wrong = list(misses("memory", lambda example: "", 5))
    assert [miss.skill for miss in wrong] == ["memory"] * 5
    assert wrong[0].expected == prompt_and_answer(held_out("memory", 0))[1]
