"""Pieces of a text become what the whole would have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from llamaherd.embed.pooling import Vector, combine, normalized, shortened

Pool = Callable[[Vector], Vector]
TOKENS: Vector = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
PIECES = [TOKENS[:6], TOKENS[6:]]
POOLED: dict[str, Pool] = {
    "mean": lambda rows: rows.mean(axis=0),
    "cls": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "none": lambda rows: rows,
}


@pytest.mark.parametrize("pooling", POOLED)
def test_pieces_give_what_the_whole_gives(pooling: str) -> None:
    pool = POOLED[pooling]
    combined = combine(pooling, [pool(piece) for piece in PIECES], [6, 4])
    assert combined.dtype == np.float32
    np.testing.assert_allclose(combined, pool(TOKENS), rtol=1e-5)


def test_rows_become_of_length_one_and_zeros_stay() -> None:
    rows = np.array([[3, 4], [0, 0]], dtype=np.float32)
    expected = np.array([[0.6, 0.8], [0, 0]], dtype=np.float32)
    np.testing.assert_allclose(normalized(rows), expected)
    np.testing.assert_allclose(normalized(rows[0]), expected[0])


def test_shortening_keeps_the_beginning_of_each_row() -> None:
    assert shortened(TOKENS, 3).shape == (10, 3)
    assert shortened(TOKENS[0], 3).shape == (3,)
