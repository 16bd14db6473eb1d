"""A tiny model that gives pictures positions in two dimensions (M-RoPE)."""

from __future__ import annotations

import numpy as np
from tiny_gguf import F32, Tensor, Typed, bpe_vocabulary, write

WIDTH, HEADS, HIDDEN, LAYERS = 64, 4, 128, 2


def tiny_qwen2vl() -> bytes:
    """Qwen2-VL's architecture with random weights."""
    random = np.random.default_rng(11)

    def weights(name: str, *shape: int) -> Tensor:
        values = random.normal(0, 0.2, int(np.prod(shape))).astype("<f4")
        return Tensor(name, shape, F32, values.tobytes())

    def layer(at: int) -> list[Tensor]:
        blk = f"blk.{at}."
        return [
            weights(f"{blk}attn_norm.weight", WIDTH),
            *(weights(f"{blk}attn_{part}.weight", WIDTH, WIDTH) for part in ("q", "k", "v")),
            *(weights(f"{blk}attn_{part}.bias", WIDTH) for part in ("q", "k", "v")),
            weights(f"{blk}attn_output.weight", WIDTH, WIDTH),
            weights(f"{blk}ffn_norm.weight", WIDTH),
            weights(f"{blk}ffn_gate.weight", WIDTH, HIDDEN),
            weights(f"{blk}ffn_up.weight", WIDTH, HIDDEN),
            weights(f"{blk}ffn_down.weight", HIDDEN, WIDTH),
        ]

    vocabulary = bpe_vocabulary()
    n_vocab = len(vocabulary["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    metadata = {
        "general.architecture": "qwen2vl",
        "qwen2vl.block_count": LAYERS,
        "qwen2vl.context_length": 2048,
        "qwen2vl.embedding_length": WIDTH,
        "qwen2vl.feed_forward_length": HIDDEN,
        "qwen2vl.attention.head_count": HEADS,
        "qwen2vl.attention.head_count_kv": HEADS,
        "qwen2vl.attention.layer_norm_rms_epsilon": 1e-5,
        "qwen2vl.rope.freq_base": 100.0,
        "qwen2vl.rope.dimension_sections": [Typed("i", n) for n in (2, 3, 3, 0)],
        **vocabulary,
    }
    tensors = [
        weights("token_embd.weight", WIDTH, n_vocab),
        weights("output_norm.weight", WIDTH),
        weights("output.weight", WIDTH, n_vocab),
        *(tensor for at in range(LAYERS) for tensor in layer(at)),
    ]
    return bytes(write(metadata, tensors).data)
