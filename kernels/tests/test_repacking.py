"""What is put into a packed buffer comes out of it, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from ggml_products import TYPES, Place, stored, type_number

from llamaherd.native import bindings as c

RANDOM = np.random.default_rng(1)


def random_bytes(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return RANDOM.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(1,), (16,), (61,), (700,), (5, 19)])
def test_any_bytes_come_back(herd: Place, name: str, shape: tuple[int, ...]) -> None:
    data = random_bytes(*shape, c.ggml_row_size(type_number(name), 768))
    back = np.zeros_like(data)
    with stored(herd, name, 768, *shape) as tensor:
        c.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)
        c.ggml_backend_tensor_get(tensor, back.ctypes.data, 0, back.nbytes)
    assert (back == data).all()


@pytest.mark.parametrize("name", TYPES)
def test_parts_can_be_written_and_read(herd: Place, name: str) -> None:
    data = random_bytes(45, c.ggml_row_size(type_number(name), 512)).reshape(-1)
    with stored(herd, name, 512, 45) as tensor:
        c.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)
        for _ in range(30):
            first, last = sorted(int(at) for at in RANDOM.integers(0, data.size + 1, 2))
            piece = random_bytes(last - first)
            data[first:last] = piece
            c.ggml_backend_tensor_set(tensor, piece.ctypes.data, first, piece.nbytes)
            first, last = sorted(int(at) for at in RANDOM.integers(0, data.size + 1, 2))
            back = np.zeros(last - first, np.uint8)
            c.ggml_backend_tensor_get(tensor, back.ctypes.data, first, back.nbytes)
            assert (back == data[first:last]).all()


def test_a_view_reads_its_part_of_the_weights(herd: Place) -> None:
    row = c.ggml_row_size(c.GGML_TYPE_Q4_K, 512)
    data = random_bytes(40, row)
    back = np.zeros((7, row), np.uint8)
    context = c.ggml_init(c.ggml_init_params(1 << 16, None, True))
    with stored(herd, "Q4_K", 512, 40) as tensor:
        c.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)
        view = c.ggml_view_2d(context, tensor, 512, 7, row, 11 * row)
        assert c.ggml_backend_view_init(view) == c.GGML_STATUS_SUCCESS
        c.ggml_backend_tensor_get(view, back.ctypes.data, 0, back.nbytes)
    c.ggml_free(context)
    assert (back == data[11:18]).all()


@pytest.mark.parametrize(("name", "k"), [("F32", 100), ("F16", 96), ("Q8_0", 96), ("Q2_K", 512)])
def test_other_tensors_are_kept_as_they_are(herd: Place, name: str, k: int) -> None:
    data = random_bytes(9, c.ggml_row_size(type_number(name), k))
    back = np.zeros_like(data)
    with stored(herd, name, k, 9) as tensor:
        c.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)
        c.ggml_backend_tensor_get(tensor, back.ctypes.data, 0, back.nbytes)
    assert (back == data).all()
