"""Models of real shape that count, and whose prediction layers or small siblings know what follows.

After each token comes the next one of the vocabulary. Layers add nothing (what they would add is
multiplied by zero, which takes as long as by anything else), so a hidden state is its token's
embedding, and the head answers it with the next token. Embeddings lie in two halves: of tokens
in the first a guesser knows what follows, of those in the second it has no idea. Where a prompt
begins to count therefore decides how many guesses come true (:data:`KNOWN`).

- ``hybrid``: the shape of Qwen3.5 0.8B with its prediction layer; memory that cannot be cut back.
- ``dense``: that of Llama 3.2 1B, with a prediction layer as in Hunyuan V3.
- ``draft``: a Llama of 8 layers with a width of 512 and the vocabulary of ``dense``.

usage: python benchmarks/counting_model.py [KIND]     prints the path
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter
from random_model import CACHE, add_vocabulary, noise, quantise

FIRST = 1000
N_EACH = 40_000
KNOWN = {"all": 1.0, "half": 0.5, "none": 0.0}
"""Of how many tokens of a stretch of the vocabulary a guesser knows what follows."""


def starts(stretch: str, n: int) -> list[list[int]]:
    """So many prompts that count in a stretch, far from each other."""
    begin = FIRST + list(KNOWN).index(stretch) * N_EACH
    return [list(range(at, at + 16)) for at in range(begin, begin + N_EACH, N_EACH // n)]


def counting_model(kind: str) -> Path:
    """The file of a kind in Q4_K_M, made if it is not there yet (some minutes on two cores)."""
    path = CACHE / f"counting-{kind}-q4_k_m.gguf"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".f16")
        print(f"making the counting model {kind}, once", file=sys.stderr)
        _File(half, SHAPES[kind]).write()
        quantise(half, path)
        half.unlink()
    return path


@dataclass(frozen=True)
class _Shape:
    """What is called as in GGUF; ``layer`` adds the tensors of one, a prediction layer's too."""

    architecture: str
    width: int
    hidden: int
    n_layers: int
    n_predicting: int
    heads: int
    kv_heads: int
    head: int
    n_vocab: int
    layer: Callable[[_File, str, int], None]
    keys: dict[str, Any]


