"""Every option that a user can set, declared once, with its range, default and meaning.

Frozen dataclasses: :class:`ModelParams` (how weights are loaded), :class:`ContextParams` (the
memory they run in), :class:`MediaParams` (pictures and sounds), :class:`SamplingParams` (how one
answer is drawn), :class:`CompletionParams` and :class:`ChatParams` (what else a call may say),
:class:`EmbeddingParams` and :class:`RerankParams` (how texts are read). Values are checked when
the object is made, so that native code never sees an unchecked one.
Ranges follow llama.h and llama-server's documentation of the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llamaherd.declared import Params, option
from llamaherd.errors import OptionError

INT32_MAX = 2**31 - 1
SEED_MAX = 2**32 - 2  # 2**32 - 1 is llama.cpp's LLAMA_DEFAULT_SEED: "draw one"


CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
SPLIT_MODES = ("none", "layer", "row", "tensor")
POOLINGS = ("none", "mean", "cls", "last", "rank")
"""How the vectors of tokens become one, in the order of llama.h: ``enum llama_pooling_type``."""
LOAD_MODES = ("auto", "none", "mmap", "mlock", "mmap_mlock", "direct_io")


@dataclass(frozen=True)
class ModelParams(Params):
    """How a model's weights are loaded (llama.h: ``llama_model_params``)."""

    n_gpu_layers: int | None = option(
        None, "layers kept on a GPU; None: all, when there is a GPU", ge=-1, le=INT32_MAX
    )
    split_mode: str = option("layer", "how several GPUs share the model", choices=SPLIT_MODES)
    main_gpu: int = option(0, "GPU that holds everything with split_mode 'none'", ge=0, le=1024)
    tensor_split: list[float] | None = option(
        None, "share of the model for each GPU, in any unit; None: by free memory"
    )
    devices: list[str] | None = option(
        None, "names of the devices to use, as `llamaherd doctor` lists them; None: all"
    )
    load_mode: str = option("auto", "how the file is read", choices=LOAD_MODES)
    lazy_mode: str = option(
        "auto",
        "read rows of tensors that the architecture marks only when they are used",
        choices=("off", "auto", "on"),
    )
    use_mmap: bool | None = option(None, "map the file into memory; overrides load_mode")
    use_mlock: bool | None = option(None, "keep the weights from being swapped out")
    vocab_only: bool = option(False, "load the vocabulary and no weights; only to tokenize")
    check_tensors: bool = option(False, "look for invalid numbers in the weights; slow")
    use_extra_bufts: bool = option(True, "repack weights for this CPU while loading")
    kernels: str = option(
        "auto",
        "matrix products of llamaherd-kernels: where it is installed and the CPU allows, or off",
        choices=("auto", "off"),
    )
    no_host: bool = option(False, "bypass host buffers, so that extra buffers can be used")
    load_mtp: bool = option(False, "load multi-token-prediction layers where the model has them")
    kv_overrides: dict[str, Any] = option(
        {}, "metadata to replace: key -> int, float, bool or str (up to 127 bytes)"
    )
    tensor_buft_overrides: dict[str, str] = option(
        {}, "regex of tensor names -> buffer type, for instance {'ffn_.*_exps': 'CPU'}"
    )


