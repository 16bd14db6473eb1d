"""What of a graph the plugin takes: products with packed weights, and what follows from them."""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ggml_products import Place, place
from gguf_files import quantise_file

from llamaherd import Llama
from llamaherd.model.source import DEMO, model_file
from llamaherd.native import bindings as c


@contextmanager
def graph_of(herd: Place, packed: bool, n_tokens: int = 2) -> Iterator[tuple[Any, Any]]:
    """A context, and x times a weight matrix that is or is not packed."""
    with place("CPU", 1) as cpu:
        held, made = (c.ggml_init(c.ggml_init_params(1 << 20, None, True)) for _ in range(2))
        weights = c.ggml_new_tensor_2d(held, c.GGML_TYPE_Q4_0, 256, 256)
        buffer = c.ggml_backend_alloc_ctx_tensors_from_buft(
            held, herd.weights if packed else cpu.weights
        )
        x = c.ggml_new_tensor_2d(made, c.GGML_TYPE_F32, 256, n_tokens)
        try:
            yield made, c.ggml_mul_mat(made, weights, x)
        finally:
            c.ggml_free(made)
            c.ggml_free(held)
            c.ggml_backend_buffer_free(buffer)


def heads(context: Any, x: Any) -> Any:
    return c.ggml_reshape_3d(context, x, 64, 4, c.ggml_nrows(x))


def rotated(context: Any, x: Any, kind: int = 2) -> Any:
    positions = c.ggml_new_tensor_1d(context, c.GGML_TYPE_I32, 2)
    x = heads(context, x)
    return c.ggml_rope_ext(context, x, positions, None, 64, kind, 0, 1e4, 1, 0, 1, 0, 0)


