"""Saved states and what goes when there are too many."""

from __future__ import annotations

from llamaherd.engine.snapshots import Snapshot, Snapshots


def _snapshot(n: int, size: int = 10) -> Snapshot:
    return Snapshot(tuple(range(n)), (), bytes(size))


def test_the_longest_that_fits_is_found() -> None:
    kept = Snapshots(1000)
    for n in (2, 5, 9):
        kept.add(_snapshot(n))
    found = kept.longest(list(range(20)), (), most=8)
    assert found is not None
    assert len(found.tokens) == 5
    assert kept.longest([0, 7], (), most=8) is None
    assert kept.longest(list(range(20)), (("adapter", 1.0),), most=8) is None


def test_the_least_recently_used_goes_first() -> None:
    kept = Snapshots(25)
    kept.add(_snapshot(2))
    kept.add(_snapshot(3))
    kept.longest([0, 1, 9], (), most=2)
    kept.add(_snapshot(4))
    assert kept.n_bytes == 20
    assert kept.longest([0, 1, 9], (), most=2) is not None
    assert kept.longest([0, 1, 2, 9], (), most=3) is not None
    assert len(kept.longest([0, 1, 2, 9], (), most=3).tokens) == 2  # type: ignore[union-attr]


def test_a_state_beyond_the_budget_is_not_kept() -> None:
    kept = Snapshots(5)
    kept.add(_snapshot(2))
    assert len(kept) == 0
    assert kept.n_bytes == 0
