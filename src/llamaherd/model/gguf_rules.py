"""What must hold in a model's header for llama.cpp to load it without killing the process.

llama.cpp answers most bad content with an error. Some it meets with ``GGML_ASSERT``, a division by
zero, or an exception that no C caller can catch, and then the whole process dies. Each rule here
refuses one such content beforehand; its docstring says where in llama.cpp (v0.5) it would die.
Rules never ask for more than that: what merely is unusual is left to llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from llamaherd.model import gguf_architectures as known
from llamaherd.model.gguf_reader import (
    GGUFFile,
    NumberArray,
    StringArray,
    TensorInfo,
    Value,
)
from llamaherd.native import bindings

CONVERT_AGAIN = "The file is damaged or badly converted: fetch or convert it again."

MAX_VOCABULARY = 1 << 24
TENSOR_POSITION_ALIGNMENT = 32  # TENSOR_ALIGNMENT in ggml-impl.h
ROPE_SCALING_TYPES = ("none", "linear", "yarn", "longrope")
POOLING_UNSPECIFIED = 0xFFFFFFFF  # -1, written as unsigned


def _is_array(value: Value | None) -> bool:
    return isinstance(value, (NumberArray, StringArray))


class Facts:
    """A model's header as the rules see it: all parts of it, keys without the architecture."""

    def __init__(self, parts: Sequence[GGUFFile], overrides: Mapping[str, Value]) -> None:
        first = parts[0]
        # llama.cpp overrides no arrays
        scalars = {k: v for k, v in overrides.items() if not _is_array(first.metadata.get(k))}
        self.file = replace(first, metadata={**first.metadata, **scalars})
        self.parts = parts
        self.arch = self.file.architecture

    def value(self, key: str) -> Value | None:
        """The value of ``{arch}.key``."""
        return self.file.metadata.get(f"{self.arch}.{key}")

    def integers(self, key: str) -> list[int]:
        """``{arch}.key`` as a list: one value, one for each layer, or none at all."""
        value = self.value(key)
        values = value if isinstance(value, NumberArray) else [value]
        return [v for v in values if isinstance(v, int) and not isinstance(v, bool)]

    def integer(self, key: str) -> int | None:
        """``{arch}.key``, or its value for the first layer."""
        return next(iter(self.integers(key)), None)

    @property
    def tokenizer(self) -> str:
        return self.file.text("tokenizer.ggml.model") or ""

    @property
    def pre_tokenizer(self) -> str:
        return self.file.text("tokenizer.ggml.pre") or ""

    @cached_property
    def words(self) -> list[bytes] | None:
        """The vocabulary as llama.cpp keeps it: cut at a NUL, empty ones renamed."""
        tokens = self.file.metadata.get("tokenizer.ggml.tokens")
        if not isinstance(tokens, StringArray):
            return None
        words = [word.partition(b"\0")[0] if 0 in word else word for word in tokens.raw()]
        return [word or b"[EMPTY_%d]" % at for at, word in enumerate(words)]

    @cached_property
    def word_set(self) -> set[bytes]:
        return set(self.words or ())

    def tensors(self) -> Iterator[tuple[GGUFFile, TensorInfo]]:
        for part in self.parts:
            for tensor in part.tensors:
                yield part, tensor


@dataclass(frozen=True)
class Rule:
    """One thing that must hold; `find` returns what is wrong, or None."""

    find: Callable[[Facts], str | None]
    remedy: str = CONVERT_AGAIN


# Numbers


@dataclass(frozen=True)
class Bound:
    """``{arch}.key``, where present, lies in [low, high], for every layer."""

    key: str
    low: int
    high: int
    why: str