TAKEN: dict[str, Callable[[Any, Any], Any]] = {
    "norm": lambda m, x: c.ggml_rms_norm(m, x, 1e-5),
    "sum": lambda m, x: c.ggml_add(m, c.ggml_new_tensor_2d(m, c.GGML_TYPE_F32, 256, 2), x),
    "gate": c.ggml_swiglu,
    "head's norm": lambda m, x: c.ggml_rms_norm(m, heads(m, x), 1e-5),
    "rotation": rotated,
    "five on": lambda m, x: c.ggml_scale(
        m, c.ggml_rms_norm(m, c.ggml_add(m, c.ggml_mul(m, c.ggml_rms_norm(m, x, 0), x), x), 0), 2
    ),
}
LEFT: dict[str, Callable[[Any, Any], Any]] = {
    "another norm": lambda m, x: c.ggml_norm(m, x, 1e-5),
    "another gate": c.ggml_geglu,
    "rotation of parts": lambda m, x: c.ggml_rope_multi(
        m,
        heads(m, x),
        c.ggml_new_tensor_1d(m, c.GGML_TYPE_I32, 8),
        None,
        64,
        (ctypes.c_int * 4)(16, 8, 8, 0),
        8,
        0,
        1e4,
        1,
        0,
        1,
        0,
        0,
    ),
    "transposed": lambda m, x: c.ggml_rms_norm(m, c.ggml_transpose(m, x), 1e-5),
    "softmax": c.ggml_soft_max,
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_follows_a_packed_product_is_taken(herd: Place, kind: str) -> None:
    with graph_of(herd, packed=True) as (context, product):
        node = TAKEN[kind](context, product)
        assert c.ggml_backend_supports_op(herd.backend, node)
    with graph_of(herd, packed=False) as (context, product):
        node = TAKEN[kind](context, product)
        assert not c.ggml_backend_supports_op(herd.backend, node)


def attention(context: Any, x: Any, n_cells: int = 20) -> Any:
    q = c.ggml_permute(context, heads(context, x), 0, 2, 1, 3)
    k, v = (c.ggml_new_tensor_3d(context, c.GGML_TYPE_F16, 64, n_cells, 2) for _ in range(2))
    mask = c.ggml_new_tensor_2d(context, c.GGML_TYPE_F16, n_cells, c.ggml_nrows(x))
    return c.ggml_flash_attn_ext(context, q, k, v, mask, 0.125, 0, 0)


def computed(where: Place, build: Callable[[Any, Any], Any], fill: int = 0) -> int:
    """What comes of computing a graph that ends with this, from a product of packed weights.

    ``fill`` is each byte of the inputs.
    """
    with graph_of(where, packed=True) as (context, product):
        graph = c.ggml_new_graph(context)
        c.ggml_build_forward_expand(graph, build(context, product))
        buffer = c.ggml_backend_alloc_ctx_tensors_from_buft(
            context, c.ggml_backend_cpu_buffer_type()
        )
        c.ggml_backend_buffer_clear(buffer, fill)
        try:
            return int(c.ggml_backend_graph_compute(where.backend, graph))
        finally:
            c.ggml_backend_buffer_free(buffer)


def compute_product(where: Place) -> None:
    assert computed(where, lambda _context, product: product) == c.GGML_STATUS_SUCCESS


def set_abort_callback(where: Place) -> None:
    """As llama.cpp does for every backend that has this function."""
    registry = c.ggml_backend_dev_backend_reg(c.ggml_backend_get_device(where.backend))
    address = c.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_set_abort_callback")
    assert address is not None
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    prototype(address)(ctypes.cast(where.backend, ctypes.c_void_p), None, None)


@pytest.mark.parametrize("shown_by", [compute_product, set_abort_callback])
def test_attention_is_taken_once_a_context_is_there(
    plugin: Path, shown_by: Callable[[Place], None]
) -> None:
    """While it is made llama.cpp would turn flash attention off if it were."""
    with place("Herd", 1) as fresh, graph_of(fresh, packed=True) as (context, product):
        set_abort_callback(fresh)  # llama.cpp's own
        node = attention(context, product)
        assert not c.ggml_backend_supports_op(fresh.backend, node)
        shown_by(fresh)
        assert c.ggml_backend_supports_op(fresh.backend, node)


@pytest.mark.parametrize(
    ("n_tokens", "n_cells", "taken"), [(63, 2048, True), (64, 1024, True), (64, 1025, False)]
)
def test_many_tokens_that_see_many_cells_are_left(
    herd: Place, n_tokens: int, n_cells: int, taken: bool
) -> None:
    compute_product(herd)
    with graph_of(herd, packed=True, n_tokens=n_tokens) as (context, product):
        node = attention(context, product, n_cells)
        assert c.ggml_backend_supports_op(herd.backend, node) == taken


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_not_understood_is_left(herd: Place, kind: str) -> None:
    with graph_of(herd, packed=True) as (context, product):
        node = LEFT[kind](context, product)
        assert not c.ggml_backend_supports_op(herd.backend, node)


def test_a_graph_that_was_left_is_refused(herd: Place) -> None:
    assert computed(herd, c.ggml_soft_max) == c.GGML_STATUS_FAILED


def row_by_number(context: Any, x: Any) -> Any:
    return c.ggml_get_rows(context, x, c.ggml_new_tensor_1d(context, c.GGML_TYPE_I32, 1))


def row_into_cache(context: Any, x: Any) -> Any:
    cache = c.ggml_new_tensor_2d(context, c.GGML_TYPE_F16, 256, 9)
    return c.ggml_set_rows(context, cache, x, c.ggml_new_tensor_1d(context, c.GGML_TYPE_I64, 2))


def by_expert(context: Any, x: Any) -> Any:
    weights, numbers = x.contents.src[0], c.ggml_new_tensor_2d(context, c.GGML_TYPE_I32, 1, 2)
    return c.ggml_mul_mat_id(context, weights, c.ggml_reshape_3d(context, x, 256, 1, 2), numbers)


@pytest.mark.parametrize("build", [row_by_number, row_into_cache, by_expert])
def test_numbers_of_no_row_and_of_no_expert_are_refused(
    herd: Place, build: Callable[[Any, Any], Any]
) -> None:
    assert computed(herd, build) == c.GGML_STATUS_SUCCESS
    for fill in (0xFF, 0x7F):
        assert computed(herd, build, fill) == c.GGML_STATUS_FAILED


def splits(path: Path, caplog: pytest.LogCaptureFixture, **options: Any) -> int:
    """The parts that llama.cpp cuts a decoding step into while it makes the context."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "llamaherd.native"), Llama(path, **options):
        pass
    found = re.search(r"splits = (?:\d+ / )?(\d+)", caplog.text)
    assert found, caplog.text
    return int(found[1])


def test_a_model_is_cut_at_attention_only(
    plugin: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = quantise_file(model_file(DEMO), tmp_path / "demo.gguf", "MOSTLY_Q4_0")
    with Llama(target) as llm:
        layers = llm.model.n_layer
    # Attention is ggml's while a context is made: a cut before and one behind it.
    assert splits(target, caplog) <= 2 * layers + 2
    assert splits(target, caplog, kernels="off") == 1


def test_a_model_without_packed_weights_is_not_cut(
    plugin: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = quantise_file(model_file(DEMO), tmp_path / "demo.gguf", "ALL_F32")
    assert splits(target, caplog) == 1
