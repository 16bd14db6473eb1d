"""A model's vocabulary: text to token ids and back. Thread-safe, as llama.h promises."""

from __future__ import annotations

import ctypes
import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from llamaherd.errors import ClosedError, OptionError, UnsupportedError
from llamaherd.native import bindings as c
from llamaherd.native.handles import ModelHandle, text_buffer
from llamaherd.native.library import keeping_the_lock

INT32_MIN = -(2**31)


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids with a role, None where the vocabulary has none (llama.h: ``llama_vocab_*``)."""

    bos: int | None
    eos: int | None
    eot: int | None
    sep: int | None
    nl: int | None
    pad: int | None
    mask: int | None
    fim_prefix: int | None
    fim_suffix: int | None
    fim_middle: int | None
    fim_pad: int | None
    fim_repo: int | None
    fim_separator: int | None


_PieceBuffer = ctypes.c_char * 64


class Vocab:
    """The vocabulary of a loaded model; valid while the model is open. Any thread."""

    def __init__(self, model: ModelHandle) -> None:
        self._model = model
        self._native = c.llama_model_get_vocab(model.pointer)
        self.n_tokens: int = c.llama_vocab_n_tokens(self._native)
        self._has_tokenizer = c.llama_vocab_type(self._native) != c.LLAMA_VOCAB_TYPE_NONE
        self._pieces: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})  # without, with special

    @property
    def pointer(self) -> c.llama_vocab_p:
        """The native vocabulary, for who holds the model.

        Raises:
            ClosedError: its model has been closed.
        """
        if self._model.closed:
            raise ClosedError("the model of this vocabulary is closed: load it again")
        return self._native

    def held(self) -> AbstractContextManager[None]:
        """Keep the native vocabulary alive for the length of a ``with``."""
        return self._model.held()

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the vocabulary, whose model stays alive meanwhile."""
        with self._model.held():
            return function(self._native, *args)

    def _text_call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The same for functions that end the process if there is no tokenizer."""
        self._demand_tokenizer()
        return self._call(function, *args)

    def _demand_tokenizer(self) -> None:
        if not self._has_tokenizer:
            raise UnsupportedError("this model has no tokenizer: it takes and gives token ids only")

    def __len__(self) -> int:
        return self.n_tokens

    @functools.cached_property
    def special(self) -> SpecialTokens:
        """The tokens with a role."""
        roles = "bos eos eot sep nl pad mask fim_pre fim_suf fim_mid fim_pad fim_rep fim_sep"
        ids = (self._call(getattr(c, f"llama_vocab_{role}")) for role in roles.split())
        return SpecialTokens(*(None if i == c.LLAMA_TOKEN_NULL else i for i in ids))

    def is_end(self, token: int) -> bool:
        """Whether drawing this token ends an answer (end of sequence, of turn, ...)."""
        return token in self.end_tokens

    @functools.cached_property
    def end_tokens(self) -> frozenset[int]:
        """All tokens for which :meth:`is_end` holds; looks at the whole vocabulary once."""
        return self._all_that("llama_vocab_is_eog")

    @functools.cached_property
    def control_tokens(self) -> frozenset[int]:
        """All tokens for which :meth:`is_control` holds; looks at the whole vocabulary once."""
        return self._all_that("llama_vocab_is_control") if self._has_tokenizer else frozenset()

    def _all_that(self, question: str) -> frozenset[int]:
        """The tokens of which a native function says yes, in one go: there may be 200,000."""
        ask = keeping_the_lock(question, ctypes.c_bool, ctypes.c_void_p, ctypes.c_int32)
        with self._model.held():
            native = ctypes.cast(self._native, ctypes.c_void_p)
            return frozenset(token for token in range(self.n_tokens) if ask(native, token))

    @functools.cached_property
    def suppressed_tokens(self) -> tuple[int, ...]:
        """Tokens that the model's file says must never be drawn."""
        count = ctypes.c_int32()
        ids = self._call(c.llama_vocab_get_suppress_tokens, ctypes.byref(count))
        return tuple(ids[i] for i in range(count.value))

    @property
    def adds_bos(self) -> bool:
        """Whether ``add_special`` puts a beginning-of-sequence token first."""
        return bool(self._call(c.llama_vocab_get_add_bos))

    @property
    def adds_eos(self) -> bool:
        """Whether ``add_special`` puts an end-of-sequence token last."""
        return bool(self._call(c.llama_vocab_get_add_eos))

    @property
    def adds_sep(self) -> bool:
        """Whether ``add_special`` puts a separator last, as BERT's vocabularies do."""
        return bool(self._call(c.llama_vocab_get_add_sep))

    def is_control(self, token: int) -> bool:
        """Whether the token steers the model and is not text."""
        return bool(self._text_call(c.llama_vocab_is_control, self.checked(token)))

    def token_text(self, token: int) -> str:
        """The token as the vocabulary spells it (not the text it stands for)."""
        text = self._text_call(c.llama_vocab_get_text, self.checked(token))
        return (text or b"").decode("utf-8", "replace")

    def tokenize(self, text: str | bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``.

        Args:
            add_special: put the beginning (and end) token where the model is made for it.
            parse_special: read ``<|im_start|>`` and the like as the tokens they name; False treats
                them as text, which is right for anything that a stranger wrote.
        """
        if not isinstance(text, (str, bytes)):
            raise OptionError("text", text, "a string, or bytes in UTF-8")
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        buffer = (ctypes.c_int32 * (len(data) + 4))()
        count = self._tokenize_into(buffer, data, add_special, parse_special)
        if count < 0:
            if count == INT32_MIN:
                raise OptionError("text", f"{len(data)} bytes", "less text than 2**31 tokens")
            buffer = (ctypes.c_int32 * -count)()
            count = self._tokenize_into(buffer, data, add_special, parse_special)
        return list(buffer[:count])

    def _tokenize_into(
        self, buffer: ctypes.Array[ctypes.c_int32], data: bytes, special: bool, parse: bool
    ) -> int:
        arguments = data, len(data), buffer, len(buffer), special, parse
        return int(self._text_call(c.llama_tokenize, *arguments))

    def token_bytes(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that a token stands for; half a character is possible.

        Args:
            special: spell control tokens out; False makes them empty.
        """
        pieces = self._pieces[special]
        piece = pieces.get(token) if type(token) is int else None  # True would find 1
        if piece is None:
            token = self.checked(token)
            self._demand_tokenizer()
            with self._model.held():
                piece = pieces[token] = self._native_piece(token, special, _PieceBuffer())
        return piece

    def all_token_bytes(self) -> list[bytes]:
        """The bytes of every token, control tokens spelled out; 128,000 take 0.3 s."""
        self._demand_tokenizer()
        with self._model.held():
            buffer = _PieceBuffer()
            return [self._native_piece(token, True, buffer) for token in range(self.n_tokens)]

    def _native_piece(
        self, token: int, special: bool, buffer: ctypes.Array[ctypes.c_char]
    ) -> bytes:
        """One that is asked for while the model is held."""
        size = self._to_piece(self._native, token, buffer, len(buffer), 0, special)
        if size < 0:
            return self._native_piece(token, special, text_buffer(-size))
        return buffer.raw[:size]

    @functools.cached_property
    def _to_piece(self) -> Callable[..., int]:
        """Takes no time, and is called for every token that is drawn for the first time."""
        arguments = (ctypes.c_void_p, ctypes.c_int32) * 2 + (ctypes.c_int32, ctypes.c_bool)
        return keeping_the_lock("llama_token_to_piece", ctypes.c_int32, *arguments)

    def detokenize(
        self, tokens: Sequence[int], *, remove_special: bool = False, special: bool = False
    ) -> bytes:
        """The text of ``tokens`` as UTF-8, which a cut may have left incomplete.

        Args:
            remove_special: drop the beginning and end token that ``add_special`` put there.
            special: spell control tokens out; False makes them empty.
        """
        chosen = self.all_checked(tokens)
        if remove_special and self.adds_bos and chosen[:1] == [self.special.bos]:
            del chosen[0]  # llama.cpp would keep the space that stands for the text's beginning
        ids = (ctypes.c_int32 * len(chosen))(*chosen)
        buffer = text_buffer(max(64, 8 * len(chosen)))
        size = self._detokenize_into(buffer, ids, remove_special, special)
        if size < 0:
            buffer = text_buffer(-size)
            size = self._detokenize_into(buffer, ids, remove_special, special)
        return buffer.raw[:size]

    def _detokenize_into(
        self,
        buffer: ctypes.Array[ctypes.c_char],
        ids: ctypes.Array[ctypes.c_int32],
        remove: bool,
        special: bool,
    ) -> int:
        arguments = ids, len(ids), buffer, len(buffer), remove, special
        return int(self._text_call(c.llama_detokenize, *arguments))

    def checked(self, token: int) -> int:
        """``token`` if the vocabulary has it.

        Raises:
            OptionError: it is not an integer in [0, n_tokens).
        """
        return self.all_checked([token], name="token")[0]

    def all_checked(self, tokens: Iterable[int], name: str = "tokens") -> list[int]:
        """``tokens`` as a list of ints that the vocabulary has; NumPy's integers will do.

        Raises:
            OptionError: it is something else; ``name`` is what the message calls it.
        """
        if isinstance(tokens, (str, bytes, bytearray, Mapping)) or not isinstance(tokens, Iterable):
            raise OptionError(name, tokens, "a sequence of token ids")
        chosen = list(tokens)
        for i, token in enumerate(chosen):
            if type(token) is not int:
                chosen[i] = token = _integer(name, token)
            if not 0 <= token < self.n_tokens:
                raise OptionError(name, token, f"token ids from 0 to {self.n_tokens - 1}")
        return chosen


def _integer(name: str, token: Any) -> int:
    if isinstance(token, bool) or not hasattr(token, "__index__"):
        raise OptionError(name, token, "token ids, which are integers")
    return operator.index(token)
