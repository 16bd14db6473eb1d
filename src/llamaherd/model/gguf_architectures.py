"""What llama.cpp's graphs take for granted, by architecture.

Read off ``src/models/*.cpp`` of llama.cpp 0.5. An architecture that is in no table is not checked
for it: a table may miss one, but must not hold one that llama.cpp runs otherwise. Left out for
that reason are those whose ``load_arch_hparams`` computes lengths of its own (deepseek2, gemma4,
kimi-linear, ...).
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYS_AS_LONG_AS_VALUES = _names(
    """
    afmoe apertus arcee arctic baichuan bailingmoe bailingmoe2 bert bitnet bloom chameleon
    chatglm codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2-ocr
    dots1 dream ernie4_5 ernie4_5-moe eurobert exaone exaone-moe falcon glm4 glm4moe gpt-oss
    gpt2 gptneox granite granite_swa granitehybrid granitemoe grok grovemoe hunyuan-dense
    hunyuan-moe hunyuan_vl hy_v3 internlm2 jais jais2 jina-bert-v2 jina-bert-v3 llada
    llada-moe llama llama-embed llama4 maincoder maple mellum minicpm minimax-m2 mistral3
    modern-bert mpt nemotron nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo
    olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo qwen qwen2
    qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe
    refact rnd1 seed_oss smallthinker smollm3 stablelm starcoder starcoder2 t5 t5encoder
    xverse
    """
)
"""GGML_ASSERT(n_embd_head_v == n_embd_head_k)"""

WHOLE_HEADS_ROTATE = _names(
    """
    apertus arcee arctic baichuan bailingmoe chameleon codeshell cogvlm cohere2moe dbrx deci
    deepseek dots1 dream ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon granite
    granite_swa granitemoe grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2
    jais2 llada llada-moe llama llama-embed llama4 maincoder mellum minicpm minimax-m2
    mistral3 nemotron olmo olmo2 olmoe orion paddleocr pangu-embedded plamo qwen2 qwen2moe
    qwen2vl qwen3 qwen3moe qwen3tts qwen3vl qwen3vlmoe rnd1 seed_oss smallthinker smollm3
    starcoder2 talkie xverse
    """
)
"""GGML_ASSERT(n_embd_head == n_rot)"""

LAYERS_ALIKE = _names(
    """
    afmoe apertus arcee arctic baichuan bailingmoe bailingmoe2 bert bitnet bloom chameleon
    chatglm codeshell cogvlm cohere2 cohere2moe command-r dbrx deepseek deepseek2-ocr dots1
    dream ernie4_5 ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1 gemma
    gemma-embedding gemma2 gemma3 gemma3n glm4 glm4moe gpt-oss gpt2 gptneox granite
    granite_swa granitemoe grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2
    jais jais2 jina-bert-v2 jina-bert-v3 llada llada-moe llama llama-embed llama4 maincoder
    maple mellum minicpm minicpm3 minimax-m2 mistral3 modern-bert mpt muse-glimmer nanbeige
    nemotron neo-bert nomic-bert nomic-bert-moe olmo olmo2 olmoe orion paddleocr
    pangu-embedded phi2 phi3 phimoe plamo plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen35
    qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe refact rnd1 seed_oss smallthinker
    smollm3 stablelm starcoder starcoder2 t5 t5encoder talkie xverse
    """
)
"""Heads and experts of layer 0 are taken for those of every layer."""

EMBEDDINGS_AS_WIDE = LAYERS_ALIKE | _names("deci mamba mamba2 mimo2 openelm plamo3 spark2_5 step35")
"""An embedding has embedding_length numbers, whatever embedding_length_out says."""

ROTATES = LAYERS_ALIKE | _names("deci lfm2 lfm2moe mimo2 openelm plamo3 spark2_5 step35")
"""ggml_rope asserts n_dims <= ne0, and does not end if n_dims is 0 (unless they do without it)."""

WITHOUT_ROPE = _names(
    """
    arwkv7 bloom glm5-next gpt2 jais jamba jina-bert-v2 kimi-k3 kimi-linear mamba mamba2 mpt
    nemotron_h nemotron_h_moe refact rwkv6 rwkv6qwen2 rwkv7 starcoder t5 t5encoder
    wavtokenizer-dec
    """
)
"""A rope.dimension_count of 0 is harmless."""

WITHOUT_ATTENTION = _names(
    """
    arwkv7 mamba mamba2 pockettts rwkv6 rwkv6qwen2 rwkv7 wavtokenizer-dec
    """
)
"""May have 0 heads, or not say how many."""

WITHOUT_MEMORY = _names(
    """
    bert dream eurobert gemma-embedding jina-bert-v2 jina-bert-v3 llada llada-moe modern-bert
    neo-bert nomic-bert nomic-bert-moe rnd1 wavtokenizer-dec
    """
)
"""llama_model::create_memory makes none: they read a text whole, every token seeing all others."""

DIVIDES_BY_HEADS = _names(
    """
    deepseek2 gemma2 gemma3 modern-bert olmo2 phimoe
    """
)
"""Divides by the number of heads even where the key is missing."""

DIVIDES_BY_EXPERTS = _names(
    """
    glm4moe grovemoe llada-moe mellum nemotron_h_moe qwen2moe qwen35moe qwen3moe qwen3next
    qwen3vlmoe qwen4exp rnd1
    """
)
"""Computes n_ff / n_expert_used where expert_feed_forward_length is missing."""

NEEDS_ROPE_SECTIONS = _names(
    """
    paddleocr qwen2vl qwen35 qwen35moe qwen3tts qwen3vl qwen3vlmoe qwen4exp
    """
)
"""Divides by the sum of rope.dimension_sections."""

NEEDS_GATING = _names(
    """
    bailingmoe2 bailingmoe3 deepseek32 dots1 dots3note exaone-moe hy_v4 kimi-k3 kimi-linear
    lfm2moe minimax-m2 minimax-m3 smallthinker
    """
)
"""build_moe_ffn: GGML_ABORT where expert_gating_func is 0 or missing."""

DIVISORS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "ssm.group_count",  # 0 is right for plamo2
        _names("mamba2 falcon-h1 granitehybrid nemotron_h nemotron_h_moe qwen3next qwen35")
        | _names("qwen35moe qwen4exp"),
    ),
    (
        "ssm.time_step_rank",
        _names("mamba2 falcon-h1 granitehybrid nemotron_h nemotron_h_moe qwen3next qwen35")
        | _names("qwen35moe qwen4exp plamo2 mamba jamba"),
    ),
    ("interleave_moe_layer_step", _names("ernie4_5-moe")),
    ("experts_per_group", _names("grovemoe")),
    ("attention.output_group_count", _names("deepseek4")),
)
"""Keys that must not be 0, because these architectures divide by them."""
