"""A checkpoint as GGUF: `python -m llamaherd.demo.export RUN_FOLDER [OUT.gguf]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from . import model_path
from .data.render import template_text
from .network import NetworkConfig
from .tokenizer import CONTROL, MARKERS, PRE_TOKENIZER

RECOMMENDED_TEMPERATURE = 0.2  # it knows few sentences: at 0.8 it mixes them
_NAMES = {
    "norm_attention": "attn_norm",
    "norm_feed": "ffn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def _gguf_name(name: str) -> str:
    if name == "embedding.weight":
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, block, part, _ = name.split(".")
    return f"blk.{block}.{_NAMES[part]}.weight"


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k from halves (i, i + n/2) to pairs (2i, 2i + 1), as llama.cpp rotates them."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _add_tensors(writer: gguf.GGUFWriter, state: dict[str, Tensor], heads: int) -> None:
    """Matrices in half precision, norms in single; the tied output matrix is left out."""
    for name, weight in state.items():
        if ".query." in name or ".key." in name:
            weight = _interleaved(weight, heads)
        dtype = np.float16 if weight.dim() == 2 else np.float32
        writer.add_tensor(_gguf_name(name), weight.float().numpy().astype(dtype))


def _add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    ids: dict[str, int] = data["model"]["vocab"]
    tokens = sorted(ids, key=lambda token: ids[token])
    merges = [" ".join(m) if isinstance(m, list) else m for m in data["model"]["merges"]]
    kinds = dict.fromkeys(CONTROL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(MARKERS, gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_eot_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", ids["<|fim_prefix|>"])
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", ids["<|fim_suffix|>"])
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", ids["<|fim_middle|>"])
    writer.add_chat_template(template_text())


def _add_shape(writer: gguf.GGUFWriter, config: NetworkConfig) -> None:
    writer.add_name("llamaherd demo")
    writer.add_description("A toy chat model for offline demos and tests; see its README.")
    writer.add_license("MIT")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_vocab_size(config.vocab_size)
    writer.add_float32("general.sampling.temp", RECOMMENDED_TEMPERATURE)


def export(run: Path, out: Path) -> None:
    """Write the averaged weights of the run's checkpoint."""
    checkpoint: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    config = NetworkConfig(**checkpoint["config"])
    draft = out.with_suffix(".part")
    writer = gguf.GGUFWriter(draft, "llama")
    _add_shape(writer, config)
    _add_tokenizer(writer, run / "tokenizer.json")
    _add_tensors(writer, checkpoint["average"], config.heads)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    draft.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=model_path())
    args = parser.parse_args()
    export(args.run, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
