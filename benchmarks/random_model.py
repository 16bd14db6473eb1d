"""A 1.2-billion-parameter Llama of random weights, made once and kept in the user's cache folder.

Speed does not depend on what the weights say. The shape is that of Llama 3.2 1B; the vocabulary is
a byte-level BPE of 128,256 tokens made up here, so nothing is downloaded. F16 by NumPy, then Q4_K_M
by llama_model_quantize.

usage: python benchmarks/random_model.py     prints the path
"""

from __future__ import annotations

import itertools
import os
import string
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, TokenType

from llamaherd.native import bindings as c

WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN, CONTEXT = 2048, 16, 32, 8, 8192, 131072
N_VOCAB = 128_256
NEVER_DRAWN = [*range(0x80, 0x100), N_VOCAB - 2, N_VOCAB - 1]
"""Parts of characters and the end: llama_cpp holds a stream back for ever after a stray byte."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "llamaherd"


def model_path(kind: str = "q4_k_m") -> Path:
    """The file of a quantisation, made if it is not there yet (some minutes on two cores)."""
    path = CACHE / f"random-1b-text-{kind}.gguf"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        half = CACHE / "random-1b-text-f16.gguf"
        print(f"making a 1.2B model of random weights as {kind}, once", file=sys.stderr)
        write_f16(half)
        if half != path:
            quantise(half, path, kind)
            half.unlink()
    return path


def write_f16(path: Path) -> None:
    """The model with 16-bit weights."""
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(N_VOCAB)
    writer.add_file_type(1)
    add_vocabulary(writer, N_VOCAB)
    for name, shape in _shapes():
        weights = _norm(shape) if len(shape) == 1 else noise(shape)
        if name == "token_embd.weight":
            weights[NEVER_DRAWN] = 0.0
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=sys.stderr.isatty())
    writer.close()


def quantise(source: Path, target: Path, kind: str = "q4_k_m") -> None:
    """By llama.cpp, under a temporary name until it is whole."""
    params = c.llama_model_quantize_default_params()
    params.ftype = getattr(c, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    partial = target.with_suffix(".partial")
    if c.llama_model_quantize(os.fsencode(source), os.fsencode(partial), params):
        raise SystemExit(f"llama_model_quantize refused {source}")
    partial.rename(target)


def _shapes() -> list[tuple[str, tuple[int, ...]]]:
    kv = KV_HEADS * (WIDTH // HEADS)
    layer: list[tuple[str, tuple[int, ...]]] = [
        ("attn_norm", (WIDTH,)),
        ("attn_q", (WIDTH, WIDTH)),
        ("attn_k", (kv, WIDTH)),
        ("attn_v", (kv, WIDTH)),
        ("attn_output", (WIDTH, WIDTH)),
        ("ffn_norm", (WIDTH,)),
        ("ffn_gate", (HIDDEN, WIDTH)),
        ("ffn_up", (HIDDEN, WIDTH)),
        ("ffn_down", (WIDTH, HIDDEN)),
    ]
    layers = [
        (f"blk.{at}.{name}.weight", shape)
        for at, (name, shape) in itertools.product(range(LAYERS), layer)
    ]
    return [("token_embd.weight", (N_VOCAB, WIDTH)), *layers, ("output_norm.weight", (WIDTH,))]


_NOISE = np.random.default_rng(0).standard_normal(1 << 22, dtype=np.float32) * 0.02
_random = np.random.default_rng(1)


def noise(shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Normal, in 16 bits, repeated from a random place: a billion draws would take minutes."""
    rolled = np.roll(_NOISE.astype(np.float16), int(_random.integers(_NOISE.size)))
    return np.resize(rolled, shape)


def _norm(shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.ones(shape, dtype=np.float32)


def add_vocabulary(writer: GGUFWriter, n_vocab: int) -> None:
    """A byte-level BPE of so many tokens."""
    tokens, merges = _vocabulary(n_vocab)
    types = [TokenType.NORMAL] * (len(tokens) - 2) + [TokenType.CONTROL] * 2
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)


def _vocabulary(n_vocab: int) -> tuple[list[str], list[str]]:
    """Single bytes, then words of two, three and four letters, each made of the one before."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = itertools.count(256)
    single = [chr(byte if byte in plain else next(spare)) for byte in range(256)]
    words: list[str] = []
    for length in (2, 3, 4):
        words += map("".join, itertools.product(string.ascii_lowercase, repeat=length))
    words = words[: n_vocab - len(single) - 2]
    merges = [f"{word[:-1]} {word[-1]}" for word in words]
    return [*single, *words, "<|begin|>", "<|end|>"], merges


if __name__ == "__main__":
    print(model_path())