BOUNDS = (
    Bound("block_count", 1, 512, "load_hparams: asserts 0 < n_layer <= LLAMA_MAX_LAYERS"),
    Bound("context_length", 1, 2**31 - 1, "positions are int32; 0 leaves no context to create"),
    Bound("embedding_length", 1, 2**20, "tensor sizes overflow"),
    Bound("embedding_length_out", 0, 2**20, "the output buffer is sized by it"),
    Bound("feed_forward_length", 0, 2**24, "tensor sizes overflow"),
    Bound(
        "vocab_size",
        0,
        MAX_VOCABULARY,
        "vocab.load: allocates as many tokens",
    ),
    Bound("expert_count", 0, 1024, "load_hparams: asserts n_expert <= LLAMA_MAX_EXPERTS"),
    Bound("expert_gating_func", 0, 4, "build_moe_ffn: GGML_ABORT"),
    Bound("attention.head_count", 0, 2**16, "tensor sizes overflow"),
    Bound("attention.head_count_kv", 0, 2**16, "tensor sizes overflow"),
    Bound("attention.key_length", 1, 2**16, "tensor sizes overflow"),
    Bound("attention.value_length", 1, 2**16, "tensor sizes overflow"),
    Bound("attention.sliding_window", 0, 2**24, "set_input_kq_mask: reserves as many cells"),
    Bound("rope.dimension_count", 0, 2**16, "ggml_rope: reads beyond the head"),
    Bound("rope.dimension_sections", 0, 2**16, "ggml_rope_multi: index out of range"),
    Bound("ssm.conv_kernel", 0, 2**16, "the recurrent state is sized by it"),
    Bound("ssm.inner_size", 0, 2**24, "the recurrent state is sized by it"),
    Bound("ssm.state_size", 0, 2**24, "the recurrent state is sized by it"),
    Bound("ssm.time_step_rank", 0, 2**24, "the recurrent state is sized by it"),
    Bound("ssm.group_count", 0, 2**16, "the recurrent state is sized by it"),
    Bound("wkv.head_size", 1, 2**16, "rwkv: divides by it"),
    Bound("posnet.block_count", 0, 512, "load_hparams: asserts it is at most n_layer"),
    Bound("convnext.block_count", 0, 512, "load_hparams: asserts it is at most n_layer"),
)


def numbers_are_in_range(facts: Facts) -> str | None:
    """One table, see :data:`BOUNDS`."""
    for bound in BOUNDS:
        for value in facts.integers(bound.key):
            if not bound.low <= value <= bound.high:
                key = f"{facts.arch}.{bound.key}"
                return f"{key!r} is {value}, not between {bound.low} and {bound.high}"
    return None


def extra_layers_are_part_of_all_layers(facts: Facts) -> str | None:
    """load_hparams: GGML_ASSERT(n_layer_nextn <= n_layer_all), the same for posnet, convnext"""
    layers = facts.integer("block_count")
    # If all layers are extra, none is left, and decode asserts "tensor buffer not set".
    kept = {"nextn_predict_layers": 1, "posnet.block_count": 0, "convnext.block_count": 0}
    for key, others in kept.items():
        extra = facts.integer(key)
        if layers is not None and extra and extra + others > layers:
            return f"'{facts.arch}.{key}' is {extra} of only {layers} layers"
    return None


def the_model_itself_is_there(facts: Facts) -> str | None:
    """load_arch_tensors: without blk.0 the layers before the extra ones are null pointers"""
    names = (tensor.name for _, tensor in facts.tensors())
    if not facts.integer("nextn_predict_layers") or any(n.startswith("blk.0.") for n in names):
        return None
    return "holds only multi-token-prediction layers, and not the model that they belong to"


def pooling_is_known(facts: Facts) -> str | None:
    """build_pooling: GGML_ABORT("unknown pooling type")"""
    pooling = facts.integer("pooling_type")
    if pooling is None or 0 <= pooling <= 4 or pooling == POOLING_UNSPECIFIED:
        return None
    return f"'{facts.arch}.pooling_type' is {pooling}, which is not known"


def rope_scaling_is_known(facts: Facts) -> str | None:
    """load_hparams: GGML_ASSERT(rope_scaling_type_train != UNSPECIFIED)"""
    scaling = facts.value("rope.scaling.type")
    if not isinstance(scaling, str) or scaling in ROPE_SCALING_TYPES:
        return None
    return f"'{facts.arch}.rope.scaling.type' is {scaling!r}, which llama.cpp does not know"


