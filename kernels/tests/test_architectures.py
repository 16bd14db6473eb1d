"""Models of several architectures and random weights: the same logits as without the plugin."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter
from gguf_files import quantise_file

from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native.handles import Batch
from llamaherd.params import ContextParams, ModelParams

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, SIZE, VOCABULARY, EXPERTS = 256, 512, 3, 4, 2, 64, 320, 8
SEQUENCES, STEPS = 5, 4
HEAD_NORMS = {"attn_q_norm.weight": (SIZE,), "attn_k_norm.weight": (SIZE,)}
POST_NORMS = {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}


@dataclass(frozen=True)
class Kind:
    """What an architecture has besides, or instead of, Llama's tensors and metadata."""

    more: Mapping[str, tuple[int, ...]]
    without: tuple[str, ...] = ()
    metadata: tuple[tuple[str, Any], ...] = ()


KINDS = {
    "llama": Kind({}),
    "qwen2": Kind(
        {
            "attn_q.bias": (HEADS * SIZE,),
            "attn_k.bias": (KV_HEADS * SIZE,),
            "attn_v.bias": (KV_HEADS * SIZE,),
        }
    ),
    "qwen3": Kind(HEAD_NORMS),
    "phi3": Kind(
        {
            "attn_qkv.weight": ((HEADS + 2 * KV_HEADS) * SIZE, WIDTH),
            "ffn_up.weight": (2 * HIDDEN, WIDTH),
        },
        ("attn_q.weight", "attn_k.weight", "attn_v.weight", "ffn_gate.weight"),
    ),
    "gemma2": Kind(POST_NORMS, ("output.weight",), metadata=(("attention.sliding_window", 8),)),
    "gemma3": Kind({**POST_NORMS, **HEAD_NORMS}, metadata=(("attention.sliding_window", 8),)),
    "qwen3moe": Kind(
        {
            **HEAD_NORMS,
            "ffn_gate_inp.weight": (EXPERTS, WIDTH),
            "ffn_gate_exps.weight": (EXPERTS, HIDDEN, WIDTH),
            "ffn_up_exps.weight": (EXPERTS, HIDDEN, WIDTH),
            "ffn_down_exps.weight": (EXPERTS, WIDTH, HIDDEN),
        },
        ("ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"),
        (
            ("expert_count", EXPERTS),
            ("expert_used_count", 3),
            ("expert_feed_forward_length", HIDDEN),
        ),
    ),
}


def layer(kind: Kind) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (WIDTH,),
        "attn_q.weight": (HEADS * SIZE, WIDTH),
        "attn_k.weight": (KV_HEADS * SIZE, WIDTH),
        "attn_v.weight": (KV_HEADS * SIZE, WIDTH),
        "attn_output.weight": (WIDTH, HEADS * SIZE),
        "ffn_norm.weight": (WIDTH,),
        "ffn_gate.weight": (HIDDEN, WIDTH),
        "ffn_up.weight": (HIDDEN, WIDTH),
        "ffn_down.weight": (WIDTH, HIDDEN),
        **kind.more,
    }
    return {name: shape for name, shape in shapes.items() if name not in kind.without}


def write(path: Path, name: str) -> None:
    kind, random = KINDS[name], np.random.default_rng(3)
    writer = GGUFWriter(path, name)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(VOCABULARY)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(SIZE)
    writer.add_value_length(SIZE)
    writer.add_rope_dimension_count(SIZE)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, value in kind.metadata:
        writer.add_uint32(f"{name}.{key}", value)
    shapes = {
        "token_embd.weight": (VOCABULARY, WIDTH),
        "output_norm.weight": (WIDTH,),
        "output.weight": (VOCABULARY, WIDTH),
    }
    for i in range(LAYERS):
        shapes |= {f"blk.{i}.{tensor}": shape for tensor, shape in layer(kind).items()}
    for tensor, shape in shapes.items():
        if tensor in kind.without:
            continue
        values = random.standard_normal(shape, np.float32) * np.float32(shape[-1] ** -0.5)
        if tensor.endswith("norm.weight"):
            values += np.float32(1)
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module", params=KINDS)
def quantised(
    plugin: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    folder = tmp_path_factory.mktemp("architectures")
    source, target = folder / "source.gguf", folder / "model.gguf"
    write(source, request.param)
    return quantise_file(source, target, "MOSTLY_Q4_0")  # which all instruction sets pack


def logits(path: Path, kernels: str, flash_attn: bool | None) -> Any:
    """Of some steps of several sequences of different lengths, after their prompts."""
    collected = []
    with closing(Model(path, ModelParams(kernels=kernels))) as model:
        params = ContextParams(n_ctx=512, n_parallel=SEQUENCES, n_batch=128, flash_attn=flash_attn)
        context, batch = model.new_context(params), Batch(128)

        def decode(tokens: list[tuple[int, int, int]]) -> None:
            native = batch.native
            native.n_tokens = len(tokens)
            for i, (token, position, seq) in enumerate(tokens):
                native.token[i], native.pos[i], native.logits[i] = token, position, True
                native.seq_id[i][0], native.n_seq_id[i] = seq, 1
            assert c.llama_decode(context.pointer, native) == 0
            for i in range(len(tokens)):
                row = c.llama_get_logits_ith(context.pointer, i)
                collected.append(np.ctypeslib.as_array(row, (VOCABULARY,)).copy())

        lengths = [3 + 7 * seq for seq in range(SEQUENCES)]
        for seq, length in enumerate(lengths):
            decode([((seq * 31 + i * 7) % VOCABULARY, i, seq) for i in range(length)])
        for step in range(STEPS):
            decode([(step * 13 + seq, lengths[seq] + step, seq) for seq in range(SEQUENCES)])
        context.close()
    return np.array(collected, np.float64)


def difference(some: Any, others: Any) -> float:
    return float(np.linalg.norm(some - others) / np.linalg.norm(others))


@pytest.mark.parametrize("flash_attn", [None, True, False])
def test_logits_agree(quantised: Path, flash_attn: bool | None) -> None:
    """Not to rounding: a value at the border of two bytes may fall on either side.

    So the measure is what stock's attention alone makes of it, with flash attention and without.
    """
    ours, stock = (logits(quantised, kernels, flash_attn) for kernels in ("auto", "off"))
    other = logits(quantised, "off", flash_attn is False)
    assert np.isfinite(stock).all()
    assert difference(ours, stock) <= 2 * difference(other, stock)
