"""Operations through the real ggml, on the plugin and on the CPU backend."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llamaherd.native import bindings as c

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

FLOATS = ("F16", "BF16")
TYPES = ("Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "Q8_0", "Q4_0", *FLOATS)
TOLERANCE = 1e-6


def type_number(name: str) -> int:
    """The number of a GGUF type."""
    return int(getattr(c, f"GGML_TYPE_{name}"))


@dataclass(frozen=True)
class Place:
    """A backend and the buffer type that its weights lie in."""

    backend: Any
    weights: Any


@contextmanager
def place(device_name: str, n_threads: int) -> Iterator[Place]:
    """The device ``Herd`` or ``CPU`` with so many threads."""
    device = c.ggml_backend_dev_by_name(device_name.encode())
    assert device, f"no device {device_name}"
    backend = c.ggml_backend_dev_init(device, None)
    registry = c.ggml_backend_dev_backend_reg(device)
    address = c.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_set_n_threads")
    assert address
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)(address)(backend, n_threads)
    try:
        yield Place(backend, c.ggml_backend_dev_buffer_type(device))
    finally:
        c.ggml_backend_free(backend)


@contextmanager
def _context() -> Iterator[Any]:
    context = c.ggml_init(c.ggml_init_params(1 << 20, None, True))
    try:
        yield context
    finally:
        c.ggml_free(context)


@contextmanager
def _allocated(context: Any, buffer_type: Any) -> Iterator[None]:
    buffer = c.ggml_backend_alloc_ctx_tensors_from_buft(context, buffer_type)
    assert buffer
    try:
        yield
    finally:
        c.ggml_backend_buffer_free(buffer)


def _set(tensor: Any, values: npt.NDArray[Any]) -> None:
    data = np.ascontiguousarray(values)
    c.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)


def _get(tensor: Any) -> Floats:
    t = tensor.contents
    out = np.empty((t.ne[3], t.ne[2], t.ne[1], t.ne[0]), np.float32)
    c.ggml_backend_tensor_get(tensor, out.ctypes.data, 0, out.nbytes)
    return out


def quantise(name: str, values: Floats) -> Bytes:
    """Rows of floats in the file's layout, by ggml."""
    number = type_number(name)
    rows, k = values.reshape(-1, values.shape[-1]).shape
    out = np.zeros((*values.shape[:-1], c.ggml_row_size(number, k)), np.uint8)
    data = np.ascontiguousarray(values, np.float32)
    importance = np.ones(k, np.float32)
    c.ggml_quantize_chunk(
        number,
        data.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
        out.ctypes.data,
        0,
        rows,
        k,
        importance.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
    )
    return out


def product(
    where: Place, name: str, weights: Bytes, x: Floats, experts: npt.NDArray[np.int32] | None = None
) -> Floats:
    """``weights`` (file layout, [..., rows, bytes]) times ``x`` ([..., tokens, k]).

    With ``experts`` ([tokens, uses]), MUL_MAT_ID: ``x`` is [tokens, 1 or uses, k].
    """
    number = type_number(name)
    with _context() as held, _context() as computed:
        shape = (*(1,) * (4 - weights.ndim), *weights.shape)
        w = c.ggml_new_tensor_4d(held, number, x.shape[-1], shape[2], shape[1], shape[0])
        xs = (*(1,) * (4 - x.ndim), *x.shape)
        b = c.ggml_new_tensor_4d(computed, c.GGML_TYPE_F32, xs[3], xs[2], xs[1], xs[0])
        if experts is None:
            node = c.ggml_mul_mat(computed, w, b)
        else:
            ids = c.ggml_new_tensor_2d(computed, c.GGML_TYPE_I32, *reversed(experts.shape))
            node = c.ggml_mul_mat_id(computed, w, b, ids)
        graph = c.ggml_new_graph(computed)
        c.ggml_build_forward_expand(graph, node)
        with (
            _allocated(held, where.weights),
            _allocated(computed, c.ggml_backend_cpu_buffer_type()),
        ):
            _set(w, weights)
            _set(b, x)
            if experts is not None:
                _set(ids, experts)
            assert c.ggml_backend_supports_op(where.backend, node)
            assert c.ggml_backend_graph_compute(where.backend, graph) == c.GGML_STATUS_SUCCESS
            return _get(node)


NUMBERS = {
    np.dtype(np.float32): c.GGML_TYPE_F32,
    np.dtype(np.float16): c.GGML_TYPE_F16,
    np.dtype(np.int32): c.GGML_TYPE_I32,
    np.dtype(np.int64): c.GGML_TYPE_I64,
}


def compute(
    where: Place, inputs: Sequence[npt.NDArray[Any]], build: Callable[..., Any], read: int = -1
) -> npt.NDArray[Any]:
    """``build(context, *tensors)`` of the inputs, whose dimensions are in numpy's order.

    It returns a node, or several that are computed in this order. What comes back is the last one,
    or with ``read`` an input afterwards.
    """
    with _context() as context:
        tensors = []
        for array in inputs:
            dims = (*(1,) * (4 - array.ndim), *array.shape)
            tensors.append(c.ggml_new_tensor_4d(context, NUMBERS[array.dtype], *reversed(dims)))
        built = build(context, *tensors)
        nodes = built if isinstance(built, tuple) else (built,)
        graph = c.ggml_new_graph(context)
        for node in nodes:
            c.ggml_build_forward_expand(graph, node)
        with _allocated(context, c.ggml_backend_cpu_buffer_type()):
            for tensor, array in zip(tensors, inputs, strict=True):
                _set(tensor, array)
            assert c.ggml_backend_graph_compute(where.backend, graph) == c.GGML_STATUS_SUCCESS
            if read < 0:
                return _get(nodes[-1])
            back = np.empty_like(inputs[read])
            c.ggml_backend_tensor_get(tensors[read], back.ctypes.data, 0, back.nbytes)
            return back


@contextmanager
def stored(where: Place, name: str, k: int, *shape: int) -> Iterator[Any]:
    """A weight tensor in the place's buffer; ``shape`` is [..., rows]."""
    with _context() as held:
        dims = (*(1,) * (3 - len(shape)), *shape)
        w = c.ggml_new_tensor_4d(held, type_number(name), k, dims[2], dims[1], dims[0])
        with _allocated(held, where.weights):
            yield w


def relative_error(got: Floats, want: Floats) -> float:
    """Root of the squared difference over that of the squared reference."""
    a, b = got.astype(np.float64), want.astype(np.float64)
    assert np.isfinite(b).all(), "the reference itself overflowed"
    size = float(np.sqrt((b**2).sum()))
    difference = float(np.sqrt(((a - b) ** 2).sum()))
    return difference / size if size else difference