class _File:
    """A GGUF with 16-bit weights."""

    def __init__(self, path: Path, shape: _Shape) -> None:
        self.shape, self._writer = shape, GGUFWriter(path, shape.architecture)

    def write(self) -> None:
        self._write_keys()
        self._add_embeddings()
        for at in range(self.shape.n_layers + self.shape.n_predicting):
            self.shape.layer(self, f"blk.{at}.", at)
            if at >= self.shape.n_layers:
                self._add_joint(f"blk.{at}.nextn.")
        self.ones("output_norm.weight", self.shape.width)
        self._writer.write_header_to_file()
        self._writer.write_kv_data_to_file()
        self._writer.write_tensors_to_file(progress=sys.stderr.isatty())
        self._writer.close()

    def ones(self, name: str, *shape: int) -> None:
        self._writer.add_tensor(name, np.ones(shape, np.float32))

    def zeros(self, name: str, *shape: int) -> None:
        """What a layer would add."""
        self._writer.add_tensor(name, np.zeros(shape, np.float16))

    def noise(self, name: str, *shape: int) -> None:
        self._writer.add_tensor(name, noise(shape))

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        self._writer.add_tensor(name, values)

    def attention(self, blk: str, *, gated: bool = False) -> None:
        shape = self.shape
        inner, kv = shape.heads * shape.head, shape.kv_heads * shape.head
        self.ones(f"{blk}attn_norm.weight", shape.width)
        self.noise(f"{blk}attn_q.weight", 2 * inner if gated else inner, shape.width)
        self.noise(f"{blk}attn_k.weight", kv, shape.width)
        self.noise(f"{blk}attn_v.weight", kv, shape.width)
        self.zeros(f"{blk}attn_output.weight", shape.width, inner)

    def feed_forward(self, blk: str) -> None:
        width, hidden = self.shape.width, self.shape.hidden
        self.noise(f"{blk}ffn_gate.weight", hidden, width)
        self.noise(f"{blk}ffn_up.weight", hidden, width)
        self.zeros(f"{blk}ffn_down.weight", width, hidden)

    def _write_keys(self) -> None:
        shape, writer = self.shape, self._writer
        writer.add_context_length(32_768)
        writer.add_embedding_length(shape.width)
        writer.add_block_count(shape.n_layers + shape.n_predicting)
        writer.add_feed_forward_length(shape.hidden)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_key_length(shape.head)
        writer.add_value_length(shape.head)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_vocab_size(shape.n_vocab)
        writer.add_file_type(1)
        if shape.n_predicting:
            writer.add_uint32(f"{shape.architecture}.nextn_predict_layers", shape.n_predicting)
        for key, value in shape.keys.items():
            add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
            (writer.add_array if isinstance(value, list) else add)(
                f"{shape.architecture}.{key}", value
            )
        add_vocabulary(writer, shape.n_vocab)

    def _add_embeddings(self) -> None:
        n_vocab, width = self.shape.n_vocab, self.shape.width
        chance = np.random.default_rng(2)
        halves = np.zeros((n_vocab, 2, width // 2), np.float16)
        half = np.where(_known(n_vocab), 0, 1)
        halves[np.arange(n_vocab), half] = chance.standard_normal((n_vocab, width // 2), np.float32)
        embeddings = halves.reshape(n_vocab, width)
        head = np.roll(embeddings, 1, axis=0)
        if not self.shape.n_predicting:  # it only guesses
            head[:, width // 2 :] = 0
        self.put("token_embd.weight", embeddings)
        self.put("output.weight", head)

    def _add_joint(self, nextn: str) -> None:
        """Hands the token's embedding on, if its guesser knows it, and no hidden state."""
        width = self.shape.width
        known = np.diag(np.arange(width) < width // 2)
        self.put(f"{nextn}eh_proj.weight", np.hstack([known, 0 * known]).astype(np.float16))
        for name in ("enorm", "hnorm", "shared_head_norm"):
            self.ones(f"{nextn}{name}.weight", width)


def _known(n_vocab: int) -> npt.NDArray[np.bool_]:
    """Of which tokens a guesser knows what follows."""
    share = np.zeros(n_vocab)
    for at, each in enumerate(KNOWN.values()):
        share[FIRST + at * N_EACH : FIRST + (at + 1) * N_EACH] = each
    return np.random.default_rng(3).random(n_vocab) < share


def _dense_layer(file: _File, blk: str, at: int) -> None:
    file.attention(blk)
    if file.shape.architecture != "llama":
        for part in "qk":
            file.ones(f"{blk}attn_{part}_norm.weight", file.shape.head)
    file.ones(f"{blk}ffn_norm.weight", file.shape.width)
    file.feed_forward(blk)


def _hybrid_layer(file: _File, blk: str, at: int) -> None:
    """Every fourth layer has attention, and so has the predicting one; others a state."""
    if at % 4 == 3 or at >= file.shape.n_layers:
        file.attention(blk, gated=True)
        for part in "qk":
            file.ones(f"{blk}attn_{part}_norm.weight", file.shape.head)
    else:
        _delta_net(file, blk)
    file.ones(f"{blk}post_attention_norm.weight", file.shape.width)
    file.feed_forward(blk)


def _delta_net(file: _File, blk: str) -> None:
    width, keys = file.shape.width, file.shape.keys
    heads, state, kernel = (
        keys[f"ssm.{n}"] for n in ("time_step_rank", "state_size", "conv_kernel")
    )
    inner = heads * state
    channels = 2 * keys["ssm.group_count"] * state + inner
    file.ones(f"{blk}attn_norm.weight", width)
    file.noise(f"{blk}attn_qkv.weight", channels, width)
    file.noise(f"{blk}attn_gate.weight", inner, width)
    file.put(f"{blk}ssm_conv1d.weight", noise((channels, kernel)).astype(np.float32))
    file.ones(f"{blk}ssm_dt.bias", heads)
    file.put(f"{blk}ssm_a", -np.linspace(0.1, 0.5, heads, dtype=np.float32))
    file.noise(f"{blk}ssm_beta.weight", heads, width)
    file.noise(f"{blk}ssm_alpha.weight", heads, width)
    file.ones(f"{blk}ssm_norm.weight", state)
    file.zeros(f"{blk}ssm_out.weight", width, inner)


SHAPES = {
    "hybrid": _Shape(
        "qwen35", width=1024, hidden=3584, n_layers=24, n_predicting=1, heads=8, kv_heads=2,
        head=256, n_vocab=248_320, layer=_hybrid_layer, keys={
            "full_attention_interval": 4, "rope.freq_base": 1e7, "rope.dimension_count": 64,
            "rope.dimension_sections": [11, 11, 10, 0], "ssm.conv_kernel": 4,
            "ssm.inner_size": 2048, "ssm.state_size": 128, "ssm.time_step_rank": 16,
            "ssm.group_count": 16,
        },
    ),
    "dense": _Shape(
        "hy_v3", width=2048, hidden=8192, n_layers=16, n_predicting=1, heads=32, kv_heads=8,
        head=64, n_vocab=128_256, layer=_dense_layer, keys={
            "expert_feed_forward_length": 8192, "rope.freq_base": 5e5, "rope.dimension_count": 64,
        },
    ),
    "draft": _Shape(
        "llama", width=512, hidden=2048, n_layers=8, n_predicting=0, heads=8, kv_heads=2, head=64,
        n_vocab=128_256, layer=_dense_layer, keys={
            "rope.freq_base": 5e5, "rope.dimension_count": 64,
        },
    ),
}  # fmt: skip


if __name__ == "__main__":
    for each in sys.argv[1:] or SHAPES:
        print(counting_model(each))
