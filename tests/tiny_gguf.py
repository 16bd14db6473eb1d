"""GGUF files of a few hundred kB that llama.cpp can run, written field by field.

Written by hand and not with the `gguf` package, so that tests know where every field lies.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

F32, F16, Q8_0 = 0, 1, 8
WIDTH, HEADS, KV_HEADS, HIDDEN, LAYERS = 64, 4, 2, 128, 2
WORDS = ("th", "the", "in", "er", "an", "on", "re", "at")


@dataclass(frozen=True)
class Typed:
    """A metadata value with its type named: ``Typed("H", 3)`` is an unsigned 16-bit 3."""

    code: str
    value: Any


TYPES = {"B": 0, "b": 1, "H": 2, "h": 3, "I": 4, "i": 5, "f": 6, "?": 7, "Q": 10, "q": 11, "d": 12}
STRING, ARRAY = 8, 9
NO_STRINGS: list[str] = []


@dataclass(frozen=True)
class Tensor:
    """A tensor to write; `data` is padded to the alignment."""

    name: str
    shape: tuple[int, ...]
    type: int
    data: bytes


@dataclass(frozen=True)
class Field:
    """Where a number of the header lies, and to which key or tensor it belongs."""

    offset: int
    size_bytes: int
    owner: str


@dataclass
class Writer:
    """Bytes of a GGUF file, and where in them each number of the header lies."""

    data: bytearray = field(default_factory=bytearray)
    fields: list[Field] = field(default_factory=list)
    header_bytes: int = 0
    owner: str = "start"

    def number(self, code: str, value: float) -> None:
        raw = struct.pack(f"<{code}", value)
        self.fields.append(Field(len(self.data), len(raw), self.owner))
        self.data += raw

    def string(self, value: str | bytes) -> None:
        raw = value.encode() if isinstance(value, str) else value
        self.number("Q", len(raw))
        self.data += raw

    def value(self, value: object) -> None:
        kind = _kind(value)
        self.number("i", kind)
        if kind == ARRAY:
            self.array(list(value))  # type: ignore[call-overload]
        else:
            self.item(value)

    def array(self, values: list[object]) -> None:
        self.number("i", _kind(values[0]) if values else STRING)
        self.number("Q", len(values))
        for value in values:
            self.item(value)

    def item(self, value: object) -> None:
        if isinstance(value, (str, bytes)):
            self.string(value)
        elif isinstance(value, Typed):
            self.number(value.code, value.value)
        else:
            code = next(c for c, kind in TYPES.items() if kind == _kind(value))
            self.number(code, value)  # type: ignore[arg-type]


def _kind(value: object) -> int:
    if isinstance(value, Typed):
        return TYPES[value.code]
    by_type: dict[type, int] = {
        bool: TYPES["?"],
        int: TYPES["I"],
        float: TYPES["f"],
        str: STRING,
        bytes: STRING,
        list: ARRAY,
    }
    return by_type[type(value)]


def write(
    metadata: Mapping[str, object], tensors: list[Tensor], version: int = 3, alignment: int = 32
) -> Writer:
    """A GGUF file. Plain ints become u32, floats f32."""
    out = Writer(bytearray(b"GGUF"))
    out.number("I", version)
    out.number("Q", len(tensors))
    out.number("Q", len(metadata))
    for key, value in metadata.items():
        out.owner = key
        out.string(key)
        out.value(value)
    offset = 0
    for tensor in tensors:
        out.owner = tensor.name
        out.string(tensor.name)
        out.number("I", len(tensor.shape))
        for size in tensor.shape:
            out.number("Q", size)
        out.number("I", tensor.type)
        out.number("Q", offset)
        offset += -(-len(tensor.data) // alignment) * alignment
    out.header_bytes = len(out.data)
    for tensor in tensors:
        out.data += bytes(-len(out.data) % alignment)
        out.data += tensor.data
    return out


def byte_level_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in plain else next(spare)) for byte in range(256)]


def bpe_vocabulary() -> dict[str, object]:
    """A byte-level BPE vocabulary of 267 tokens."""
    tokens = [*byte_level_alphabet(), *WORDS, "<s>", "</s>", "<|im_end|>"]
    merges = [f"{word[:-1]} {word[-1]}" for word in WORDS]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [
            Typed("i", 3 if "<" in t and len(t) > 1 else 1) for t in tokens
        ],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": tokens.index("<s>"),
        "tokenizer.ggml.eos_token_id": tokens.index("</s>"),
        "tokenizer.ggml.add_bos_token": True,
    }


def spm_vocabulary() -> dict[str, object]:
    """A SentencePiece vocabulary of 372 tokens."""
    special = ["<unk>", "<s>", "</s>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = ["▁", *(f"▁{word}" for word in WORDS), *WORDS, *map(chr, range(0x21, 0x7F))]
    tokens = [*special, *byte_tokens, *pieces, "<|im_end|>"]
    types = [2, 3, 3, *[6] * 256, *[1] * len(pieces), 3]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(at) for at in range(len(tokens))],
        "tokenizer.ggml.token_type": [Typed("i", kind) for kind in types],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }


def llama_metadata(n_vocab: int, experts: int = 0) -> dict[str, object]:
    """Every key that a llama model reads, and some it may."""
    mixture = {"llama.expert_count": experts, "llama.expert_used_count": 2} if experts else {}
    return {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.file_type": 1,
        "llama.block_count": LAYERS,
        "llama.context_length": 256,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.scaling.type": "linear",
        "llama.rope.scaling.factor": 1.0,
        "llama.vocab_size": n_vocab,
        **mixture,
    }


def llama_tensors(n_vocab: int, experts: int = 0) -> list[Tensor]:
    """Random weights."""
    random = np.random.default_rng(0)
    head = WIDTH // HEADS

    def weights(name: str, *shape: int, kind: int = F16) -> Tensor:
        values = random.normal(0, 0.1, int(np.prod(shape)))
        if kind == Q8_0:
            return Tensor(name, shape, kind, _q8_0(values))
        return Tensor(name, shape, kind, values.astype("<f4" if kind == F32 else "<f2").tobytes())

    def layer(at: int) -> list[Tensor]:
        blk = f"blk.{at}."
        extra = (experts,) if experts else ()
        name = "_exps" if experts else ""
        router = [weights(f"{blk}ffn_gate_inp.weight", WIDTH, experts, kind=F32)] if experts else []
        return [
            weights(f"{blk}attn_norm.weight", WIDTH, kind=F32),
            weights(f"{blk}attn_q.weight", WIDTH, WIDTH),
            weights(f"{blk}attn_k.weight", WIDTH, head * KV_HEADS),
            weights(f"{blk}attn_v.weight", WIDTH, head * KV_HEADS),
            weights(f"{blk}attn_output.weight", WIDTH, WIDTH, kind=Q8_0),
            weights(f"{blk}ffn_norm.weight", WIDTH, kind=F32),
            *router,
            weights(f"{blk}ffn_gate{name}.weight", WIDTH, HIDDEN, *extra),
            weights(f"{blk}ffn_up{name}.weight", WIDTH, HIDDEN, *extra),
            weights(f"{blk}ffn_down{name}.weight", HIDDEN, WIDTH, *extra, kind=Q8_0),
        ]

    return [
        weights("token_embd.weight", WIDTH, n_vocab),
        *(tensor for at in range(LAYERS) for tensor in layer(at)),
        weights("output_norm.weight", WIDTH, kind=F32),
    ]


def _q8_0(values: np.ndarray) -> bytes:
    """Blocks of 32: an f16 scale and 32 signed bytes."""
    blocks = values.reshape(-1, 32)
    scales = np.abs(blocks).max(axis=1) / 127
    quants = np.round(blocks / scales[:, None]).astype("i1")
    return b"".join(
        s.tobytes() + q.tobytes() for s, q in zip(scales.astype("<f2"), quants, strict=True)
    )


def tiny_llama(
    vocabulary: dict[str, object] | None = None,
    experts: int = 0,
    changes: Mapping[str, object] | None = None,
) -> Writer:
    """A llama model; `changes` replace or add metadata, None removes a key."""
    vocabulary = vocabulary or bpe_vocabulary()
    n_vocab = len(vocabulary["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    metadata = {**llama_metadata(n_vocab, experts), **vocabulary, **(changes or {})}
    kept = {key: value for key, value in metadata.items() if value is not None}
    return write(kept, llama_tensors(n_vocab, experts))
