"""Attention of few tokens over a cache of 16-bit floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ggml_products import Floats, Place, compute

from llamaherd.native import bindings as c

RANDOM = np.random.default_rng(2)


def normal(*shape: int) -> Floats:
    values: Floats = RANDOM.standard_normal(shape, np.float32)
    return values


def build(context: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    """Dimensions as llama.cpp has them: a cell's heads lie side by side, tokens' too."""
    q, k, v = (c.ggml_permute(context, t, 0, 2, 1, 3) for t in (q, k, v))
    scale = 1.0 / float(k.contents.ne[0]) ** 0.5
    return c.ggml_flash_attn_ext(context, q, k, v, mask, scale, 0.0, 0.0)


def exact(*given: Any) -> Any:
    """[stream, tokens, heads, size] in double precision."""
    q, k, v, mask = (t.astype(np.float64) for t in given)
    group = q.shape[2] // k.shape[2]
    k, v = (np.repeat(t, group, axis=2) for t in (k, v))
    scores = np.einsum("sthd,schd->shtc", q, k) / np.sqrt(k.shape[3])
    scores = scores + mask[:, :, : q.shape[1]]
    scores = scores - scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores)
    return np.einsum("shtc,schd->sthd", weights / weights.sum(-1, keepdims=True), v)


def inputs(
    tokens: int, cells: int, heads: int, shared: int, size: int, streams: int = 1
) -> tuple[Any, ...]:
    q = normal(streams, tokens, heads, size)
    k, v = (normal(streams, cells, shared, size).astype(np.float16) for _ in range(2))
    mask = np.where(RANDOM.random((streams, 1, tokens, cells)) < 0.5, -np.inf, 0)
    mask[..., 0] = 0  # a token sees at least itself
    return q, k, v, mask.astype(np.float16)


@pytest.mark.parametrize("tokens", [1, 2, 4, 33, 130])
@pytest.mark.parametrize(
    ("heads", "shared", "size"), [(4, 4, 64), (8, 2, 64), (7, 1, 128), (6, 3, 80), (2, 1, 256)]
)
def test_against_double_precision(
    herd: Place, cpu: Place, tokens: int, heads: int, shared: int, size: int
) -> None:
    for cells in (1, 5, 127, 128, 129, 600):
        given = inputs(tokens, cells, heads, shared, size)
        want = exact(*given)
        got, theirs = (compute(where, given, build) for where in (herd, cpu))
        error = np.abs(got - want).max()
        assert error <= 3e-6
        assert error <= np.abs(theirs - want).max() + 1e-6


def test_each_stream_has_its_own_cache(herd: Place) -> None:
    given = inputs(1, 70, 8, 4, 64, streams=5)
    assert np.abs(compute(herd, given, build) - exact(*given)).max() <= 3e-6


def test_a_mask_may_be_any_bias(herd: Place) -> None:
    q, k, v, mask = inputs(3, 90, 4, 2, 64)
    mask = np.where(np.isinf(mask), mask, normal(*mask.shape)).astype(np.float16)
    assert np.abs(compute(herd, (q, k, v, mask), build) - exact(q, k, v, mask)).max() <= 3e-6


def test_scores_of_any_size(herd: Place) -> None:
    q, k, v, mask = inputs(2, 300, 4, 2, 64)
    q = q * np.float32(1000)
    got, want = compute(herd, (q, k, v, mask), build), exact(q, k, v, mask)
    assert np.abs(got - want).max() <= 1e-3  # scores of 10^4 have that much rounding


def test_a_token_that_sees_nothing_is_zero(herd: Place, cpu: Place) -> None:
    q, k, v, mask = inputs(2, 50, 4, 2, 64)
    mask[:, :, 1] = -np.inf
    got, theirs = (compute(where, (q, k, v, mask), build) for where in (herd, cpu))
    assert not got[0, 1].any()
    assert not theirs[0, 1].any()


def test_not_a_number_stays_one(herd: Place) -> None:
    q, k, v, mask = inputs(1, 50, 2, 2, 64)
    q[0, 0, 0, 3] = np.nan
    got = compute(herd, (q, k, v, mask), build)
    assert np.isnan(got[0, 0, 0]).all()
    assert np.isfinite(got[0, 0, 1]).all()


def test_weights_that_are_not_asked_for_are_not_read(herd: Place) -> None:
    """Cells that nobody has written may hold anything."""
    q, k, v, mask = inputs(2, 200, 4, 2, 64)
    hidden = np.isinf(mask).all(axis=(0, 1, 2))
    k[:, hidden], v[:, hidden] = np.nan, np.inf
    got = compute(herd, (q, k, v, mask), build)
    k[:, hidden], v[:, hidden] = 0, 0
    assert np.abs(got - exact(q, k, v, mask)).max() <= 3e-6
