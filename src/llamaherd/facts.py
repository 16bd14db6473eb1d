"""The part of Llama that tells what its model is, and reads and writes tokens."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from llamaherd.capabilities import capabilities
from llamaherd.engine import Engine
from llamaherd.media import Reader
from llamaherd.model import Model
from llamaherd.prompts import Prompts


class ModelFacts:
    """Methods of :class:`llamaherd.Llama`. Any thread."""

    model: Model
    _engine: Engine
    _prompts: Prompts
    _reader: Reader | None
    _memory_bytes: int
    _n_parallel: int

    def tokenize(self, text: str | bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """Token ids of a text.

        Args:
            add_bos: begin (and end) with the tokens that the model expects there.
            special: read the names of special tokens as those tokens.
        """
        return self.model.vocab.tokenize(text, add_special=add_bos, parse_special=special)

    def detokenize(self, tokens: Sequence[int], special: bool = False) -> bytes:
        """The text of token ids as UTF-8, which a cut may have left incomplete."""
        return self.model.vocab.detokenize(tokens, remove_special=not special, special=special)

    def token_bos(self) -> int | None:
        """The beginning-of-sequence token."""
        return self.model.vocab.special.bos

    def token_eos(self) -> int | None:
        """The end-of-sequence token."""
        return self.model.vocab.special.eos

    def token_nl(self) -> int | None:
        """The newline token."""
        return self.model.vocab.special.nl

    def n_vocab(self) -> int:
        """Size of the vocabulary."""
        return len(self.model.vocab)

    def n_ctx(self) -> int:
        """Size of the context, in tokens."""
        return self._engine.n_ctx

    def memory_bytes(self) -> int:
        """What weights, projector and context take, without what is needed while it computes."""
        return self._memory_bytes

    @property
    def n_parallel(self) -> int:
        """Requests that run at a time."""
        return self._n_parallel

    def n_embd(self) -> int:
        """Width of the model's hidden state."""
        return self.model.n_embd

    @functools.cached_property
    def capabilities(self) -> frozenset[str]:
        """What the model can do: of ``completion``, ``insert``, ``embedding``, ``tools``,
        ``vision``, ``audio``, ``thinking``, ``thinking_switch`` and ``reasoning_effort``
        (``capabilities.py``)."""
        projector = None if self._reader is None else self._reader.projector
        generates = self._engine.generates
        return capabilities(self.model, self._prompts, projector, generates=generates)

    @property
    def can_chat(self) -> bool:
        """Whether it has a chat template, of its own or ``chat_template=``."""
        return self._prompts.can_chat

    @property
    def metadata(self) -> Mapping[str, str]:
        """The model file's scalar metadata."""
        return self.model.metadata