@dataclass(frozen=True)
class ContextParams(Params):
    """The memory and threads a model runs in (llama.h: ``llama_context_params``)."""

    n_ctx: int | None = option(
        None,
        "context in tokens; None or 0: the model's own, as far as memory allows",
        ge=0,
        le=INT32_MAX,
    )
    n_parallel: int = option(
        4, "requests that run at a time; they share the context, and more wait", ge=1, le=256
    )
    max_queue: int | None = option(
        None,
        "requests that may wait beside those that run; one more is a QueueFullError; None: any",
        ge=0,
        le=INT32_MAX,
    )
    prefill_limit: int | None = option(
        None,
        "most prompt tokens a step reads while answers are drawn; None: learned, so that running "
        "answers keep half of their rate",
        ge=1,
        le=1 << 20,
    )
    cache_ram_mib: int = option(
        1024,
        "memory for saved states, by which models with recurrent or sliding-window memory reuse "
        "prefixes, in MiB",
        ge=0,
        le=1 << 20,
    )
    control_vectors: dict[str, float] = option(
        {}, "files of control vectors, with their scales: directions added to the hidden states"
    )
    control_vector_layers: list[int] | None = option(
        None, "[first, last] layer that they apply to, from 1; None: all"
    )
    n_batch: int = option(2048, "most tokens a llama_decode call takes", ge=1, le=1 << 20)
    n_ubatch: int = option(512, "most tokens computed at a time", ge=1, le=1 << 20)
    n_threads: int | None = option(
        None,
        "threads to generate with; None: physical cores, for models under 32 MiB one",
        ge=1,
        le=512,
    )
    n_threads_batch: int | None = option(
        None, "threads to read prompts with; None: n_threads", ge=1, le=512
    )
    flash_attn: bool | None = option(
        None,
        "flash attention; None: where it is supported. On a CPU, False draws long answers of a "
        "single caller faster, and reads prompts and serves several callers slower",
    )
    type_k: str = option("f16", "number type of the key cache", choices=CACHE_TYPES)
    type_v: str = option(
        "f16",
        "number type of the value cache; others than floats need flash attention",
        choices=CACHE_TYPES,
    )
    offload_kqv: bool = option(True, "keep the cache and attention on the GPU")
    op_offload: bool = option(True, "compute large host-side products on the GPU")
    swa_full: bool = option(
        False,
        "as large a cache for sliding-window layers as for others; more memory, no more reuse",
    )
    rope_scaling_type: str | None = option(
        None, "RoPE scaling; None: from the model", choices=("none", "linear", "yarn", "longrope")
    )
    rope_freq_base: float | None = option(
        None, "RoPE base frequency; None or 0: from the model", ge=0.0
    )
    rope_freq_scale: float | None = option(
        None, "RoPE frequency scale; None or 0: from the model", ge=0.0
    )
    yarn_ext_factor: float | None = option(
        None, "YaRN extrapolation mix; None or negative: from the model"
    )
    yarn_attn_factor: float | None = option(None, "YaRN attention factor; None: from the model")
    yarn_beta_fast: float | None = option(None, "YaRN low correction dimension; None: from model")
    yarn_beta_slow: float | None = option(None, "YaRN high correction dimension; None: from model")
    yarn_orig_ctx: int | None = option(
        None, "YaRN original context; None or 0: from the model", ge=0, le=INT32_MAX
    )


@dataclass(frozen=True)
class MediaParams(Params):
    """How pictures and sounds are read (mtmd.h: ``mtmd_context_params``); needs an ``mmproj``."""

    mmproj_use_gpu: bool = option(True, "compute the projector on the GPU, where there is one")
    image_min_tokens: int | None = option(
        None,
        "fewest tokens of a picture, where the model scales with its size; None: from the file",
        ge=1,
        le=INT32_MAX,
    )
    image_max_tokens: int | None = option(
        None,
        "most tokens of a picture, where the model scales with its size; None: from the file",
        ge=1,
        le=INT32_MAX,
    )
    media_cache_mib: int = option(
        256, "memory for pictures and sounds that were read before, in MiB", ge=0, le=1 << 20
    )
    max_media_mib: int = option(
        32, "largest file of a picture or sound that is accepted, in MiB", ge=1, le=1024
    )
    max_image_pixels: int = option(
        1 << 25, "most pixels of a picture; unpacked, each takes three bytes", ge=1, le=1 << 28
    )
    max_audio_s: int = option(1800, "longest sound that is accepted, in seconds", ge=1, le=86400)

    def __post_init__(self) -> None:
        super().__post_init__()
        least, most = self.image_min_tokens, self.image_max_tokens
        if least is not None and most is not None and least > most:
            raise OptionError("image_min_tokens", least, f"at most image_max_tokens ({most})")


