"""ModelParams and ContextParams as the C structs that llama.h wants."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from llamaherd.errors import OptionError
from llamaherd.native import bindings as c
from llamaherd.params import ContextParams, ModelParams

KV_STR_MAX_BYTES = 127  # llama_model_kv_override.val_str holds 128 with the final NUL


class NativeModelParams:
    """``llama_model_params`` and the arrays it points to, which must outlive the load.

    Raises:
        OptionError: a device, buffer type or override that llama.cpp does not have.
    """

    def __init__(self, params: ModelParams) -> None:
        native = self.struct = c.llama_model_default_params()
        native.n_gpu_layers = -1 if params.n_gpu_layers is None else params.n_gpu_layers
        native.split_mode = getattr(c, f"LLAMA_SPLIT_MODE_{params.split_mode.upper()}")
        native.load_mode = getattr(c, f"LLAMA_LOAD_MODE_{_load_mode(params).upper()}")
        native.lazy_mode = getattr(c, f"LLAMA_LAZY_MODE_{params.lazy_mode.upper()}")
        native.main_gpu = params.main_gpu
        for name in ("vocab_only", "check_tensors", "use_extra_bufts", "no_host", "load_mtp"):
            setattr(native, name, getattr(params, name))
        self._arrays: list[Any] = []
        if params.devices is not None:
            native.devices = self._keep(_devices(params.devices))
        if params.tensor_split is not None:
            native.tensor_split = self._keep(_tensor_split(params.tensor_split))
        if params.kv_overrides:
            native.kv_overrides = self._keep(_kv_overrides(params.kv_overrides))
        if params.tensor_buft_overrides:
            native.tensor_buft_overrides = self._keep(_buft_overrides(params.tensor_buft_overrides))

    def _keep(self, array: Any) -> Any:
        self._arrays.append(array)
        return array


def _load_mode(params: ModelParams) -> str:
    """``use_mmap`` and ``use_mlock``, llama-cpp-python's words, win over ``load_mode``."""
    if params.use_mmap is None and params.use_mlock is None:
        return params.load_mode
    parts = ("mmap", params.use_mmap is not False), ("mlock", bool(params.use_mlock))
    return "_".join(name for name, wanted in parts if wanted) or "none"


def _devices(names: list[str]) -> Any:
    found = []
    for name in names:
        device = c.ggml_backend_dev_by_name(_c_string("devices", name))
        if not device:
            raise OptionError("devices", name, f"one of {', '.join(device_names())}")
        found.append(device)
    return (c.ggml_backend_dev_t * (len(found) + 1))(*found)


def device_names() -> list[str]:
    """Names of the compute devices of this process."""
    devices = map(c.ggml_backend_dev_get, range(c.ggml_backend_dev_count()))
    return [(c.ggml_backend_dev_name(device) or b"?").decode() for device in devices]


def has_gpu() -> bool:
    """Whether llama.cpp can put layers on a device other than the CPU."""
    return bool(c.llama_supports_gpu_offload())


def _tensor_split(shares: list[float]) -> Any:
    most = c.llama_max_devices()
    valid = all(isinstance(s, (int, float)) and s >= 0 for s in shares)
    if not valid or len(shares) > most or not sum(shares) > 0:
        raise OptionError("tensor_split", shares, f"at most {most} shares, not all of them 0")
    return (ctypes.c_float * most)(*shares)


def _kv_overrides(overrides: Mapping[str, Any]) -> Any:
    array = (c.llama_model_kv_override * (len(overrides) + 1))()  # ends with an empty key
    for entry, (key, value) in zip(array, overrides.items(), strict=False):
        entry.key = _short_bytes(f"kv_overrides[{key!r}]", key)
        tag, field = _KV_KINDS.get(type(value), (None, ""))
        if tag is None:
            raise OptionError(f"kv_overrides[{key!r}]", value, "an int, float, bool or str")
        entry.tag = getattr(c, f"LLAMA_KV_OVERRIDE_TYPE_{tag}")
        setattr(entry, field, _kv_value(key, value))
    return array


_KV_KINDS = {
    bool: ("BOOL", "val_bool"),
    int: ("INT", "val_i64"),
    float: ("FLOAT", "val_f64"),
    str: ("STR", "val_str"),
}


def _kv_value(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return _short_bytes(f"kv_overrides[{key!r}]", value)
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise OptionError(f"kv_overrides[{key!r}]", value, "an integer of 64 bits")
    return value


def _c_string(option: str, text: str) -> bytes:
    if not text or "\0" in text:
        raise OptionError(option, text, "text without NUL")
    return text.encode()


def _short_bytes(option: str, text: str) -> bytes:
    data = text.encode()
    if not data or len(data) > KV_STR_MAX_BYTES or b"\0" in data:
        raise OptionError(option, text, f"1 to {KV_STR_MAX_BYTES} bytes without NUL")
    return data


def _buft_overrides(overrides: Mapping[str, str]) -> Any:
    known = _buffer_types()
    array = (c.llama_model_tensor_buft_override * (len(overrides) + 1))()
    for entry, (pattern, name) in zip(array, overrides.items(), strict=False):
        if name not in known:
            raise OptionError(f"tensor_buft_overrides[{pattern!r}]", name, f"one of {list(known)}")
        entry.pattern, entry.buft = _c_string("tensor_buft_overrides", pattern), known[name]
    return array


def _buffer_types() -> dict[str, Any]:
    devices = map(c.ggml_backend_dev_get, range(c.ggml_backend_dev_count()))
    types = (c.ggml_backend_dev_buffer_type(device) for device in devices)
    return {(c.ggml_backend_buft_name(t) or b"?").decode(): t for t in types}


def native_context_params(params: ContextParams, n_ctx: int, n_threads: int) -> Any:
    """``llama_context_params`` for ``params`` with what was left open decided by the caller."""
    native = c.llama_context_default_params()
    native.n_ctx = n_ctx
    native.n_batch = max(min(params.n_batch, n_ctx), params.n_parallel)  # a row for each request
    native.n_ubatch = min(params.n_ubatch, native.n_batch)
    native.kv_unified = True
    native.n_outputs_max_per_seq = 0  # as many as a batch has: prompt log-probabilities need them
    native.n_threads = n_threads
    native.n_threads_batch = params.n_threads_batch or n_threads
    native.type_k = getattr(c, f"GGML_TYPE_{_ggml_name(params.type_k)}")
    native.type_v = getattr(c, f"GGML_TYPE_{_ggml_name(params.type_v)}")
    native.no_perf = True
    for name in ("offload_kqv", "op_offload", "swa_full"):
        setattr(native, name, getattr(params, name))
    for name in _FROM_MODEL_UNLESS_SET:
        if getattr(params, name) is not None:
            setattr(native, name, getattr(params, name))
    if params.rope_scaling_type is not None:
        kind = params.rope_scaling_type.upper()
        native.rope_scaling_type = getattr(c, f"LLAMA_ROPE_SCALING_TYPE_{kind}")
    if params.flash_attn is not None:
        native.flash_attn_type = (
            c.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if params.flash_attn
            else c.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
    return native


_FROM_MODEL_UNLESS_SET = (
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_orig_ctx",
)


def _ggml_name(cache_type: str) -> str:
    return cache_type.upper()
