"""The pure part of responses: positions in a text, counts, times."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llamaherd.engine import FinishEvent, Timings
from llamaherd.responses import TextPosition, timings, usage


@given(st.text(max_size=20), st.lists(st.integers(0, 80), max_size=8))
def test_positions_count_characters_wherever_the_bytes_are_cut(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    position = TextPosition()
    for begin, end in pairwise(edges):
        whole_before = data[:begin].decode("utf-8", "ignore")
        assert position.advance(data[begin:end]) == len(whole_before)


def _finish(times: Timings, n_generated: int = 10) -> FinishEvent:
    return FinishEvent("stop", None, n_prompt=8, n_cached=3, n_generated=n_generated, timings=times)


def test_times_and_rates_follow_the_moments() -> None:
    found = timings(_finish(Timings(queued=1.0, started=2.0, first_token=4.0, ended=9.0)))
    assert (found["queued_ms"], found["prompt_ms"], found["predicted_ms"]) == (1e3, 2e3, 5e3)
    assert (found["cache_n"], found["prompt_n"], found["predicted_n"]) == (3, 5, 10)
    assert found["prompt_per_second"] == 2.5
    assert found["predicted_per_second"] == 2.0
    assert found["predicted_per_token_ms"] == 500.0


def test_a_request_that_never_started_has_no_rates() -> None:
    found = timings(_finish(Timings(1.0, None, None, 2.0), n_generated=0))
    assert found["queued_ms"] == 1e3
    assert found["prompt_n"] == 0
    assert found["predicted_per_second"] == 0.0


def test_choices_share_the_count_of_their_prompt() -> None:
    finish = _finish(Timings(0.0, 0.0, 1.0, 2.0))
    assert usage([finish, finish], n=2) == {
        "prompt_tokens": 8,
        "completion_tokens": 20,
        "total_tokens": 28,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
