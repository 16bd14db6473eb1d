"""What must hold in a projector's header for llama.cpp to load it without killing the process.

libmtmd reads single values by ``gguf_get_val_*``, which assert the type, and divides by some of
them (``tools/mtmd/clip.cpp`` and ``models/`` of llama.cpp 0.5).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from llamaherd.errors import ModelLoadError
from llamaherd.model.gguf_projector_tensors import tensor_findings
from llamaherd.model.gguf_reader import GGUFFile, ValueType, read_gguf
from llamaherd.model.gguf_rules import CONVERT_AGAIN


def _names(text: str) -> list[str]:
    return text.split()


KINDS = ("vision", "audio")
BOOLEANS = (
    "clip.has_vision_encoder",
    "clip.has_audio_encoder",
    "clip.has_gen_audio_encoder",
    "clip.use_gelu",
    "clip.use_silu",
)
STRINGS = (
    "clip.projector_type",
    "clip.vision.projector_type",
    "clip.audio.projector_type",
    "clip.gen.audio.projector_type",
    "clip.gen.audio.model_variant",
    "clip.vision.mm_patch_merge_type",
    "general.name",
    "general.description",
)
FLOATS = (
    "clip.vision.attention.layer_norm_epsilon",
    "clip.audio.attention.layer_norm_epsilon",
    "clip.gen.audio.attention.layer_norm_epsilon",
    "clip.vision.swiglu_clamp",
)
SIGNED = ("clip.minicpmv_version",)
_EVERY = _names(
    """
    embedding_length feed_forward_length block_count projection_dim attention.head_count
    attention.head_count_kv attention.head_dim
    """
)
_VISION = _names(
    """
    image_size image_min_pixels image_max_pixels preproc_min_tiles preproc_max_tiles
    preproc_image_size patch_size projector.scale_factor projector.query_side
    projector.window_side spatial_merge_size n_wa_pattern window_size sam.head_count
    sam.block_count sam.embedding_length expert_used_count
    """
)
_AUDIO = _names(
    """
    num_mel_bins projector.stack_factor chunk_size conv_kernel_size max_pos_emb
    projector.window_size projector.downsample_rate projector.head_count rvq.num_quantizers
    window_size local_block_count local_group_size subsampling_factor
    """
)
UNSIGNED = (
    *(f"clip.{kind}.{name}" for kind in ("vision", "audio", "gen.audio") for name in _EVERY),
    *(f"clip.vision.{name}" for name in _VISION),
    *(f"clip.audio.{name}" for name in _AUDIO),
    "clip.minicpmv_query_num",
)
SIZES = {"embedding_length": 1 << 20, "projection_dim": 1 << 20, "block_count": 512}
STACKING = ("ultravox", "voxtral", "meralion")
MEL_FRAMES = 3000  # of a piece of 30 seconds
DEPENDS_ON_PLACE = ("deepseek4v", "hunyuanvl")
"""What a picture becomes depends on where it stands in the prompt, or on how many came before."""
USE_ANOTHER = "Use an mmproj file that llama.cpp made for this model."


def check_projector(path: str | os.PathLike[str]) -> GGUFFile:
    """The header of a multimodal projector, checked.

    Raises:
        ModelLoadError: the file is missing, damaged, or no projector.
    """
    file = read_gguf(path)
    if file.architecture != "clip":
        raise ModelLoadError(
            file.path, f"is no projector but a model ({file.architecture})", USE_ANOTHER
        )
    if finding := next(_findings(file), None):
        raise ModelLoadError(file.path, finding, CONVERT_AGAIN)
    return file


def projector_types(file: GGUFFile) -> dict[str, str]:
    """``vision`` and ``audio``, as far as it reads them, each with the type of its projector."""
    return {
        kind: file.text("clip.projector_type") or file.text(f"clip.{kind}.projector_type") or "?"
        for kind in KINDS
        if file.metadata.get(f"clip.has_{kind}_encoder") is True
    }


def _findings(file: GGUFFile) -> Iterator[str]:
    yield from _wrong_types(file)
    types = projector_types(file)
    if not types:
        yield "reads neither pictures nor sounds"
    for kind, projector in types.items():
        yield from _wrong_sizes(file, kind)
        if projector in DEPENDS_ON_PLACE:
            yield f"is of type {projector}, whose pictures depend on their place: not built yet"
    if types.get("audio") in STACKING:
        yield from stack_findings(file)
    for kind, projector in types.items():
        yield from tensor_findings(file, kind, projector)


def _wrong_types(file: GGUFFile) -> Iterator[str]:
    wanted = {
        **dict.fromkeys(BOOLEANS, ValueType.BOOL),
        **dict.fromkeys(STRINGS, ValueType.STRING),
        **dict.fromkeys(FLOATS, ValueType.FLOAT32),
        **dict.fromkeys(SIGNED, ValueType.INT32),
        **dict.fromkeys(UNSIGNED, ValueType.UINT32),
    }
    for key, found in file.types.items():
        if found is not wanted.get(key, found):
            yield f"{key} is of type {found.name}, not {wanted[key].name}"
        value = file.metadata[key]
        if key in FLOATS and isinstance(value, float) and not 0 <= value < math.inf:
            yield f"{key} is {value}"


def _wrong_sizes(file: GGUFFile, kind: str) -> Iterator[str]:
    for name, most in SIZES.items():
        size = file.integer(f"clip.{kind}.{name}")
        if size is not None and size > most:
            yield f"clip.{kind}.{name} is {size}, of at most {most}"
    if not any(tensor.name.startswith(f"{kind[0]}.blk.0.attn_q") for tensor in file.tensors):
        return
    width = file.integer(f"clip.{kind}.embedding_length") or 0
    heads = file.integer(f"clip.{kind}.attention.head_count") or 0
    head_size = file.integer(f"clip.{kind}.attention.head_dim")
    if not heads or (not head_size and width % heads):
        yield f"clip.{kind} has {heads} heads of a width of {width}"


def stack_findings(file: GGUFFile) -> Iterator[str]:
    """What is wrong with how sound is stacked.

    GGML_ABORT("Invalid number of output tokens"): counted by clip_n_output_tokens, made by
    build_stack, whose GGML_PAD is meant for powers of two."""
    factor = file.integer("clip.audio.projector.stack_factor") or 0
    stride = factor * (file.integer("clip.audio.embedding_length") or 0)
    if not stride:
        yield "clip.audio.projector.stack_factor is missing or 0"
        return
    n_counted = -(-MEL_FRAMES // factor) // 2
    padded = (MEL_FRAMES // 2 * stride // factor + stride - 1) & ~(stride - 1)
    if n_counted != padded // stride:
        yield (
            f"stacks {factor} frames of sound, where this llama.cpp counts {n_counted} tokens, "
            f"makes {padded // stride} and would end the process"
        )
