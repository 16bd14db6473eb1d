"""Whether llama.cpp can run a file's multi-token-prediction layers without killing the process.

Its loader takes a file that says it has such layers and holds none, and its graphs meet what they
miss with ``GGML_ASSERT`` (``graph_mtp`` in ``src/models/*.cpp``, v0.5). An architecture that is
not in the table has no such graph, or one whose demands nobody has read off yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llamaherd.model.gguf_reader import GGUFFile, Value
from llamaherd.model.gguf_rules import Facts

_ANY_FEED_FORWARD = "ffn_up|ffn_up_exps|ffn_gate_up_exps"
_COMMON = ("nextn.eh_proj", "nextn.enorm", "nextn.hnorm")
BLOCK_TENSORS: Mapping[str, tuple[str, ...]] = {
    "bailingmoe3": (),
    "cohere2moe": (),
    "deepseek2": ("attn_q_a", "attn_k_b", "ffn_gate_inp", "ffn_gate_shexp"),
    "deepseek32": ("attn_k_b", "ffn_gate_inp"),
    "glm-dsa": ("attn_k_b", "ffn_gate_inp"),
    "glm4moe": ("ffn_gate_inp",),
    "hy_v3": (_ANY_FEED_FORWARD,),
    "mimo2": ("attn_qkv", "ffn_gate", "ffn_down", "ffn_up"),
    "nemotron_h_moe": (),
    "qwen35": (),
    "qwen35moe": (),
    "qwen3next": (),
    "step35": (_ANY_FEED_FORWARD,),
}
"""What graphs assert of each such layer beside :data:`_COMMON`, of what loaders do not demand."""

SEVERAL_LAYERS = frozenset({"hy_v3", "mimo2", "step35"})
"""May have more than one; the first guesses. Others: GGML_ASSERT(n_layer_nextn == 1)."""

LATENT_ATTENTION = frozenset({"deepseek2", "deepseek32", "glm-dsa"})
"""GGML_ASSERT(hparams.is_mla()), and in deepseek2 that attention has no temperature."""


def mtp_obstacle(parts: Sequence[GGUFFile], overrides: Mapping[str, Value]) -> str | None:
    """Why multi-token prediction cannot be used with a file; None: it can."""
    facts = Facts(parts, overrides)
    n_extra = facts.integer("nextn_predict_layers") or 0
    if not n_extra:
        return "it has none"
    if facts.arch not in BLOCK_TENSORS:
        return f"llama.cpp does not run those of {facts.arch}"
    if n_extra > 1 and facts.arch not in SEVERAL_LAYERS:
        return f"it has {n_extra}, and llama.cpp runs one of {facts.arch}"
    if facts.arch in LATENT_ATTENTION and (
        not facts.integer("attention.key_length_mla") or facts.value("attention.temperature_scale")
    ):
        return f"llama.cpp does not run those of {facts.arch} with this kind of attention"
    return _missing_tensor(facts, n_extra)


def _missing_tensor(facts: Facts, n_extra: int) -> str | None:
    names = {tensor.name for _, tensor in facts.tensors()}
    n_layers = facts.integer("block_count") or 0
    for at in range(n_layers - n_extra, n_layers):
        for wanted in (*_COMMON, *BLOCK_TENSORS[facts.arch]):
            found = (f"blk.{at}.{name}.weight" in names for name in wanted.split("|"))
            if not any(found):
                return f"the file lacks blk.{at}.{wanted}.weight (converted without them?)"
    return None
