"""The prefill limit from measured steps."""

from __future__ import annotations

from llamaherd.engine.pace import FIRST_GUESS_TOKENS, LEAST_TOKENS, PrefillPace


def test_a_step_with_a_prompt_takes_about_twice_as_long_as_one_without() -> None:
    draw_s, read_s = 0.05, 0.001
    pace = PrefillPace(2048)
    for _ in range(50):
        pace.observe(4, 0, draw_s)
        pace.observe(4, pace.limit, draw_s + pace.limit * read_s)
    assert draw_s + pace.limit * read_s <= 2.02 * draw_s
    assert pace.limit >= 45


def test_before_anything_is_known_the_limit_is_a_guess_within_the_batch() -> None:
    assert PrefillPace(2048).limit == FIRST_GUESS_TOKENS
    assert PrefillPace(16).limit == 16


def test_a_prompt_always_gets_on() -> None:
    pace = PrefillPace(2048)
    pace.observe(1, 0, 1e-6)
    pace.observe(1, 10, 10.0)
    assert pace.limit == LEAST_TOKENS


def test_steps_that_only_read_teach_nothing() -> None:
    pace = PrefillPace(2048)
    pace.observe(0, 2048, 5.0)
    assert pace.limit == FIRST_GUESS_TOKENS
