"""A T5 of random weights, with its decoder or without."""

from __future__ import annotations

from typing import Any

import numpy as np
from tiny_gguf import F32, Tensor, bpe_vocabulary, write

WIDTH, HEADS, HIDDEN, BUCKETS = 64, 4, 128, 32


def tiny_t5(*, decoder: bool = True) -> bytes:
    """One layer each."""
    vocabulary = bpe_vocabulary()
    n_vocab = len(vocabulary["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    name = "t5" if decoder else "t5encoder"
    metadata: dict[str, Any] = {
        "general.architecture": name,
        f"{name}.context_length": 64,
        f"{name}.embedding_length": WIDTH,
        f"{name}.feed_forward_length": HIDDEN,
        f"{name}.block_count": 1,
        f"{name}.attention.head_count": HEADS,
        f"{name}.attention.layer_norm_rms_epsilon": 1e-6,
        f"{name}.attention.relative_buckets_count": BUCKETS,
        f"{name}.decoder_start_token_id": 0,
        **vocabulary,
    }
    tensors = [_tensor("token_embd.weight", WIDTH, n_vocab), *_layer("enc", cross=False)]
    if decoder:
        tensors += _layer("dec", cross=True)
    return bytes(write(metadata, tensors).data)


def _layer(side: str, *, cross: bool) -> list[Tensor]:
    blk = f"{side}.blk.0"
    attentions = ["attn", "cross_attn"] if cross else ["attn"]
    return [
        _tensor(f"{side}.output_norm.weight", WIDTH),
        _tensor(f"{blk}.attn_rel_b.weight", HEADS, BUCKETS),
        *(_tensor(f"{blk}.{name}_norm.weight", WIDTH) for name in (*attentions, "ffn")),
        *(
            _tensor(f"{blk}.{attention}_{part}.weight", WIDTH, WIDTH)
            for attention in attentions
            for part in "qkvo"
        ),
        _tensor(f"{blk}.ffn_up.weight", WIDTH, HIDDEN),
        _tensor(f"{blk}.ffn_down.weight", HIDDEN, WIDTH),
    ]


_random = np.random.default_rng(0)


def _tensor(name: str, *shape: int) -> Tensor:
    values = _random.normal(1 if len(shape) == 1 else 0, 0.1, int(np.prod(shape)))
    return Tensor(name, shape, F32, values.astype("<f4").tobytes())
