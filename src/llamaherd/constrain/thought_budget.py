"""A bound on the tokens of a model's thoughts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from llamaherd.constrain.constrainer import Floats, TokenConstraint
from llamaherd.model import IncrementalDetokenizer


class ThoughtReader(Protocol):
    """Reads an answer as it comes, and knows where its thoughts are."""

    @property
    def in_thought(self) -> bool:
        """Whether what comes next belongs to a thought."""

    def feed(self, text: str) -> object:
        """More of the answer."""


class ThoughtBudget:
    """Ends a thought that has had its tokens by the text that ends thoughts. One thread.

    Args:
        n_tokens: most tokens inside of thoughts, all of an answer's together.
        closing: tokens that end a thought.
        reader: of the answer.
        text: the answer's tokens as text.
        inner: what else the answer must look like.
    """

    def __init__(
        self,
        n_tokens: int,
        closing: Sequence[int],
        reader: ThoughtReader,
        text: IncrementalDetokenizer,
        inner: TokenConstraint | None = None,
    ) -> None:
        self._left, self._closing = n_tokens, closing
        self._reader, self._text, self._inner = reader, text, inner
        self._pending: list[int] = []  # of ``closing``, still to come
        self._look()

    def mask(self, logits: Floats) -> None:
        """Leave nothing but the end of the thought once it is due."""
        if self._pending:
            kept = logits[self._pending[0]]
            logits.fill(-np.inf)
            logits[self._pending[0]] = kept
        elif self._inner is not None:
            self._inner.mask(logits)

    def accept(self, token: int) -> None:
        """Go on by a token that was drawn."""
        if self._inner is not None:
            self._inner.accept(token)
        if self._pending:
            assert token == self._pending[0], "nothing else was left to draw"
            del self._pending[0]
        self._left -= self._reader.in_thought
        self._reader.feed(self._text.feed(token))
        self._look()

    def _look(self) -> None:
        """Whether the thought has had its tokens; a character that has begun is finished first."""
        spent = self._reader.in_thought and self._left <= 0
        if spent and not self._pending and not self._text.is_inside_character:
            self._pending = list(self._closing)

    def forced(self) -> Sequence[int]:
        """The tokens that must come next, whatever the model says."""
        if self._pending:
            return tuple(self._pending)
        return self._inner.forced() if self._inner is not None else ()

    @property
    def finished(self) -> bool:
        """Whether nothing can follow any more."""
        return self._inner is not None and self._inner.finished
