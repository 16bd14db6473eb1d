"""The prefill limit from measured steps."""

from __future__ import annotations

import pytest

from llamaherd.engine.pace import FIRST_GUESS_TOKENS, LEAST_TOKENS, PrefillPace


@pytest.mark.parametrize(
    ("draw_s", "read_s", "start_s"), [(0.05, 0.001, 0.0), (0.05, 0.008, 0.1), (0.01, 0.0001, 0.0)]
)
def test_answers_keep_half_of_their_rate_while_a_prompt_is_read(
    draw_s: float, read_s: float, start_s: float
) -> None:
    """Also where a small piece of a prompt costs much more a token than a large one."""
    pace = PrefillPace(2048)
    pace.observe(4, 0, draw_s)
    seconds, n_read, n_steps = 0.0, 0, 0
    while n_read < 20_000:
        n = pace.limit
        step_s = draw_s + (start_s + n * read_s if n else 0.0)
        pace.observe(4, n, step_s)
        seconds, n_read, n_steps = seconds + step_s, n_read + n, n_steps + 1
    assert n_steps / seconds >= 0.57 / draw_s
    assert seconds <= 3 * n_read * (read_s + start_s / 20), "and the prompt gets on"


def test_before_anything_is_known_the_limit_is_a_guess_within_the_batch() -> None:
    assert PrefillPace(2048).limit == FIRST_GUESS_TOKENS
    assert PrefillPace(16).limit == 16


def test_a_prompt_always_gets_on() -> None:
    pace = PrefillPace(2048)
    pace.observe(1, 0, 1.0)
    pace.observe(1, 10, 10.0)
    limits = []
    for _ in range(20):
        limits.append(pace.limit)
        pace.observe(1, 0, 1.0)
    assert set(limits) == {0, LEAST_TOKENS}


def test_steps_that_only_read_teach_nothing() -> None:
    pace = PrefillPace(2048)
    pace.observe(0, 2048, 5.0)
    assert pace.limit == FIRST_GUESS_TOKENS
