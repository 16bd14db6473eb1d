"""Compile what an answer must look like, before the request is admitted."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper, grammar_from

from llamaherd.errors import GrammarError
from llamaherd.model import Vocab

COMPACT_JSON = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


class TokenConstraint:
    """One answer's way through a grammar. One thread at a time."""

    def __init__(self, matcher: LLMatcher, n_vocab: int) -> None:
        self._matcher, self._n_vocab = matcher, n_vocab
        self._mask = np.zeros((n_vocab + 31) // 32, dtype=np.uint32)

    def mask(self, logits: npt.NDArray[np.float32]) -> None:
        """Set the logits of tokens that the grammar excludes here to minus infinity, in place.

        Raises:
            GrammarError: the grammar ran into llguidance's limits.
        """
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()
        allowed = np.unpackbits(self._mask.view(np.uint8), bitorder="little")[: self._n_vocab]
        logits[allowed == 0] = -np.inf

    def accept(self, token: int) -> None:
        """Go on by a token that was drawn.

        Raises:
            GrammarError: the grammar does not allow it, or ran into llguidance's limits.
        """
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)
            self._check()

    @property
    def finished(self) -> bool:
        """Whether the grammar is satisfied and allows nothing more."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            first_line = self._matcher.get_error().partition("\n")[0]
            raise GrammarError(f"the grammar could not be followed: {first_line}")


class Constrainer:
    """Compiles grammars for one vocabulary. Any thread.

    The first use prepares the vocabulary, which takes up to a second at 128k tokens.
    """

    def __init__(self, vocab: Vocab) -> None:
        self._vocab, self._lock = vocab, threading.Lock()

    def compile(
        self, *, grammar: str | None = None, json_schema: Mapping[str, Any] | None = None
    ) -> TokenConstraint | None:
        """The constraint that a GBNF or Lark grammar, or a JSON schema, describes; None for none.

        Answers to a schema are compact JSON: no white space outside of strings.

        Raises:
            GrammarError: it does not parse, or uses what cannot be enforced.
        """
        if grammar is None and json_schema is None:
            return None
        source = _source(grammar, json_schema)
        matcher = LLMatcher(self._tokenizer, source, log_level=0)
        if matcher.is_error():
            raise GrammarError(f"the {_kind(grammar)} cannot be enforced: {matcher.get_error()}")
        if warnings := matcher.get_grammar_warnings():
            raise GrammarError(f"the {_kind(grammar)} cannot be enforced: {'; '.join(warnings)}")
        return TokenConstraint(matcher, len(self._vocab))

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


def _kind(grammar: str | None) -> str:
    return "JSON schema" if grammar is None else "grammar"


def _source(grammar: str | None, json_schema: Mapping[str, Any] | None) -> str:
    try:
        if grammar is None:
            schema = dict(json_schema or {})
            return str(LLMatcher.grammar_from_json_schema(schema, overrides=COMPACT_JSON))
        return str(grammar_from("grammar", grammar))
    except ValueError as error:
        raise GrammarError(f"the {_kind(grammar)} does not parse: {error}") from error


class _LlguidanceTokenizer:
    """A vocabulary in the shape that llguidance reads (its ``TokenizerWrapper``)."""

    def __init__(self, vocab: Vocab) -> None:
        special = vocab.special
        ends = sorted(vocab.end_tokens)
        self._vocab = vocab
        self.eos_token_id = special.eos if special.eos is not None else (ends or [0])[0]
        self.bos_token_id = special.bos
        self.tokens = [vocab.token_bytes(i, special=True) for i in range(len(vocab))]
        self.special_token_ids = [i for i in range(len(vocab)) if vocab.is_control(i)]

    def __call__(self, text: str | bytes) -> Sequence[int]:
        return self._vocab.tokenize(text, add_special=False, parse_special=False)