STOP_MAX_CHARS = 1000
SAMPLERS = (
    "penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature",
)  # fmt: skip
"""The order in which llama.cpp applies them unless told otherwise."""


@dataclass(frozen=True)
class SamplingParams(Params):
    """How one answer is drawn from the model. Names are llama-server's."""

    max_tokens: int | None = option(
        None,
        "most tokens to generate; None or -1: until the model ends or the context is full",
        ge=-1,
        le=INT32_MAX,
        aliases=("n_predict", "max_completion_tokens"),
    )
    temperature: float = option(0.8, "0 (below 1e-6) picks the likeliest token", ge=0.0, le=1000.0)
    dynatemp_range: float = option(0.0, "dynamic temperature: half-width; 0: off", ge=0.0)
    dynatemp_exponent: float = option(1.0, "dynamic temperature: exponent of the entropy", ge=0.0)
    top_k: int = option(40, "keep the k likeliest tokens; 0 or -1: all", ge=-1, le=INT32_MAX)
    top_p: float = option(0.95, "keep the likeliest tokens of this total; 1: off", ge=0.0, le=1.0)
    min_p: float = option(
        0.05, "drop tokens below this share of the likeliest one; 0: off", ge=0.0, le=1.0
    )
    top_n_sigma: float = option(
        -1.0, "keep logits within n standard deviations of the best; -1: off", ge=-1.0
    )
    typical_p: float = option(
        1.0, "locally typical sampling; 1: off", ge=0.0, le=1.0, aliases=("typ_p",)
    )
    xtc_probability: float = option(0.0, "XTC: chance to drop top choices", ge=0.0, le=1.0)
    xtc_threshold: float = option(0.1, "XTC: least probability of a top choice", ge=0.0, le=1.0)
    repeat_last_n: int = option(
        64,
        "tokens that penalties look back at; 0: none, -1: the whole context",
        ge=-1,
        le=INT32_MAX,
        aliases=("last_n_tokens_size", "penalty_last_n"),
    )
    repeat_penalty: float = option(1.0, "divides logits of repeated tokens; 1: off", gt=0.0)
    presence_penalty: float = option(0.0, "subtracted once from repeated tokens", ge=-100, le=100)
    frequency_penalty: float = option(
        0.0, "subtracted for each repetition of a token", ge=-100, le=100
    )
    dry_multiplier: float = option(0.0, "DRY: strength; 0: off", ge=0.0)
    dry_base: float = option(1.75, "DRY: growth for each repeated token", ge=0.0)
    dry_allowed_length: int = option(
        2, "DRY: repetitions up to this length are free", ge=0, le=65536
    )
    dry_penalty_last_n: int = option(
        -1, "DRY: tokens to look back at; 0: off, -1: the whole context", ge=-1, le=INT32_MAX
    )
    dry_sequence_breakers: list[str] = option(
        ["\n", ":", '"', "*"], "DRY: strings over which a repetition does not reach"
    )
    mirostat: int = option(
        0,
        "1 or 2: Mirostat of that version instead of the other samplers",
        choices=(0, 1, 2),
        aliases=("mirostat_mode",),
    )
    mirostat_tau: float = option(5.0, "Mirostat: target surprise", ge=0.0)
    mirostat_eta: float = option(0.1, "Mirostat: learning rate", ge=0.0, le=1.0)
    adaptive_target: float = option(
        -1.0, "adaptive-p: target probability; negative: off", ge=-1.0, le=1.0
    )
    adaptive_decay: float = option(0.9, "adaptive-p: decay of its memory", ge=0.0, le=0.99)
    samplers: list[str] = option(
        list(SAMPLERS), "which samplers, in which order", choices=(*SAMPLERS, "infill")
    )
    seed: int | None = option(None, "seed of the draw; None or -1: a fresh one", ge=-1, le=SEED_MAX)
    min_keep: int = option(0, "least tokens that truncating samplers leave", ge=0, le=INT32_MAX)
    n_probs: int = option(0, "log-probabilities of this many likeliest tokens", ge=0, le=INT32_MAX)
    logit_bias: dict[Any, Any] = option(
        {}, "token id -> number added to its logit; False bans the token"
    )
    ignore_eos: bool = option(False, "do not let the model end by itself")
    stop: list[str] | str | None = option(None, "strings that end the answer, not part of it")
    grammar: str | None = option(None, "GBNF or Lark grammar that the answer must match")
    json_schema: dict[str, Any] | None = option(
        None, "JSON schema that the answer must be an instance of"
    )
    n: int = option(1, "number of answers", ge=1, le=1024)
    t_max_predict_ms: float | None = option(
        None, "milliseconds to generate in, after the prompt was read", ge=0.0, le=1e9
    )
    deadline_s: float | None = option(
        None, "seconds for the whole request, waiting and prompt included", gt=0.0, le=1e6
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.samplers)) != len(self.samplers):
            raise OptionError("samplers", self.samplers, "each sampler at most once")
        if self.grammar is not None and self.json_schema is not None:
            raise OptionError(
                "grammar", self.grammar, "no grammar beside json_schema, or the reverse"
            )
        if not all(0 < len(s) <= STOP_MAX_CHARS for s in self.stop_strings):
            raise OptionError("stop", self.stop, f"strings of 1 to {STOP_MAX_CHARS} characters")

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """``stop`` as a tuple."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def token_limit(self) -> int | None:
        """``max_tokens`` with -1 read as None."""
        return None if self.max_tokens in (None, -1) else self.max_tokens


@dataclass(frozen=True)
class ResponseParams(Params):
    """What every call may say about its response."""

    model: str | None = option(None, "name to give in the response; None: the model's path")
    stream_options: dict[str, Any] | None = option(
        None, '{"include_usage": True} ends a stream with a chunk of token counts'
    )
    logits_processor: list[Any] | None = option(
        None,
        "functions of (ids so far, logits) that return new logits; they run on the engine's "
        "thread, so every caller waits for them",
    )
    priority: int = option(
        0, "requests with a smaller number come first", ge=-INT32_MAX, le=INT32_MAX
    )
    lora: dict[str, float] | None = option(
        None,
        "LoRA adapters by the names given to load_lora, with their scales; {}: none; "
        "None: the one of lora_path, if any",
    )
    cache_prompt: bool = option(True, "reuse what memory holds of the prompt")
    max_prompt_tokens: int | None = option(
        None, "refuse a prompt of more tokens; None: what the context holds", ge=1, le=INT32_MAX
    )
    return_tokens: bool = option(False, "give the answer's token ids as well, as `tokens`")
    timings_per_token: bool = option(False, "give `timings` with every chunk, not only the last")
    return_progress: bool = option(
        False, "while the prompt is read, stream chunks with `prompt_progress`"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        options = self.stream_options or {}
        if set(options) - {"include_usage"} or not isinstance(self.include_usage, bool):
            raise OptionError("stream_options", options, '{"include_usage": True} or False')
        if not all(map(callable, self.logits_processor or ())):
            raise OptionError("logits_processor", self.logits_processor, "functions")

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with token counts."""
        return (self.stream_options or {}).get("include_usage", False)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class CompletionParams(ResponseParams):
    """What a call of ``create_completion`` may say beside the sampling options."""

    echo: bool = option(
        False, "put the prompt before the answer; with logprobs also its log-probabilities"
    )
    logprobs: int | None = option(
        None, "log-probabilities, with so many likeliest alternatives", ge=0, le=INT32_MAX
    )
    input_extra: list[Any] | None = option(
        None,
        'other files, as {"filename": ..., "text": ...}, that the model sees before a gap (needs '
        "suffix); the first ones are left out where they do not all fit",
    )


