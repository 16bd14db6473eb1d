"""Compile what an answer must look like, before the request is admitted."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper, grammar_from

from llamaherd.errors import GrammarError
from llamaherd.model import Vocab

logger = logging.getLogger("llamaherd")

COMPACT_JSON = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
MOST_BYTES = 1 << 20
"""Of a grammar's or schema's text."""
KEPT_GRAMMARS = 64
"""Compiled grammars that are kept for the next request with the same."""
LENIENT = '"lenient": true'
"""In a grammar: schemas in it may have keywords that are not enforced."""
LIMITS = LLParserLimits(max_lexer_states=50_000)  # of 1 to 2 kB each; bounds time by its defaults

Floats = npt.NDArray[np.float32]


class MaskTable:
    """Masks of bits, as llguidance writes them, put onto logits. One thread.

    Made once for a vocabulary: applying a mask allocates nothing.
    """

    def __init__(self, n_vocab: int) -> None:
        self.bits = np.zeros((n_vocab + 31) // 32, dtype=np.uint32)
        self._n_vocab, self._bytes = n_vocab, self.bits.view(np.uint8)
        every_byte = np.arange(256, dtype=np.uint8)[:, None]
        is_set = np.unpackbits(every_byte, axis=1, bitorder="little")
        self._addends = np.where(is_set, np.float32(0), np.float32(-np.inf))
        self._found = np.empty((len(self._bytes), 8), dtype=np.float32)

    def apply(self, logits: Floats) -> None:
        """Set the logits of tokens whose bit is not set to minus infinity, in place."""
        np.take(self._addends, self._bytes, axis=0, out=self._found, mode="clip")
        np.add(logits, self._found.reshape(-1)[: self._n_vocab], out=logits)


class TokenConstraint:
    """One answer's way through a grammar. One thread at a time.

    Args:
        table: of the vocabulary; shared by all constraints of a thread.
    """

    def __init__(self, matcher: LLMatcher, table: MaskTable) -> None:
        self._matcher, self._table = matcher, table

    def mask(self, logits: Floats) -> None:
        """Set the logits of tokens that the grammar excludes here to minus infinity, in place.

        Raises:
            GrammarError: the grammar ran into llguidance's limits.
        """
        bits = self._table.bits
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        self._check()
        self._table.apply(logits)

    def accept(self, token: int) -> None:
        """Go on by a token that was drawn.

        Raises:
            GrammarError: the grammar does not allow it, or ran into llguidance's limits.
        """
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)
            self._check()

    def forced(self) -> Sequence[int]:
        """The tokens that must come next, spelled as the tokenizer spells them.

        The last of the determined letters are left out where they could become part of a token
        with those behind them.
        """
        return self._matcher.compute_ff_tokens()  # type: ignore[no-any-return]

    @property
    def finished(self) -> bool:
        """Whether the grammar is satisfied and allows nothing more."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(f"the grammar could not be followed: {_why(self._matcher)}")


class Constrainer:
    """Compiles grammars for one vocabulary. Any thread; its constraints are for one.

    The first use prepares the vocabulary, which takes half a second at 128k tokens. What is
    compiled is kept, so that a schema in every request costs once.
    """

    def __init__(self, vocab: Vocab) -> None:
        self._vocab, self._lock = vocab, threading.Lock()
        self._compiled = functools.lru_cache(KEPT_GRAMMARS)(self._compile)

    def compile(
        self, *, grammar: str | None = None, json_schema: Mapping[str, Any] | None = None
    ) -> TokenConstraint | None:
        """The constraint that a GBNF or Lark grammar, or a JSON schema, describes; None for none.

        Answers to a schema are compact JSON: no white space outside of strings.

        Raises:
            GrammarError: it does not parse, is too large, or uses what cannot be enforced.
        """
        if grammar is None and json_schema is None:
            return None
        kind = "JSON schema" if grammar is None else "grammar"
        source = _source(grammar, json_schema, kind)
        return TokenConstraint(self._compiled(source, kind).deep_copy(), self._table)

    @property
    def n_compiled(self) -> int:
        """Grammars that were compiled, not found among those that are kept."""
        return self._compiled.cache_info().misses

    def _compile(self, source: str, kind: str) -> LLMatcher:
        matcher = LLMatcher(self._tokenizer, source, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise GrammarError(f"the {kind} cannot be enforced: {matcher.get_error()}")
        matcher.compute_bitmask()  # what no answer satisfies, or is too much to follow, shows here
        if matcher.is_error():
            raise GrammarError(f"the {kind} cannot be enforced: {_why(matcher)}")
        if warnings := "; ".join(matcher.get_grammar_warnings()):
            if LENIENT not in source:
                raise GrammarError(f"the {kind} cannot be enforced: {warnings}")
            logger.warning("a part of a tool's schema is not enforced: %s", warnings)
        return matcher

    @functools.cached_property
    def _table(self) -> MaskTable:
        return MaskTable(len(self._vocab))

    @property
    def _tokenizer(self) -> LLTokenizer:
        with self._lock:
            return self._make_tokenizer

    @functools.cached_property
    def _make_tokenizer(self) -> LLTokenizer:
        tokenizer = _LlguidanceTokenizer(self._vocab)
        return LLTokenizer(
            TokenizerWrapper(tokenizer),
            n_vocab=len(self._vocab),
            eos_token=sorted(self._vocab.end_tokens) or None,
        )


def _why(matcher: LLMatcher) -> str:
    """What went wrong, in a line."""
    first_line: str = matcher.get_error().partition("\n")[0]
    return "nothing satisfies it" if first_line == "NoExtensionBias" else first_line


def _source(grammar: str | None, json_schema: Mapping[str, Any] | None, kind: str) -> str:
    try:
        if grammar is None:
            schema = dict(json_schema or {})
            source = str(LLMatcher.grammar_from_json_schema(schema, overrides=COMPACT_JSON))
        else:
            source = str(grammar_from("grammar", grammar))
    except ValueError as error:
        raise GrammarError(f"the {kind} does not parse: {error}") from error
    if (size := len(source.encode("utf-8", "surrogatepass"))) > MOST_BYTES:
        raise GrammarError(f"the {kind} has {size:,} bytes; at most {MOST_BYTES:,} are compiled")
    return source


class _LlguidanceTokenizer:
    """A vocabulary in the shape that llguidance reads (its ``TokenizerWrapper``)."""

    def __init__(self, vocab: Vocab) -> None:
        special = vocab.special
        ends = sorted(vocab.end_tokens)
        self._vocab = vocab
        self.eos_token_id = special.eos if special.eos is not None else (ends or [0])[0]
        self.bos_token_id = special.bos
        self.tokens = vocab.all_token_bytes()
        self.special_token_ids = sorted(vocab.control_tokens)

    def __call__(self, text: str | bytes) -> Sequence[int]:
        return self._vocab.tokenize(text, add_special=False, parse_special=False)
