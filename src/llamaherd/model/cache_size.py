"""What a context of a model will take, from the header of its file alone."""

from __future__ import annotations

from dataclasses import dataclass

from llamaherd.model.gguf import GGUFFile, NumberArray

F16_BYTES, F32_BYTES = 2, 4
CONTEXT_STEP = 256  # llama.cpp rounds the size of a context up to this


@dataclass(frozen=True)
class CacheSize:
    """How memory grows with the context.

    Attributes:
        bytes_per_token: of the key/value cache with f16 numbers, all layers together.
        state_bytes: of recurrent layers, whatever the context.
    """

    bytes_per_token: int
    state_bytes: int

    def at(self, n_ctx: int) -> int:
        """Bytes for one context of that many tokens."""
        return -(-n_ctx // CONTEXT_STEP) * CONTEXT_STEP * self.bytes_per_token + self.state_bytes


def cache_size(file: GGUFFile) -> CacheSize:
    """An upper bound: sliding-window layers keep their window only, which headers do not tell.

    Key/value cache: 2 bytes * sum over attending layers of ``n_head_kv * (key_length +
    value_length)``, both lengths ``embedding_length / head_count`` unless the file gives others.
    Multi-head latent attention (``key_length_mla``) keeps no values. Not attending are layers with
    ``head_count_kv`` 0, all but every ``full_attention_interval``-th, and the last
    ``shared_kv_layers``, which use the cache of earlier ones. Source: llama.cpp's
    ``llama_kv_cache`` (``n_embd_k_gqa``, ``n_embd_v_gqa``).

    Recurrent state: 4 bytes * each other layer's ``(conv_kernel - 1) * (inner_size + 2 *
    group_count * state_size) + inner_size * state_size``. Source: llama.cpp's
    ``llama_hparams::n_embd_r`` and ``n_embd_s`` for Mamba.
    """
    layers = Layers(file)
    if file.metadata.get(f"{file.architecture}.attention.causal") is False:
        return CacheSize(0, 0)  # an encoder reads a text at once
    n_recurrent = len(layers.recurrent) if layers.inner_size else 0
    return CacheSize(
        F16_BYTES * sum(layers.values_per_head * heads for heads in layers.cached_heads),
        F32_BYTES * n_recurrent * layers.state_values,
    )


class Layers:
    """The hyperparameters in a file's header, as llama.cpp reads them."""

    def __init__(self, file: GGUFFile) -> None:
        self._file, self._prefix = file, file.architecture
        self.n_layer = self._get("block_count")
        self.n_head = self._each("attention.head_count", 0)
        self.n_head_kv = self._each("attention.head_count_kv", None) or self.n_head

    @property
    def attending(self) -> list[int]:
        """Numbers of the layers with attention."""
        interval = self._get("full_attention_interval", 1)
        return [i for i, n in enumerate(self.n_head_kv) if n and (i + 1) % max(interval, 1) == 0]

    @property
    def recurrent(self) -> list[int]:
        """Numbers of the layers without."""
        return sorted({*range(self.n_layer)} - {*self.attending})

    @property
    def cached_heads(self) -> list[int]:
        """Key/value heads of each layer that has a cache of its own."""
        own = self.n_layer - self._get("attention.shared_kv_layers")
        return [self.n_head_kv[i] for i in self.attending if i < own]

    @property
    def values_per_head(self) -> int:
        """Numbers that one token leaves in the cache of one head."""
        width = self._get("embedding_length") // max(1, *self.n_head[:1])
        keys = self._get("attention.key_length", width)
        latent = self._get("attention.key_length_mla")
        return keys + (0 if latent else self._get("attention.value_length", width))

    @property
    def inner_size(self) -> int:
        """Width of recurrent layers; 0: there are none."""
        return self._get("ssm.inner_size")

    @property
    def state_values(self) -> int:
        """Numbers in the state of one recurrent layer."""
        state, groups = self._get("ssm.state_size"), self._get("ssm.group_count")
        rolling = max(self._get("ssm.conv_kernel") - 1, 0)
        return rolling * (self.inner_size + 2 * groups * state) + self.inner_size * state

    def _get(self, key: str, default: int = 0) -> int:
        value = self._file.integer(f"{self._prefix}.{key}")
        return default if value is None else value

    def _each(self, key: str, default: int | None) -> list[int]:
        """A number for each layer; a file gives one for all, or a list."""
        value = self._file.metadata.get(f"{self._prefix}.{key}", default)
        if isinstance(value, NumberArray):
            return [int(n) for n in value]
        return [value] * self.n_layer if isinstance(value, int) else []
