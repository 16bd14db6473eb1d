"""Tiny models whose memory cannot be cut back: recurrent, hybrid, sliding window."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tiny_gguf import F32, Tensor, bpe_vocabulary, write

WIDTH, HEADS, HIDDEN, LAYERS, CONTEXT = 64, 4, 128, 2, 2048
HEAD = WIDTH // HEADS
WINDOW_TOKENS = 32


class Weights:
    """Random float32 tensors, the same every time."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(3)
        self.tensors: list[Tensor] = []

    def add(self, name: str, *shape: int, ones: bool = False) -> None:
        values = np.ones(shape[::-1]) if ones else self._random.normal(0, 0.2, shape[::-1])
        self.put(name, values)

    def put(self, name: str, values: npt.NDArray[np.floating[Any]]) -> None:
        """These numbers, of a matrix a row for each output; who comes first counts."""
        if all(tensor.name != name for tensor in self.tensors):
            data = values.astype("<f4").tobytes()
            self.tensors.append(Tensor(name, values.shape[::-1], F32, data))

    def feed_forward(self, blk: str) -> None:
        self.add(f"{blk}ffn_norm.weight", WIDTH, ones=True)
        self.add(f"{blk}ffn_gate.weight", WIDTH, HIDDEN)
        self.add(f"{blk}ffn_up.weight", WIDTH, HIDDEN)
        self.add(f"{blk}ffn_down.weight", HIDDEN, WIDTH)

    def attention(self, blk: str) -> None:
        for part in ("q", "k", "v"):
            self.add(f"{blk}attn_{part}.weight", WIDTH, WIDTH)
        self.add(f"{blk}attn_output.weight", WIDTH, WIDTH)
        for part in ("q", "k"):
            self.add(f"{blk}attn_{part}_norm.weight", HEAD, ones=True)


def model_bytes(architecture: str, weights: Weights, **keys: object) -> bytes:
    vocabulary = bpe_vocabulary()
    n_vocab = len(vocabulary["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    weights.add("token_embd.weight", WIDTH, n_vocab)
    metadata = {
        "general.architecture": architecture,
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.context_length": CONTEXT,
        f"{architecture}.embedding_length": WIDTH,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        **{f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()},
        **vocabulary,
    }
    return bytes(write(metadata, weights.tensors).data)


def recurrent() -> bytes:
    """A Mamba model."""
    inner, state, rank = 2 * WIDTH, 16, 8
    weights = Weights()
    for at in range(LAYERS):
        blk = f"blk.{at}."
        weights.add(f"{blk}attn_norm.weight", WIDTH, ones=True)
        weights.add(f"{blk}ssm_in.weight", WIDTH, 2 * inner)
        weights.add(f"{blk}ssm_conv1d.weight", 4, inner)
        weights.add(f"{blk}ssm_conv1d.bias", inner)
        weights.add(f"{blk}ssm_x.weight", inner, rank + 2 * state)
        weights.add(f"{blk}ssm_dt.weight", rank, inner)
        weights.add(f"{blk}ssm_dt.bias", inner)
        weights.add(f"{blk}ssm_a", state, inner)
        weights.add(f"{blk}ssm_d", inner)
        weights.add(f"{blk}ssm_out.weight", inner, WIDTH)
    weights.tensors = [_negative(t) if t.name.endswith("ssm_a") else t for t in weights.tensors]
    weights.add("output_norm.weight", WIDTH, ones=True)
    return model_bytes(
        "mamba", weights, feed_forward_length=0, attention__head_count=0, ssm__conv_kernel=4,
        ssm__inner_size=inner, ssm__state_size=state, ssm__time_step_rank=rank,
    )  # fmt: skip


def _negative(tensor: Tensor) -> Tensor:
    """A state that decays, or it would overflow."""
    values = -np.abs(np.frombuffer(tensor.data, dtype="<f4")) - 0.1
    return Tensor(tensor.name, tensor.shape, F32, values.astype("<f4").tobytes())


def hybrid(**keys: object) -> bytes:
    """An LFM2 model: a layer of short convolutions, then one of attention."""
    weights = Weights()
    for at in range(LAYERS):
        blk = f"blk.{at}."
        weights.add(f"{blk}attn_norm.weight", WIDTH, ones=True)
        weights.feed_forward(blk)
        if at % 2:
            weights.attention(blk)
        else:
            weights.add(f"{blk}shortconv.conv.weight", 3, WIDTH)
            weights.add(f"{blk}shortconv.in_proj.weight", WIDTH, 3 * WIDTH)
            weights.add(f"{blk}shortconv.out_proj.weight", WIDTH, WIDTH)
    weights.add("token_embd_norm.weight", WIDTH, ones=True)
    return model_bytes(
        "lfm2", weights, feed_forward_length=HIDDEN, attention__head_count=HEADS,
        attention__head_count_kv=[0, HEADS], shortconv__l_cache=3, rope__freq_base=10000.0, **keys,
    )  # fmt: skip


def hybrid_sliding() -> bytes:
    """An LFM2 model whose layer of attention sees the last 32 tokens."""
    return hybrid(attention__sliding_window=WINDOW_TOKENS)


def sliding() -> bytes:
    """A Gemma 3 model whose layers see the last 32 tokens."""
    weights = Weights()
    for at in range(LAYERS):
        blk = f"blk.{at}."
        weights.add(f"{blk}attn_norm.weight", WIDTH, ones=True)
        weights.attention(blk)
        weights.add(f"{blk}post_attention_norm.weight", WIDTH, ones=True)
        weights.feed_forward(blk)
        weights.add(f"{blk}post_ffw_norm.weight", WIDTH, ones=True)
    weights.add("output_norm.weight", WIDTH, ones=True)
    return model_bytes(
        "gemma3", weights, feed_forward_length=HIDDEN, attention__head_count=HEADS,
        attention__head_count_kv=HEADS, attention__key_length=HEAD, attention__value_length=HEAD,
        attention__sliding_window=WINDOW_TOKENS,
    )  # fmt: skip


FORGETTING = {
    "recurrent": recurrent,
    "hybrid": hybrid,
    "sliding": sliding,
    "hybrid sliding": hybrid_sliding,
}
