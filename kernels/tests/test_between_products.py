"""Norms, sums, gates, rotations and moved rows agree with ggml-cpu's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ggml_products import Floats, Place, compute, relative_error

from llamaherd.native import bindings as c

RANDOM = np.random.default_rng(1)
SHAPES = [(1, 1), (1, 7), (3, 33), (2, 5, 64), (17, 2048), (600, 300), (2, 3, 4, 100)]


def normal(*shape: int) -> Floats:
    values: Floats = RANDOM.standard_normal(shape, np.float32)
    return values


def extreme(*shape: int) -> Floats:
    """Infinities, NaN, zeros, denormals and the largest values among others."""
    special = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-42, -1e-42, 3e38, -3e38, 88.5, -88.5, 95, -95]
    values = normal(*shape)
    chosen = RANDOM.random(shape) < 0.2
    values[chosen] = RANDOM.choice(np.array(special, np.float32), int(chosen.sum()))
    return values


def agree(
    herd: Place,
    cpu: Place,
    inputs: list[npt.NDArray[Any]],
    build: Callable[..., Any],
    atol: float = 1e-37,
) -> None:
    with np.errstate(all="ignore"):
        got, want = (compute(where, inputs, build) for where in (herd, cpu))
        assert np.allclose(got, want, rtol=2e-6, atol=atol, equal_nan=True), np.nanmax(
            np.abs(got - want)
        )


ROWS: dict[str, Callable[..., Any]] = {
    "norm": lambda context, x: c.ggml_rms_norm(context, x, 1e-5),
    "norm of zeros": lambda context, x: c.ggml_rms_norm(
        context, c.ggml_scale(context, x, 0.0), 0.0
    ),
    "norm in place": lambda context, x: c.ggml_rms_norm_inplace(context, x, 1e-6),
    "scale": lambda context, x: c.ggml_scale(context, x, -2.5),
    "scale and offset": lambda context, x: c.ggml_scale_bias(context, x, 0.3, 7.0),
    "scale in place": lambda context, x: c.ggml_scale_inplace(context, x, 3.0),
    "itself": lambda context, x: c.ggml_mul(context, x, x),
}


@pytest.mark.parametrize("values", [normal, extreme])
@pytest.mark.parametrize("kind", ROWS)
def test_rows(herd: Place, cpu: Place, kind: str, values: Callable[..., Floats]) -> None:
    for shape in SHAPES:
        agree(herd, cpu, [values(*shape)], ROWS[kind])


PAIRS: dict[str, Callable[..., Any]] = {
    "sum": c.ggml_add,
    "product": c.ggml_mul,
    "sum in place": c.ggml_add_inplace,
    "product in place": c.ggml_mul_inplace,
}


@pytest.mark.parametrize("values", [normal, extreme])
@pytest.mark.parametrize("kind", PAIRS)
def test_second_operands_are_repeated(
    herd: Place, cpu: Place, kind: str, values: Callable[..., Floats]
) -> None:
    for shape in SHAPES:
        for kept in ((0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0), (0, 1, 0, 1), (1, 1, 1, 1)):
            repeated = [n if k else 1 for n, k in zip(reversed(shape), kept, strict=False)]
            agree(herd, cpu, [values(*shape), values(*reversed(repeated))], PAIRS[kind])


@pytest.mark.parametrize("values", [normal, extreme])
def test_gates(herd: Place, cpu: Place, values: Callable[..., Floats]) -> None:
    for shape in SHAPES:
        agree(herd, cpu, [values(*shape), values(*shape)], c.ggml_swiglu_split)
        both = (*shape[:-1], 2 * shape[-1])
        for build in (c.ggml_swiglu, c.ggml_swiglu_swapped):
            agree(herd, cpu, [values(*both)], build)


def test_gates_are_exact_over_their_whole_range(herd: Place) -> None:
    gate = np.linspace(-87, 87, 40_001, dtype=np.float32)[None]
    got = compute(herd, [gate, np.ones_like(gate)], c.ggml_swiglu_split)
    exact = gate.astype(np.float64) / (1 + np.exp(-gate.astype(np.float64)))
    assert np.allclose(got[0, 0], exact, rtol=5e-7, atol=0)


def test_views_of_part_of_a_row(herd: Place, cpu: Place) -> None:
    """As where one product makes queries, keys and values: rows that are far apart."""

    def build(context: Any, x: Any, y: Any) -> Any:
        row = 4 * 96
        left = c.ggml_view_2d(context, x, 32, 9, row, 0)
        right = c.ggml_view_2d(context, y, 32, 9, row, 4 * 40)
        total = c.ggml_add(context, c.ggml_rms_norm(context, left, 1e-5), right)
        return c.ggml_swiglu_split(context, total, c.ggml_mul(context, right, total))

    agree(herd, cpu, [normal(9, 96), normal(9, 96)], build)


def rope(
    kind: int, n_dims: int, yarn: float = 0.0, factors: bool = False, inplace: bool = False
) -> Callable[..., Any]:
    def build(context: Any, x: Any, positions: Any, f: Any = None) -> Any:
        make = c.ggml_rope_ext_inplace if inplace else c.ggml_rope_ext
        freq = f if factors else None
        scale = 0.25 if yarn else 1.0
        return make(
            context, x, positions, freq, n_dims, kind, 512, 1e4, scale, yarn, 1.1, 32.0, 1.0
        )

    return build


@pytest.mark.parametrize("kind", [0, 2])
@pytest.mark.parametrize("tokens", [1, 5, 70])
def test_rotations(herd: Place, cpu: Place, kind: int, tokens: int) -> None:
    x, positions = normal(tokens, 3, 64), np.arange(tokens, dtype=np.int32)[None] * 37 % 1000
    atol = 1e-6 + 1e-7 * float(positions.max())  # angles are floats
    for n_dims in (64, 48, 2):
        for yarn in (0.0, 1.0):
            for inplace in (False, True):
                agree(herd, cpu, [x, positions], rope(kind, n_dims, yarn, inplace=inplace), atol)
    factors = RANDOM.uniform(1, 8, (1, 32)).astype(np.float32)
    agree(herd, cpu, [x, positions, factors], rope(kind, 64, factors=True), atol)


@pytest.mark.parametrize("numbers", [np.int32, np.int64])
def test_rows_into_a_cache_are_the_same_bits(herd: Place, cpu: Place, numbers: Any) -> None:
    cache = normal(40, 72).astype(np.float16)
    values = np.concatenate([normal(10, 72) * np.float32(10.0**e) for e in (-9, 0, 3)])
    rows = RANDOM.permutation(40)[:30].astype(numbers)

    def build(context: Any, into: Any, x: Any, at: Any) -> Any:
        return c.ggml_set_rows(context, into, x, at)

    got, want = (compute(w, [cache, values, rows], build, read=0) for w in (herd, cpu))
    assert (got.view(np.uint16) == want.view(np.uint16)).all()


def test_rows_by_number(herd: Place, cpu: Place) -> None:
    x, rows = normal(2, 20, 33), RANDOM.integers(0, 20, (2, 7)).astype(np.int32)
    agree(herd, cpu, [x, rows], c.ggml_get_rows)


def test_a_chain_through_reused_memory(herd: Place, cpu: Place) -> None:
    """Each step overwrites what an earlier one read."""

    def build(context: Any, x: Any, w: Any) -> Any:
        for _ in range(6):
            norm = c.ggml_mul(context, c.ggml_rms_norm(context, x, 1e-5), w)
            x = c.ggml_add_inplace(context, x, c.ggml_swiglu_split(context, norm, x))
            x = c.ggml_scale_inplace(context, x, 0.7)
        return x

    for tokens in (1, 2, 40):
        given = [normal(tokens, 500), normal(500)]
        got, want = (compute(where, given, build) for where in (herd, cpu))
        assert relative_error(got, want) <= 1e-5  # it grows by the step
