"""The prefill limit from measured steps."""

from __future__ import annotations

import pytest

from llamaherd.engine.pace import TILE_TOKENS, PrefillPace


@pytest.mark.parametrize(
    ("draw_s", "tile_s", "slower"),
    [(0.05, 0.06, 1.0), (0.05, 0.5, 1.0), (0.01, 0.006, 1.0), (0.07, 0.9, 1.3), (0.03, 0.4, 1.6)],
)
@pytest.mark.parametrize("n_drawing", [1, 4, 70])
def test_answers_keep_half_of_their_rate_while_a_prompt_is_read(
    n_drawing: int, draw_s: float, tile_s: float, slower: float
) -> None:
    """Also where drawing itself gets slower beside a long prompt."""
    pace = PrefillPace(2048)
    for _ in range(20):
        pace.observe(n_drawing, 0, draw_s, reading=False)
    seconds, n_read, n_steps = 0.0, 0, 0
    while n_read < 20_000:
        n = pace.limit(n_drawing)
        n_tiles = -(-(n + n_drawing) // TILE_TOKENS) if n else 0
        step_s = draw_s * slower + n_tiles * tile_s
        pace.observe(n_drawing, n, step_s, reading=True)
        seconds, n_read, n_steps = seconds + step_s, n_read + n, n_steps + 1
    assert n_steps / seconds >= 0.5 / draw_s
    whole_s = n_read / TILE_TOKENS * tile_s * (1 if n_drawing < TILE_TOKENS else 2)
    assert seconds <= 7 * whole_s, "and the prompt gets on"


def test_pieces_fill_blocks_together_with_what_is_drawn() -> None:
    pace = PrefillPace(2048)
    for n_drawing in (0, 1, 4, 63, 64, 100):
        n = pace.limit(n_drawing)
        assert n > 0
        assert (n + n_drawing) % TILE_TOKENS == 0
    assert PrefillPace(16).limit(1) == 15
    assert PrefillPace(16).limit(16) == 1


def test_fast_machines_read_many_blocks_at_once() -> None:
    pace = PrefillPace(2048)
    pace.observe(1, 0, 0.01, reading=False)
    pace.observe(1, 63, 0.02, reading=True)
    while (n := pace.limit(1)) == 0:
        pace.observe(1, 0, 0.01, reading=True)
    assert n == 2047


def test_a_prompt_always_gets_on() -> None:
    pace = PrefillPace(2048)
    pace.observe(1, 0, 1.0, reading=False)
    pace.observe(1, 10, 10.0, reading=True)
    limits = []
    for _ in range(100):
        limits.append(pace.limit(1))
        pace.observe(1, 0, 5.0, reading=True)
    assert set(limits) == {0, TILE_TOKENS - 1}


def test_what_drawing_costs_is_found_out_beside_a_prompt_if_not_before() -> None:
    pace = PrefillPace(2048)
    assert pace.limit(1) > 0
    pace.observe(1, 63, 0.5, reading=True)
    assert pace.limit(1) == 0
    pace.observe(1, 0, 0.05, reading=True)
    assert pace.limit(1) == 0, "and the answer is owed its share"


def test_a_limit_of_the_user_stays() -> None:
    pace = PrefillPace(2048, 10)
    pace.observe(1, 0, 1.0, reading=False)
    pace.observe(1, 10, 10.0, reading=True)
    assert pace.limit(1) == 10


def test_steps_that_only_read_teach_nothing() -> None:
    pace = PrefillPace(2048)
    pace.observe(0, 2048, 5.0, reading=True)
    assert pace.limit(1) == TILE_TOKENS - 1
