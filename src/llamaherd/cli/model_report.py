"""What a GGUF model is, as plain data from its header; no weights are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llamaherd.cli.template_abilities import Probe
from llamaherd.model.cache_size import Layers, cache_size
from llamaherd.model.gguf import GGUFFile, StringArray
from llamaherd.model.gguf_projector import projector_types
from llamaherd.native import bindings as c
from llamaherd.native import kernels

Report = dict[str, Any]
COMMON_N_CTX = 8192
EMBEDDINGS = "token_embd.weight"
OUTPUT = "output.weight"
TEMPLATE = "tokenizer.chat_template"
SAMPLING = "general.sampling."


def describe(parts: Sequence[GGUFFile]) -> Report:
    """Everything that ``llamaherd info`` shows; what a file does not say is None or empty."""
    first = parts[0]
    return {
        "files": [{"path": str(p.path), "size_bytes": p.size_bytes} for p in parts],
        "size_bytes": sum(p.size_bytes for p in parts),
        "name": first.text("general.name"),
        "license": first.text("general.license"),
        "kind": first.kind,
        "architecture": first.architecture,
        "projectors": projector_types(first) if first.architecture == "clip" else {},
        "n_parameters": sum(p.n_parameters for p in parts),
        "file_type": first.file_type,
        "tensor_types": tensor_types(parts),
        **shape(first),
        "tokenizer": tokenizer(first),
        "chat_templates": templates(first),
        "sampling": sampling(first),
        "memory": memory(parts),
    }


def tensor_types(parts: Sequence[GGUFFile]) -> list[Report]:
    """How many tensors and bytes each number type has, the largest share first."""
    found: dict[int, Report] = {}
    for tensor in (tensor for part in parts for tensor in part.tensors):
        name = (c.ggml_type_name(tensor.type) or b"?").decode()
        entry = found.setdefault(tensor.type, {"type": name, "tensors": 0, "size_bytes": 0})
        entry["tensors"] += 1
        entry["size_bytes"] += tensor.size_bytes
    return sorted(found.values(), key=lambda entry: -entry["size_bytes"])


def shape(file: GGUFFile) -> Report:
    """The model's dimensions."""
    layers = Layers(file)
    return {
        "n_ctx_train": _hyper(file, "context_length"),
        "n_layer": _hyper(file, "block_count"),
        "n_head": sorted(set(layers.n_head)),
        "n_head_kv": sorted(set(layers.n_head_kv)),
        "n_embd": _hyper(file, "embedding_length"),
        "n_expert": _hyper(file, "expert_count"),
        "n_expert_used": _hyper(file, "expert_used_count"),
        "sliding_window": _hyper(file, "attention.sliding_window"),
    }


def _hyper(file: GGUFFile, key: str) -> int | None:
    return file.integer(f"{file.architecture}.{key}")


def tokenizer(file: GGUFFile) -> Report:
    """The kind of vocabulary and its tokens with a role."""
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    return {
        "model": file.text("tokenizer.ggml.model"),
        "pre": file.text("tokenizer.ggml.pre"),
        "n_vocab": len(tokens) if isinstance(tokens, StringArray) else None,
        "special": special_tokens(file),
    }


def special_tokens(file: GGUFFile) -> dict[str, Report]:
    """Role -> id and text, for every ``tokenizer.ggml.<role>_token_id``."""
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    found = {}
    for key in file.metadata:
        role = key.removeprefix("tokenizer.ggml.").removesuffix("_token_id")
        number = file.integer(key)
        if key == f"tokenizer.ggml.{role}_token_id" and number is not None:
            known = isinstance(tokens, StringArray) and 0 <= number < len(tokens)
            found[role] = {"id": number, "text": tokens[number] if known else None}  # type: ignore[index]
    return found


def templates(file: GGUFFile) -> dict[str, dict[str, bool]]:
    """Name -> abilities, for every chat template in the file."""
    special = special_tokens(file)
    bos, eos = ((special.get(role) or {}).get("text") or "" for role in ("bos", "eos"))
    found = {}
    for key in file.metadata:
        source = file.text(key)
        if source is not None and (key == TEMPLATE or key.startswith(f"{TEMPLATE}.")):
            name = key[len(TEMPLATE) + 1 :] or "default"
            found[name] = Probe(source, bos, eos).abilities()
    return found


def sampling(file: GGUFFile) -> Report:
    """Sampling options that the file recommends."""
    return {
        key.removeprefix(SAMPLING): value if isinstance(value, (int, float, str)) else list(value)
        for key, value in file.metadata.items()
        if key.startswith(SAMPLING)
    }


def packed_bytes(parts: Sequence[GGUFFile]) -> int | None:
    """Bytes that the kernels pack anew while loading; None: there are no kernels here.

    Token embeddings are looked up, not multiplied, unless they are the output matrix as well.
    """
    if not kernels.status().active:
        return None
    tensors = [tensor for part in parts for tensor in part.tensors]
    tied = not any(tensor.name == OUTPUT for tensor in tensors)
    return sum(
        kernels.packed_size(tensor.name, tensor.type, tensor.shape)
        for tensor in tensors
        if len(tensor.shape) > 1 and (tied or tensor.name != EMBEDDINGS)
    )


def memory(parts: Sequence[GGUFFile]) -> Report:
    """Bytes of the weights, and of the cache for some contexts; buffers to compute in add to it."""
    first, size = parts[0], cache_size(parts[0])
    weights = sum(tensor.size_bytes for part in parts for tensor in part.tensors)
    trained = _hyper(first, "context_length")
    contexts = sorted({n for n in (COMMON_N_CTX, trained) if n and (not trained or n <= trained)})
    return {
        "weights_bytes": weights,
        "packed_bytes": packed_bytes(parts),
        "cache_bytes_per_token": size.bytes_per_token,
        "recurrent_state_bytes": size.state_bytes,
        "contexts": [
            {"n_ctx": n, "cache_bytes": size.at(n), "total_bytes": weights + size.at(n)}
            for n in contexts
            if first.kind == "model"
        ],
    }
