"""How much memory a context needs and how much there is."""

from __future__ import annotations

import ctypes

import psutil

from llamaherd.native import bindings as c
from llamaherd.native.handles import ModelHandle
from llamaherd.params import ContextParams

CACHE_SHARE = 0.5
"""A context chosen by us takes at most this share of the free memory."""
TINY_BYTES = 32 << 20
"""Weights of a model whose steps are shorter than it takes to wake a thread."""
LEAST_N_CTX = 512
"""Tokens that a context chosen by us has at least, unless the model was trained on fewer."""


def physical_cores() -> int:
    """Cores that this process may use, hyperthreads counted once."""
    usable = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else 0
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return max(1, min(cores, usable or cores))


def default_threads(weights_bytes: int) -> int:
    """Threads to compute with: one a core, and a single one for tiny models.

    Threads wait for each other at every operation, by spinning. Where a step takes a millisecond
    and other programs are busy, that costs ten times what a second thread gains.
    """
    return physical_cores() if weights_bytes > TINY_BYTES else 1


def cache_bytes_per_token(model: ModelHandle, params: ContextParams) -> int:
    """Upper bound of what one token takes in the key-value cache, all layers together.

    Multi-token-prediction layers are counted, too. Sliding-window and recurrent layers need less;
    heads are counted as in the first layer.
    """
    pointer = model.pointer
    width = c.llama_model_n_embd(pointer) // max(1, c.llama_model_n_head(pointer))
    layers = c.llama_model_n_layer(pointer) + c.llama_model_n_layer_nextn(pointer)
    values = layers * c.llama_model_n_head_kv(pointer) * width
    return values * _bits(params.type_k) // 8 + values * _bits(params.type_v) // 8


def _bits(cache_type: str) -> int:
    kind = getattr(c, f"GGML_TYPE_{cache_type.upper()}")
    return int(8 * c.ggml_type_size(kind) // c.ggml_blck_size(kind) + 1)


def free_bytes() -> int:
    """Free memory where the cache will live: of the first GPU, else of the machine."""
    for i in range(c.ggml_backend_dev_count()):
        device = c.ggml_backend_dev_get(i)
        if c.ggml_backend_dev_type(device) == c.GGML_BACKEND_DEVICE_TYPE_GPU:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            c.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            return free.value
    return int(psutil.virtual_memory().available)


def default_n_ctx(model: ModelHandle, params: ContextParams) -> int:
    """The model's own context, as far as :data:`CACHE_SHARE` of the free memory holds it."""
    trained = c.llama_model_n_ctx_train(model.pointer) or LEAST_N_CTX
    per_token = cache_bytes_per_token(model, params)
    if not per_token:
        return trained
    fits = int(free_bytes() * CACHE_SHARE) // per_token // 256 * 256
    return min(trained, max(fits, LEAST_N_CTX))
