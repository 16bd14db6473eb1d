"""Stop strings, wherever the text happens to be cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llamaherd.engine.stop import StopMatcher

letters = st.text("ab", max_size=12)
stops = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3)


def _cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(edges)] or [""]


@given(letters, stops, st.lists(st.integers(0, 100), max_size=6))
def test_text_ends_before_the_first_stop_string_however_it_is_cut(
    text: str, stop: list[str], places: list[int]
) -> None:
    matcher, shown = StopMatcher(stop), ""
    for piece in _cut(text, places):
        shown += matcher.feed(piece)
        if matcher.matched is not None:
            break
    else:
        shown += matcher.finish()
    complete = [text.find(s) + len(s) for s in stop if s in text]
    if not complete:
        assert (shown, matcher.matched) == (text, None)
    else:
        assert matcher.matched in stop
        assert not any(s in shown for s in stop)
        assert text.startswith(shown + (matcher.matched or ""))