@dataclass(frozen=True)
class ChatParams(ResponseParams):
    """What a call of ``create_chat_completion`` may say beside the sampling options."""

    logprobs: bool | None = option(None, "log-probabilities of the answer's tokens")
    top_logprobs: int | None = option(
        None, "with so many likeliest alternatives; needs logprobs", ge=0, le=INT32_MAX
    )
    tools: list[Any] | None = option(
        None, "functions, Pydantic models or OpenAI's definitions that the model may call"
    )
    tool_choice: str | dict[str, Any] | None = option(
        None,
        "'auto' (the default beside tools), 'none', 'required', or one: a name or "
        '{"type": "function", "function": {"name": ...}}',
    )
    parallel_tool_calls: bool = option(True, "whether an answer may hold several calls")
    response_format: dict[str, Any] | type | None = option(
        None,
        'OpenAI\'s {"type": "text"}, "json_object" or "json_schema" with its schema; or "regex", '
        '"choice" or "grammar" with such a key beside it; or a Pydantic model or TypedDict',
    )
    enable_thinking: bool | None = option(
        None, "switch the model's thoughts on or off; None: the template's own choice"
    )
    reasoning_effort: str | None = option(None, "how much to think, in the template's own words")
    reasoning_budget_tokens: int | None = option(
        None,
        "most tokens of thoughts, which are then ended as the template ends them; None or -1: any",
        ge=-1,
        le=INT32_MAX,
        aliases=("thinking_budget_tokens",),
    )
    chat_template_kwargs: dict[str, Any] = option({}, "further variables for the model's template")
    add_generation_prompt: bool = option(
        True, "end the prompt with the beginning of the assistant's turn"
    )
    continue_final_message: bool | None = option(
        None, "go on with an assistant's message at the end; None: if there is one"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_logprobs is not None and not self.logprobs:
            raise OptionError("top_logprobs", self.top_logprobs, "logprobs=True beside it")

    @property
    def thought_limit(self) -> int | None:
        """``reasoning_budget_tokens`` with -1 read as None."""
        return None if self.reasoning_budget_tokens == -1 else self.reasoning_budget_tokens


@dataclass(frozen=True)
class EmbeddingParams(Params):
    """What a call of ``embed`` may say."""

    pooling: str | None = option(
        None,
        "how the vectors of tokens become one; none: they stay, rank: scores of a classifier; "
        "None: as the model's file says, else mean",
        choices=POOLINGS,
    )
    normalize: bool = option(True, "scale each vector to length 1; scores stay as they are")
    truncate: bool = option(False, "cut texts that are too long, instead of an error")
    dimensions: int | None = option(
        None, "keep only so many numbers of each vector, for models trained for it", ge=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling == "rank" and self.dimensions is not None:
            raise OptionError("dimensions", self.dimensions, "None beside pooling='rank'")


@dataclass(frozen=True)
class EmbeddingResponseParams(EmbeddingParams):
    """What a call of ``create_embedding`` may say."""

    model: str | None = option(None, "name to give in the response; None: the model's path")
    encoding_format: str = option(
        "float",
        "base64: little-endian 32-bit floats, as OpenAI writes them",
        choices=("float", "base64"),
    )


@dataclass(frozen=True)
class RerankParams(Params):
    """What a call of ``rerank`` may say."""

    method: str = option(
        "rank",
        "rank: by a model made to score pairs; cosine: by the angle between embeddings, any model",
        choices=("rank", "cosine"),
    )
    pooling: str | None = option(
        None,
        "of the embeddings with method 'cosine'; None: as the model's file says, else mean",
        choices=("mean", "cls", "last"),
    )
    top_n: int | None = option(None, "give only so many of the best; None: all", ge=1)
    return_documents: bool = option(False, "give each document's text beside its score")
    truncate: bool = option(False, "cut documents that are too long, instead of an error")
    model: str | None = option(None, "name to give in the response; None: the model's path")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling is not None and self.method != "cosine":
            raise OptionError("pooling", self.pooling, "method='cosine' beside it")
