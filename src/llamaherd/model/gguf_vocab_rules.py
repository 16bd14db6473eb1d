"""What must hold in a model's vocabulary; see :mod:`llamaherd.model.gguf_rules`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from llamaherd.model.gguf_rules import MAX_VOCABULARY, Facts, Rule

MAX_TOKEN_BYTES = 16384  # tries are filled recursively, one stack frame a byte


def there_are_tokens(facts: Facts) -> str | None:
    """Division by the size of the vocabulary; tries of unbounded depth"""
    words = facts.words
    if words is None:
        return None
    if not 0 < len(words) <= MAX_VOCABULARY:
        return f"has a vocabulary of {len(words)} tokens"
    longest = max(map(len, words))
    if longest > MAX_TOKEN_BYTES:
        return f"has a token of {longest} bytes"
    return None


def tokens_are_distinct(facts: Facts) -> str | None:
    """vocab.load: GGML_ASSERT(id_to_token.size() == token_to_id.size())"""
    words = facts.words or []
    if len(facts.word_set) == len(words):
        return None
    twice = next(word for word, count in Counter(words).items() if count > 1)
    return f"has the token {twice.decode('utf-8', 'replace')!r} twice"


def every_byte_can_be_spelled(facts: Facts) -> str | None:
    """SPM byte_to_token: std::out_of_range, through C, for text with a byte that has no token"""
    if facts.tokenizer != "llama" or facts.words is None:
        return None
    for byte in range(256):
        names = (b"<0x%02X>" % byte, bytes([byte]))
        if not any(name in facts.word_set for name in names):
            return f"has no token for the byte 0x{byte:02X}, so some texts cannot be tokenized"
    return None


def rwkv_tokens_begin_with_a_token(facts: Facts) -> str | None:
    """llm_tokenizer_rwkv_session: starts over for ever where only a longer token begins so"""
    if facts.tokenizer != "rwkv" or facts.words is None:
        return None
    plain = [_rwkv_unescape(word) for word in facts.words]
    single = {word for word in plain if len(word) == 1}
    for word in plain:
        if word and word[:1] not in single:
            return f"has the token {word!r}, but none for its first byte"
    return None


def _rwkv_unescape(word: bytes) -> bytes:
    r"""As llama_unescape_rwkv_token: \t \n \r \xHH; any other escaped byte is itself."""
    if b"\\" not in word:
        return word
    out, at = bytearray(), 0
    escapes = {ord("t"): 9, ord("n"): 10, ord("r"): 13}
    while at < len(word):
        if word[at] != ord("\\") or at + 1 == len(word):
            out += word[at : at + 1].replace(b"\\", b"")
            at += 1
        elif word[at + 1] == ord("x"):
            digits = word[at + 2 : at + 4]
            if len(digits) == 2:
                out.append((_rwkv_digit(digits[0]) * 16 + _rwkv_digit(digits[1])) % 256)
            at += 4
        else:
            out.append(escapes.get(word[at + 1], word[at + 1]))
            at += 2
    return bytes(out)


def _rwkv_digit(char: int) -> int:
    return char - ord("a") + 10 if char >= ord("a") else char - ord("0")


# Tokens put around a text: which tokenizer asks for them by default, and with which id.


@dataclass(frozen=True)
class Surround:
    """Defaults of one tokenizer: ids of BOS, EOS, SEP; whether BOS, EOS, SEP are added."""

    ids: tuple[int | None, int | None, int | None]
    added: tuple[bool, bool, bool]


_SURROUNDS = {
    "llama": Surround((1, 2, None), (True, False, False)),
    "bert": Surround((101, None, 102), (True, False, True)),
    "gpt2": Surround((11, 11, None), (False, False, False)),
    "hybriddna": Surround((11, 11, None), (False, False, False)),
    "whitespace": Surround((11, 11, None), (False, False, False)),
    "gemma4": Surround((None, None, None), (True, False, False)),
    "t5": Surround((None, 1, None), (False, True, False)),
}
# Pre-tokenizers of byte-pair vocabularies that add BOS by default, and that have no BOS by default.
_PRE_ADDS_BOS = frozenset(
    [
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
        "tekken",
        "chameleon",
        "gemma4",
        "granite-embed-multi-311m",
    ]
)
_PRE_WITHOUT_BOS = frozenset(["chatglm-bpe", "glm4", "glm5"])
_SURROUND_KEYS = (
    ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.add_bos_token", "BOS"),
    ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_eos_token", "EOS"),
    ("tokenizer.ggml.seperator_token_id", "", "SEP"),  # spelled so in the format
)


def added_tokens_exist(facts: Facts) -> str | None:
    """llama_vocab::tokenize: GGML_ASSERT(special_bos_id != LLAMA_TOKEN_NULL), EOS and SEP alike"""
    default = _SURROUNDS.get(facts.tokenizer)
    if default is None or facts.words is None:
        return None
    for at, (id_key, add_key, name) in enumerate(_SURROUND_KEYS):
        if _is_added(facts, default, at, add_key) and not _has_id(facts, default, at, id_key):
            return f"adds a {name} token to every text, but has none"
    return None


def _is_added(facts: Facts, default: Surround, at: int, add_key: str) -> bool:
    if facts.tokenizer == "bert":  # always, whatever the keys say
        return default.added[at]
    by_default = default.added[at] or (at == 0 and _pre_adds_bos(facts))
    asked = facts.file.metadata.get(add_key, by_default)
    forced = at == 0 and (facts.tokenizer == "gemma4" or _pre_forces_bos(facts))
    return forced or asked is True


def _pre_adds_bos(facts: Facts) -> bool:
    return facts.tokenizer == "gpt2" and facts.pre_tokenizer in _PRE_ADDS_BOS


def _pre_forces_bos(facts: Facts) -> bool:
    gemma = facts.pre_tokenizer in ("gemma4", "granite-embed-multi-311m")
    return facts.tokenizer == "gpt2" and gemma


def _has_id(facts: Facts, default: Surround, at: int, id_key: str) -> bool:
    size = len(facts.words or ())
    by_default = default.ids[at]
    if at == 0 and facts.tokenizer == "gpt2" and facts.pre_tokenizer in _PRE_WITHOUT_BOS:
        by_default = None
    given = facts.file.integer(id_key)
    if given is not None and 0 <= given < size:
        return True
    return by_default is not None and by_default < size


VOCABULARY_RULES = (
    Rule(there_are_tokens),
    Rule(tokens_are_distinct),
    Rule(every_byte_can_be_spelled),
    Rule(rwkv_tokens_begin_with_a_token),
    Rule(added_tokens_exist, "Set the token's id in the metadata, or convert the model again."),
)