def epsilons_are_not_negative(facts: Facts) -> str | None:
    """ggml_compute_forward_norm, .._rms_norm, .._group_norm: GGML_ASSERT(eps >= 0.0f)"""
    for key, value in facts.file.metadata.items():
        if key.endswith("epsilon") and isinstance(value, float) and not 0 <= value < math.inf:
            return f"{key!r} is {value}"
    return None


# Experts


def experts_add_up(facts: Facts) -> str | None:
    """load_hparams: seven GGML_ASSERTs on n_expert, n_expert_used, groups"""
    experts = facts.integer("expert_count") or 0
    used = max(facts.integers("expert_used_count"), default=0)
    groups = facts.integer("expert_group_count") or 0
    if experts <= 1 and facts.arch in ("hunyuan_vl", "hunyuan-dense"):  # native takes them as 0
        experts = used = 0
    if used > experts or (experts and not used):
        return f"uses {used} of {experts} experts"
    if groups >= max(experts, 1):
        return f"has {groups} groups of {experts} experts"
    groups_used = facts.integer("expert_group_used_count") or 0
    if groups > 1 and (experts % groups or not 0 < groups_used < groups):
        return f"uses {groups_used} of {groups} groups of {experts} experts"
    return None


def experts_have_a_width(facts: Facts) -> str | None:
    """load_arch_tensors: division by zero"""
    if facts.arch not in known.DIVIDES_BY_EXPERTS or facts.integer("expert_feed_forward_length"):
        return None
    if all(facts.integers("expert_used_count") or [0]):
        return None
    return f"says neither how wide an expert is nor how many {facts.arch} uses"


def experts_have_a_gate(facts: Facts) -> str | None:
    """build_moe_ffn: GGML_ABORT on LLAMA_EXPERT_GATING_FUNC_TYPE_NONE"""
    if facts.arch not in known.NEEDS_GATING or not facts.integer("expert_count"):
        return None
    gated = facts.integer("expert_gating_func")
    return None if gated else f"does not say how {facts.arch} chooses experts"


def divisors_are_not_zero(facts: Facts) -> str | None:
    """load_arch_tensors, build_arch_graph: integer division by zero (SIGFPE)"""
    for key, architectures in known.DIVISORS:
        if facts.arch in architectures and facts.integer(key) == 0:
            return f"'{facts.arch}.{key}' is 0"
    return None


# Heads


def there_are_heads(facts: Facts) -> str | None:
    """Several: division of n_embd by n_head"""
    heads = facts.integers("attention.head_count")
    if facts.arch in known.WITHOUT_ATTENTION or not facts.integers("embedding_length"):
        return None
    if heads == [0] or (not heads and facts.arch in known.DIVIDES_BY_HEADS):
        return "has no attention heads"
    if facts.arch in known.LAYERS_ALIKE and facts.integer("attention.head_count_kv") == 0:
        return "has no key-value heads"
    return None


def heads_share_keys_evenly(facts: Facts) -> str | None:
    """ggml_mul_mat, ggml_flash_attn_ext: GGML_ASSERT on broadcasting K and V over the heads"""
    layers = min(facts.integer("block_count") or 1, 512)
    heads = facts.integers("attention.head_count")
    kv = facts.integers("attention.head_count_kv")
    if not heads or not kv:
        return None
    for n, n_kv in zip(_per_layer(heads, layers), _per_layer(kv, layers), strict=False):
        if n_kv and n % n_kv:
            return f"has {n} attention heads for {n_kv} key-value heads"
    return None


def _per_layer(values: list[int], layers: int) -> list[int]:
    return values * layers if len(values) == 1 else values


