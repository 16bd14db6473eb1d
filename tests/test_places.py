"""Ids that stand for embeddings: what they say of positions and of cuts."""

from __future__ import annotations

from llamaherd.places import end_in_memory, ids_of, n_in_memory, n_positions, whole_beginning

PLAIN, GRID = ids_of(5, 3), ids_of(6, 6, 3)
PROMPT = [1, 2, *PLAIN, 3, *GRID, 4, 5]


def test_ids_are_negative_and_stand_for_content() -> None:
    assert ids_of(5, 3) == PLAIN
    assert len({*PLAIN, *GRID, *ids_of(7, 3)}) == 12
    assert max(PLAIN + GRID) < 0


def test_a_grid_takes_fewer_positions_than_places() -> None:
    assert n_positions(PROMPT) == 2 + 3 + 1 + 3 + 2
    assert n_positions(PROMPT[:6]) == 6


def test_only_grids_cannot_be_cut() -> None:
    assert [whole_beginning(PROMPT, n) for n in range(15)] == [*range(7), *[6] * 5, 12, 13, 14]


def test_memory_tells_of_a_grid_only_its_moment() -> None:
    ends = [end_in_memory(PROMPT[:n]) for n in range(15)]
    assert ends == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7, 10, 11]
    assert [n_in_memory(PROMPT, end) for end in (0, 4, 6, 7, 9, 10, 11, 99)] == [
        0, 4, 6, 12, 12, 13, 14, 14,
    ]  # fmt: skip
