"""Tiny models with a multi-token-prediction layer, of random weights or of weights that foresee."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tiny_forgetting import (
    HEAD,
    HEADS,
    HIDDEN,
    LAYERS,
    WIDTH,
    WINDOW_TOKENS,
    Weights,
    model_bytes,
)
from tiny_gguf import bpe_vocabulary

FIRST, LAST = 10, 10 + WIDTH - 1
"""The tokens that :func:`foreseeing` says, one after the other and round again."""


def plain(
    weights: Weights | None = None,
    n_layers: int = 1,
    holds: Callable[[str], bool] = lambda _name: True,
) -> bytes:
    """A Hunyuan V3 model: dense layers, memory that can be cut back.

    Args:
        weights: those that are not random.
        n_layers: extra layers.
        holds: which tensors the file has.
    """
    weights = weights or Weights()
    _layers(weights, n_layers)
    weights.add("output_norm.weight", WIDTH, ones=True)
    weights.tensors = [tensor for tensor in weights.tensors if holds(tensor.name)]
    return model_bytes(
        "hy_v3", weights, block_count=LAYERS + n_layers, nextn_predict_layers=n_layers,
        feed_forward_length=HIDDEN, expert_feed_forward_length=HIDDEN,
        attention__head_count=HEADS, attention__head_count_kv=HEADS, rope__freq_base=10000.0,
    )  # fmt: skip


def hybrid() -> bytes:
    """A Qwen 3.5 model: a layer of linear attention, whose state can be rolled back, and one of
    attention."""
    weights, groups, state, conv = Weights(), 2, 16, 4
    inner = HEADS * state
    for at in range(LAYERS + 1):
        blk = f"blk.{at}."
        weights.add(f"{blk}attn_norm.weight", WIDTH, ones=True)
        weights.add(f"{blk}post_attention_norm.weight", WIDTH, ones=True)
        for name, *shape in (
            ("gate", WIDTH, HIDDEN), ("up", WIDTH, HIDDEN), ("down", HIDDEN, WIDTH),
        ):  # fmt: skip
            weights.add(f"{blk}ffn_{name}.weight", *shape)
        if at == 0:
            channels = 2 * groups * state + inner
            weights.add(f"{blk}attn_qkv.weight", WIDTH, channels)
            weights.add(f"{blk}attn_gate.weight", WIDTH, inner)
            weights.add(f"{blk}ssm_conv1d.weight", conv, channels)
            weights.add(f"{blk}ssm_dt.bias", HEADS)
            weights.put(f"{blk}ssm_a", -np.linspace(0.1, 0.5, HEADS))
            weights.add(f"{blk}ssm_beta.weight", WIDTH, HEADS)
            weights.add(f"{blk}ssm_alpha.weight", WIDTH, HEADS)
            weights.add(f"{blk}ssm_norm.weight", state, ones=True)
            weights.add(f"{blk}ssm_out.weight", inner, WIDTH)
        else:
            weights.add(f"{blk}attn_q.weight", WIDTH, 2 * WIDTH)  # with a gate
            weights.add(f"{blk}attn_k.weight", WIDTH, WIDTH)
            weights.add(f"{blk}attn_v.weight", WIDTH, WIDTH)
            weights.add(f"{blk}attn_output.weight", WIDTH, WIDTH)
            weights.add(f"{blk}attn_q_norm.weight", HEAD, ones=True)
            weights.add(f"{blk}attn_k_norm.weight", HEAD, ones=True)
        if at == LAYERS:
            _joint(weights, blk)
    weights.add("output_norm.weight", WIDTH, ones=True)
    return model_bytes(
        "qwen35", weights, block_count=LAYERS + 1, nextn_predict_layers=1,
        full_attention_interval=2, feed_forward_length=HIDDEN, attention__head_count=HEADS,
        attention__head_count_kv=HEADS, attention__key_length=HEAD, attention__value_length=HEAD,
        rope__freq_base=10000.0, rope__dimension_count=HEAD, rope__dimension_sections=[3, 3, 2, 0],
        ssm__conv_kernel=conv, ssm__inner_size=inner, ssm__state_size=state,
        ssm__time_step_rank=HEADS, ssm__group_count=groups,
    )  # fmt: skip


def sliding() -> bytes:
    """A Step 3.5 model with two extra layers; one layer sees the last 32 tokens."""
    weights, extra = Weights(), 2
    _layers(weights, extra)
    weights.add("output_norm.weight", WIDTH, ones=True)
    weights.add("output.weight", WIDTH, len(_words()))
    no_limits = [0.0] * (LAYERS + extra)
    return model_bytes(
        "step35", weights, block_count=LAYERS + extra, nextn_predict_layers=extra,
        feed_forward_length=HIDDEN, attention__head_count=HEADS, attention__head_count_kv=HEADS,
        attention__key_length=HEAD, attention__value_length=HEAD, rope__dimension_count=HEAD,
        rope__freq_base=10000.0, rope__freq_base_swa=10000.0, expert_count=4,
        expert_used_count=2, expert_feed_forward_length=HIDDEN,
        expert_shared_feed_forward_length=HIDDEN, leading_dense_block_count=LAYERS + extra,
        attention__sliding_window=WINDOW_TOKENS,
        attention__sliding_window_pattern=[True, False, *[True] * extra],
        swiglu_clamp_exp=no_limits, swiglu_clamp_shexp=no_limits,
    )  # fmt: skip


def _words() -> list[str]:
    return bpe_vocabulary()["tokenizer.ggml.tokens"]  # type: ignore[return-value]


def foreseeing() -> bytes:
    """Says FIRST, FIRST + 1, ..., LAST, FIRST, ..., and its extra layer knows.

    Layers add nothing, so a hidden state is its token's embedding, and the head answers it with
    the next token. The extra layer adds the embedding of its token and the hidden state it is
    given, and its own head answers the sums of neighbours: it is right only where the hidden state
    is that of the token before.
    """
    weights = Weights()
    n_vocab = len(_words())
    embeddings, head, head_of_two = np.zeros((3, n_vocab, WIDTH))
    said = np.arange(FIRST, LAST + 1)
    embeddings[said] = np.eye(WIDTH)  # no two alike in the least
    head[np.roll(said, -1)] = embeddings[said]
    head_of_two[np.roll(said, -2)] = embeddings[said] + embeddings[np.roll(said, -1)]
    weights.put("token_embd.weight", embeddings)
    weights.put("output.weight", head)
    weights.put(f"blk.{LAYERS}.nextn.shared_head_head.weight", head_of_two)
    weights.put(f"blk.{LAYERS}.nextn.eh_proj.weight", np.hstack([np.eye(WIDTH)] * 2))
    for at in range(LAYERS + 1):
        weights.put(f"blk.{at}.attn_output.weight", np.zeros((WIDTH, WIDTH)))
        weights.put(f"blk.{at}.ffn_down.weight", np.zeros((WIDTH, HIDDEN)))
    return plain(weights)


def _layers(weights: Weights, n_extra: int) -> None:
    """The model's layers of attention, and so many more that predict."""
    for at in range(LAYERS + n_extra):
        blk = f"blk.{at}."
        weights.add(f"{blk}attn_norm.weight", WIDTH, ones=True)
        weights.attention(blk)
        weights.feed_forward(blk)
        if at >= LAYERS:
            _joint(weights, blk)


def _joint(weights: Weights, blk: str) -> None:
    """Where the embedding of a token and a hidden state become one vector."""
    weights.add(f"{blk}nextn.eh_proj.weight", 2 * WIDTH, WIDTH)
    for name in ("enorm", "hnorm", "shared_head_norm"):
        weights.add(f"{blk}nextn.{name}.weight", WIDTH, ones=True)