def layers_are_alike(facts: Facts) -> str | None:
    """Asserts and wild reads where the graph takes layer 0's numbers and others each layer's"""
    if facts.arch not in known.LAYERS_ALIKE:
        return None
    for key in ("attention.head_count", "attention.head_count_kv", "expert_used_count"):
        numbers = sorted(set(facts.integers(key)))
        if len(numbers) > 1:
            return f"'{facts.arch}.{key}' differs from layer to layer: {numbers[:5]}"
    return None


def head_lengths(facts: Facts) -> tuple[int, int, int] | None:
    """Length of keys, of values, and of the part that rotates; None without heads."""
    heads, width = facts.integer("attention.head_count"), facts.integer("embedding_length")
    if not heads or not width:
        return None
    keys = _first(facts.integer("attention.key_length"), width // heads)
    values = _first(facts.integer("attention.value_length"), width // heads)
    return keys, values, _first(facts.integer("rope.dimension_count"), keys)


def heads_fit_the_graph(facts: Facts) -> str | None:
    """Assertions on n_embd_head_k, n_embd_head_v and n_rot where the graph is built"""
    lengths = head_lengths(facts)
    if lengths is None:
        return None
    keys, values, rotated = lengths
    if (
        (facts.arch in known.KEYS_AS_LONG_AS_VALUES and keys != values)
        or (facts.arch in known.WHOLE_HEADS_ROTATE and keys != rotated)
        or (facts.arch in known.ROTATES and rotated > keys)
    ):
        return f"has heads of different lengths: keys {keys}, values {values}, rotated {rotated}"
    if facts.arch in known.ROTATES - known.WITHOUT_ROPE and rotated == 0:
        return "has heads of which nothing rotates"  # ggml_rope does not end
    return None


def sliding_heads_fit_the_graph(facts: Facts) -> str | None:
    """The same assertions for layers with a sliding window, which may have lengths of their own"""
    lengths = head_lengths(facts)
    if lengths is None:
        return None
    keys = _first(facts.integer("attention.key_length_swa"), lengths[0])
    values = _first(facts.integer("attention.value_length_swa"), lengths[1])
    rotated = _first(facts.integer("rope.dimension_count_swa"), min(lengths[2], keys))
    if (
        (facts.arch in known.KEYS_AS_LONG_AS_VALUES and keys != values)
        or (facts.arch in known.WHOLE_HEADS_ROTATE and keys != rotated)
        or (facts.arch in known.ROTATES and rotated > keys)
    ):
        return f"has sliding heads of lengths: keys {keys}, values {values}, rotated {rotated}"
    return None


def sliding_windows_are_used(facts: Facts) -> str | None:
    """create_memory: GGML_ASSERT(is_swa_any()); a pattern of 1 leaves no layer with a window"""
    pattern = facts.value("attention.sliding_window_pattern")
    if not facts.integer("attention.sliding_window"):
        return None
    if pattern == 1 or (isinstance(pattern, NumberArray) and not any(pattern)):
        return "has a sliding window that no layer uses"
    return None


def _first(value: int | None, default: int) -> int:
    return default if value is None else value


def rotated_dimensions_are_pairs(facts: Facts) -> str | None:
    """ggml_rope rotates pairs: an odd number reads one element beyond the head."""
    rotated = facts.integer("rope.dimension_count") or 0
    return f"'{facts.arch}.rope.dimension_count' is odd: {rotated}" if rotated % 2 else None


def outputs_are_not_wider_than_the_model(facts: Facts) -> str | None:
    """llama_context::decode: GGML_ASSERT("tensor read out of bounds") when embeddings are asked"""
    width = facts.integer("embedding_length")
    if not width:
        return None
    out = facts.integer("embedding_length_out") or 0
    if facts.arch in known.EMBEDDINGS_AS_WIDE and out > width:
        return f"'{facts.arch}.embedding_length_out' is {out}, more than the width of {width}"
    labels = facts.value("classifier.output_labels")
    has_classifier = any(tensor.name.startswith("cls") for _, tensor in facts.tensors())
    if isinstance(labels, StringArray) and len(labels) > width and not has_classifier:
        return f"has {len(labels)} labels but no classifier"
    return None


def rope_sections_fit_the_head(facts: Facts) -> str | None:
    """ggml_mrope_cache_init: modulo the sum of the sections, GGML_ASSERT(sect_dims <= ne0)"""
    sections, lengths = facts.integers("rope.dimension_sections"), head_lengths(facts)
    if facts.arch not in known.NEEDS_ROPE_SECTIONS or not sections:
        return None
    if not any(sections[:3]) or (lengths and sum(sections) > lengths[0]):
        return f"'{facts.arch}.rope.dimension_sections' are {sections}"
    return None


# Tensors


def tensors_are_not_empty(facts: Facts) -> str | None:
    """A dimension of 0 gets by every check of shapes, and then a graph divides by it."""
    for _, tensor in facts.tensors():
        if 0 in tensor.shape:
            return f"tensor {tensor.name!r} is empty: {tensor.shape}"
    return None


def tensors_can_be_mapped(facts: Facts) -> str | None:
    """ggml_backend_cpu_buffer_from_ptr: GGML_ASSERT(ptr % TENSOR_ALIGNMENT == 0)"""
    for part, tensor in facts.tensors():
        position = part.data_offset + tensor.offset
        if position % TENSOR_POSITION_ALIGNMENT:
            return f"tensor {tensor.name!r} lies at byte {position}, not at a multiple of 32"
    return None


# These have no dot product: mul_mat calls a null pointer (get_rows and others GGML_ABORT).
_NOT_WEIGHTS = frozenset(
    {
        bindings.GGML_TYPE_Q8_1,
        bindings.GGML_TYPE_Q8_K,
        bindings.GGML_TYPE_I8,
        bindings.GGML_TYPE_I16,
        bindings.GGML_TYPE_I32,
        bindings.GGML_TYPE_I64,
        bindings.GGML_TYPE_F64,
    }
)
# Only looked up in a table, never multiplied (deepseek4's hash routing).
_INTEGER_TENSOR = "tid2eid"
# Added to or multiplied with activations, element by element.
_ELEMENTWISE = ("norm.weight", ".bias", ".scale", "rope_freqs.weight")


def tensor_types_can_be_computed(facts: Facts) -> str | None:
    """ggml_compute_forward_mul_mat: null vec_dot; binary_op: GGML_ABORT unless F32"""
    for _, tensor in facts.tensors():
        if tensor.type in _NOT_WEIGHTS and tensor.name.endswith(".weight"):
            if _INTEGER_TENSOR not in tensor.name:
                return f"tensor {tensor.name!r} has type {tensor.type}, not one for weights"
        elif tensor.type != bindings.GGML_TYPE_F32 and tensor.name.endswith(_ELEMENTWISE):
            return f"tensor {tensor.name!r} has type {tensor.type} where only F32 can be computed"
    return None


MODEL_RULES = (
    Rule(numbers_are_in_range),
    Rule(extra_layers_are_part_of_all_layers),
    Rule(the_model_itself_is_there, "Use the file of the whole model."),
    Rule(pooling_is_known),
    Rule(rope_scaling_is_known),
    Rule(epsilons_are_not_negative),
    Rule(experts_add_up),
    Rule(experts_have_a_width),
    Rule(experts_have_a_gate),
    Rule(divisors_are_not_zero),
    Rule(there_are_heads),
    Rule(heads_share_keys_evenly),
    Rule(layers_are_alike),
    Rule(heads_fit_the_graph),
    Rule(sliding_heads_fit_the_graph),
    Rule(sliding_windows_are_used),
    Rule(rotated_dimensions_are_pairs),
    Rule(outputs_are_not_wider_than_the_model),
    Rule(rope_sections_fit_the_head),
    Rule(tensors_are_not_empty),
    Rule(tensors_can_be_mapped, "Convert the model again with the default alignment of 32."),
    Rule(tensor_types_can_be_computed, "Quantize the model again."),
)
