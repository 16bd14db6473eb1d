"""Products agree with ggml-cpu's for every type, shape and kind of value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ggml_products import (
    FLOATS,
    TOLERANCE,
    TYPES,
    Bytes,
    Floats,
    Place,
    compute,
    product,
    quantise,
    relative_error,
    stored,
)

from llamaherd.native import bindings as c

RANDOM = np.random.default_rng()
FACTORS = {  # offsets of the 16-bit factors in a block, and the block's bytes
    "Q4_K": ((0, 2), 144),
    "Q5_K": ((0, 2), 176),
    "Q6_K": ((208,), 210),
    "IQ4_XS": ((0,), 136),
    "Q8_0": ((0,), 34),
    "Q4_0": ((0,), 18),
}
TOKENS = (*range(1, 18), 23, 25, 31, 32, 33, 35, 36, 37, 48, 61, 128, 600)


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """Each test draws the same, whichever run before it."""
    RANDOM.bit_generator.state = np.random.default_rng(0).bit_generator.state


def normal(*shape: int) -> Floats:
    values: Floats = RANDOM.standard_normal(shape, np.float32)
    return values


def any_bytes(name: str, rows: int, k: int) -> Bytes:
    """Rows of random bytes with finite factors: every value that a file can hold."""
    weights = quantise(name, np.zeros((rows, k), np.float32))
    weights[:] = RANDOM.integers(0, 256, weights.shape, np.uint8)
    if name in FLOATS:
        weights.view(np.uint16)[:] &= 0xBBFF if name == "F16" else 0xBFFF  # finite, sums as well
        return weights
    offsets, size = FACTORS[name]
    for offset in offsets:
        factors = RANDOM.uniform(-0.1, 0.1, (rows, weights.shape[1] // size)).astype(np.float16)
        weights[:, offset::size] = factors.view(np.uint16) & 0xFF
        weights[:, offset + 1 :: size] = factors.view(np.uint16) >> 8
    return weights


def check(herd: Place, cpu: Place, name: str, weights: Bytes, x: Floats) -> None:
    got, want = (product(where, name, weights, x) for where in (herd, cpu))
    error = relative_error(got, want)
    assert error <= TOLERANCE, f"{name} {weights.shape} x {x.shape}: {error:.2e}"


@pytest.mark.parametrize("name", TYPES)
def test_every_number_of_tokens(herd: Place, cpu: Place, name: str) -> None:
    weights = quantise(name, normal(53, 768))
    for tokens in TOKENS:
        check(herd, cpu, name, weights, normal(tokens, 768))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 31, 100, 257])
def test_rows_that_fill_no_group(herd: Place, cpu: Place, name: str, rows: int) -> None:
    weights = quantise(name, normal(rows, 512))
    for tokens in (7, 12, 40):  # a single result may happen to be next to nothing
        check(herd, cpu, name, weights, normal(tokens, 512))


@pytest.mark.parametrize("name", TYPES)
def test_rows_longer_than_a_panel(herd: Place, cpu: Place, name: str) -> None:
    weights = quantise(name, normal(33, 2048 * 2 + 256))
    for tokens in (1, 12, 45, 400):
        check(herd, cpu, name, weights, normal(tokens, 2048 * 2 + 256))


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", *FLOATS])
def test_rows_that_are_no_multiple_of_256(herd: Place, cpu: Place, name: str) -> None:
    weights = quantise(name, normal(40, 64 * 45))
    for tokens in (1, 9, 50):
        check(herd, cpu, name, weights, normal(tokens, 64 * 45))


@pytest.mark.parametrize("name", TYPES)
def test_every_value_that_a_file_can_hold(herd: Place, cpu: Place, name: str) -> None:
    for tokens in (1, 7, 64):
        check(herd, cpu, name, any_bytes(name, 64, 1024), normal(tokens, 1024))


def with_outliers(x: Floats) -> Floats:
    factors = np.where(np.arange(x.shape[1]) % 97, np.float32(1), np.float32(1e4))
    out: Floats = x * factors
    return out


ADVERSARIAL: dict[str, Callable[[Floats], Floats]] = {
    "zeros": lambda x: x * 0,
    "minus zeros": lambda x: x * np.float32(-0.0),
    "denormals": lambda x: x * np.float32(1e-40),
    # Below this ggml's product of two factors is itself denormal and loses bits.
    "almost denormal": lambda x: x * np.float32(1e-33),
    "tiny": lambda x: x * np.float32(1e-30),
    "huge": lambda x: x * np.float32(1e30),
    "outliers": with_outliers,
    "full scale of both signs": lambda x: np.where(x > 0, np.float32(1), np.float32(-1)),
    "a single spike": lambda x: np.where(
        np.arange(x.shape[1]) == 300, np.float32(5), np.float32(0)
    ),
    "zero blocks between others": lambda x: (
        x * (np.arange(x.shape[1]) // 256 % 2).astype(np.float32)
    ),
    "blocks of very different size": lambda x: (
        x * (10.0 ** (np.arange(x.shape[1]) // 32 % 9 - 4)).astype(np.float32)
    ),
    "ties in rounding": lambda x: np.round(x * 4) / np.float32(8) + np.float32(0.0625),
}


@pytest.mark.parametrize("kind", ADVERSARIAL)
@pytest.mark.parametrize("name", TYPES)
def test_adversarial_activations(herd: Place, cpu: Place, name: str, kind: str) -> None:
    if kind == "huge" and name in ("Q8_0", "Q4_0", "F16"):
        pytest.skip("ggml keeps these in 16 bits: its own result is infinite")
    if kind == "denormals" and name == "BF16":
        pytest.skip("ggml's own sums are denormal and lose bits")
    for tokens in (1, 11, 41):
        x = ADVERSARIAL[kind](normal(tokens, 1024)).astype(np.float32)
        check(herd, cpu, name, quantise(name, normal(48, 1024)), x)


@pytest.mark.parametrize("name", TYPES)
def test_sums_that_cancel(herd: Place, cpu: Place, name: str) -> None:
    """One value everywhere: terms a thousand times the result, so the terms are the measure."""
    values, x = normal(48, 1024), np.full((11, 1024), 3.7, np.float32)
    weights = quantise(name, values)
    got, want = (product(where, name, weights, x) for where in (herd, cpu))
    terms = np.abs(values).sum(axis=1) * np.float32(3.7)
    assert (np.abs(got - want) <= TOLERANCE * terms).all()


@pytest.mark.parametrize("name", TYPES)
def test_weights_of_zero(herd: Place, cpu: Place, name: str) -> None:
    weights = quantise(name, np.zeros((20, 512), np.float32))
    assert not product(herd, name, weights, normal(3, 512)).any()
    check(herd, cpu, name, weights, normal(3, 512))


@pytest.mark.parametrize("name", [name for name in TYPES if name not in FLOATS])
@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_extreme_weights(herd: Place, cpu: Place, name: str, byte: int) -> None:
    weights = any_bytes(name, 32, 512)
    offsets, size = FACTORS[name]
    kept = np.isin(np.arange(weights.shape[1]) % size, [at + i for at in offsets for i in (0, 1)])
    weights[:, ~kept] = byte
    for tokens in (1, 12, 40):  # weights all alike: activations around zero would cancel
        check(herd, cpu, name, weights, normal(tokens, 512) + np.float32(1))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("bits", [0x0001, 0x03FF, 0x3C01, 0x7BFF])
def test_extreme_floats(herd: Place, cpu: Place, name: str, bits: int) -> None:
    """The least and the largest denormal, next to one, and the largest of F16."""
    signs = RANDOM.integers(0, 2, (32, 512), np.uint16) << 15  # or sums would cancel
    weights = (signs ^ np.uint16(bits)).view(np.uint8)
    # Denormals of BF16 are lost in products with anything below one.
    x = normal(40, 512) * np.float32(1e10 if name == "BF16" and bits < 0x80 else 1)
    for tokens in (1, 12, 40):
        check(herd, cpu, name, weights, x[:tokens])


@pytest.mark.parametrize("name", FLOATS)
def test_what_is_no_number_stays_none(herd: Place, cpu: Place, name: str) -> None:
    x = normal(40, 512)
    x[3, 70], x[5, 80], x[7, 90] = np.nan, np.inf, -np.inf
    weights = quantise(name, normal(32, 512))
    got, want = (product(where, name, weights, x) for where in (herd, cpu))
    assert (np.isfinite(got) == np.isfinite(want)).all()
    assert (np.isnan(got) == np.isnan(want)).all()
    assert not np.isfinite(got[..., [3, 5, 7], :]).any()
    finite = np.isfinite(want)
    assert relative_error(got[finite], want[finite]) <= TOLERANCE


@pytest.mark.parametrize("name", TYPES)
def test_matrices_in_three_dimensions(herd: Place, cpu: Place, name: str) -> None:
    weights = quantise(name, normal(3, 20, 512))
    check(herd, cpu, name, weights, normal(6, 5, 512))  # each weight matrix serves two


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("per_use", [False, True])
@pytest.mark.parametrize("tokens", [1, 2, 7, 90])
def test_experts(herd: Place, cpu: Place, name: str, per_use: bool, tokens: int) -> None:
    n_experts, n_used = 8, 3
    weights = quantise(name, normal(n_experts, 50, 512))
    experts = np.array([RANDOM.permutation(n_experts)[:n_used] for _ in range(tokens)], np.int32)
    x = normal(tokens, n_used if per_use else 1, 512)
    got, want = (product(where, name, weights, x, experts) for where in (herd, cpu))
    assert relative_error(got, want) <= TOLERANCE


def test_activations_that_change_in_place_are_quantised_anew(herd: Place) -> None:
    x = normal(3, 256)
    data = quantise("Q4_0", normal(33, 256))
    with stored(herd, "Q4_0", 256, 33) as weights:
        c.ggml_backend_tensor_set(weights, data.ctypes.data, 0, data.nbytes)

        def build(context: Any, tensor: Any) -> tuple[Any, ...]:
            before = c.ggml_mul_mat(context, weights, tensor)
            doubled = c.ggml_scale_inplace(context, tensor, 2)
            return before, doubled, c.ggml_mul_mat(context, weights, tensor)

        got = compute(herd, [x], build)
    assert np.array_equal(got, 2 * product(herd, "Q4_0", data, x))
