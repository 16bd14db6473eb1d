"""What a projector's graphs take for granted of its tensors; ggml asserts it, or reads NULL.

Read off ``tools/mtmd/models/*.cpp`` of llama.cpp 0.5, for the common types only; of others only the
header's values are checked. What these rules ask for is what the graphs could not do without.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from llamaherd.model.gguf_reader import GGUFFile, TensorInfo

CHECKED = (
    "mlp", "ldp", "ldpv2", "gemma3", "idefics3", "qwen2vl_merger", "qwen2.5vl_merger",
    "qwen3vl_merger", "pixtral", "internvl", "ultravox", "voxtral", "qwen2a", "qwen2.5o",
)  # fmt: skip
ONE_ROW_A_PATCH = ("mlp", "ldp", "ldpv2", "gemma3", "idefics3")
F32 = 0
AUDIO_POSITIONS = 1500
NORMS = r"(?:blk\.\d+\.ln[12]|pre_ln|post_ln)\.(?:weight|bias)"


def tensor_findings(file: GGUFFile, kind: str, projector: str) -> Iterator[str]:
    """What is wrong with the tensors of an encoder.

    Args:
        kind: ``vision`` or ``audio``.
        projector: its type.
    """
    if projector not in CHECKED:
        return
    tensors = {tensor.name: tensor for tensor in file.tensors}
    width = file.integer(f"clip.{kind}.embedding_length") or 0
    if not file.integer(f"clip.{kind}.block_count"):
        yield f"clip.{kind} has no layers"
    for tensor in file.tensors:
        if tensor.name.startswith((f"{kind[0]}.", "mm.")):
            yield from _wrong_row(tensor, tensors, rf"{kind[0]}\.{NORMS}", width)
    if kind == "vision":
        yield from _wrong_patches(file, tensors, projector)
        if projector == "mlp":
            yield from (f"{n} is missing" for n in ("mm.0.weight", "mm.0.bias") if n not in tensors)
            if "mm.2.weight" in tensors and "mm.2.bias" not in tensors:
                yield "mm.2.bias is missing"
    else:
        yield from _wrong_sound(file, tensors, projector, width)


def _wrong_row(
    tensor: TensorInfo, tensors: dict[str, TensorInfo], norms: str, width: int
) -> Iterator[str]:
    """A bias as long as its weight is wide, a norm as long as the encoder is wide, both f32."""
    is_norm = re.fullmatch(norms, tensor.name) is not None
    if not is_norm and not tensor.name.endswith(".bias"):
        return
    if tensor.type != F32:
        yield f"{tensor.name} is not of type f32"
    n = math.prod(tensor.shape)
    if is_norm and n != width:
        yield f"{tensor.name} has {n} numbers, not {width}"
    weight = tensors.get(tensor.name.removesuffix("bias") + "weight")
    if tensor.name.endswith(".bias") and (weight is None or n != weight.shape[-1]):
        yield f"{tensor.name} does not fit its weight"


def _wrong_patches(file: GGUFFile, tensors: dict[str, TensorInfo], projector: str) -> Iterator[str]:
    size, patch = (file.integer(f"clip.vision.{n}_size") or 0 for n in ("image", "patch"))
    convolution = tensors.get("v.patch_embd.weight")
    if convolution is None or not patch or convolution.shape[0] != patch:
        yield f"clip.vision.patch_size is {patch}, which v.patch_embd.weight does not fit"
        return
    if projector not in ONE_ROW_A_PATCH:
        return
    side, rows = size // patch, tensors.get("v.position_embd.weight")
    n_places = side * side + ("v.class_embd" in tensors)
    if rows is None or rows.shape[1:] != (n_places,):
        yield f"clip.vision.image_size is {size}, which v.position_embd.weight does not fit"
    merge = file.integer("clip.vision.projector.scale_factor")
    if projector == "gemma3":
        yield from _wrong_gemma3(file, tensors, side, 4 if merge is None else merge)


def _wrong_gemma3(
    file: GGUFFile, tensors: dict[str, TensorInfo], side: int, merge: int
) -> Iterator[str]:
    if not merge or side % merge:
        yield f"clip.vision.projector.scale_factor is {merge}, of {side} patches"
    norm = tensors.get("mm.soft_emb_norm.weight")
    width = file.integer("clip.vision.embedding_length")
    if norm is None or norm.type != F32 or norm.shape != (width,):
        yield "mm.soft_emb_norm.weight does not fit the encoder"


def _wrong_sound(
    file: GGUFFile, tensors: dict[str, TensorInfo], projector: str, width: int
) -> Iterator[str]:
    """Whisper's encoder, and ultravox' projector behind it."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    bins = file.integer("clip.audio.num_mel_bins")
    if shapes.get("a.conv1d.1.weight", ())[1:2] != (bins,):
        yield f"clip.audio.num_mel_bins is {bins}, which a.conv1d.1.weight does not fit"
    rows = shapes.get("a.position_embd.weight", ())[1:2]
    if not rows or rows[0] < AUDIO_POSITIONS:
        yield f"a.position_embd.weight has no {AUDIO_POSITIONS} rows"
    if projector != "ultravox":
        return
    stacked = width * (file.integer("clip.audio.projector.stack_factor") or 0)
    first, last = (shapes.get(f"mm.a.mlp.{n}.weight", ()) for n in (1, 2))
    middle = shapes.get("mm.a.norm_mid.weight", ())
    chain = (shapes.get("mm.a.norm_pre.weight", ()), first[:1], first[1:2], last[:1])
    wanted = ((stacked,), (stacked,), tuple(2 * n for n in middle), middle)
    if chain != wanted or len(middle) != 1:
        yield "the tensors of mm.a do not fit each other"
