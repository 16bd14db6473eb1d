"""What one step does: changes of memory, then one llama_decode. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from llamaherd.engine.request import AdapterKey, Request, Span
from llamaherd.engine.snapshots import Snapshot


@dataclass(frozen=True)
class Cut:
    """Drop what a sequence holds from position ``n_kept`` on."""

    seq_id: int
    n_kept: int


@dataclass(frozen=True)
class Share:
    """Let the empty sequence ``target`` hold ``source`` up to position ``n_kept`` as well."""

    source: int
    target: int
    n_kept: int


@dataclass(frozen=True)
class Restore:
    """Fill the empty sequence ``seq_id`` from a saved state."""

    seq_id: int
    snapshot: Snapshot


Change = Cut | Share | Restore


class Slice(NamedTuple):
    """Tokens of a request to be decoded in sequence ``seq_id``, from place ``start`` on.

    Attributes:
        tokens: the next of ``request.tokens``, and behind the last of them what is proposed to
            follow.
        outputs: for which tokens logits are wanted.
        save: keep the sequence's state after this step.
        span: whose embeddings are decoded, in place of the tokens.
    """

    request: Request
    seq_id: int
    start: int
    tokens: list[int]
    outputs: Literal["none", "last", "all"]
    save: bool = False
    span: Span | None = None

    @property
    def stop(self) -> int:
        """The place behind the last token."""
        return self.start + len(self.tokens)

    @property
    def position(self) -> int:
        """The model's position of the first token."""
        return self.request.position(self.start) if self.request.spans else self.start

    @property
    def n_guessed(self) -> int:
        """How many of its tokens are guesses; until the next one is drawn."""
        return max(0, self.stop - len(self.request.tokens))

    @property
    def catches_up(self) -> bool:
        """Whether the next token can be drawn after this step."""
        return self.stop >= len(self.request.tokens)


class Plan(NamedTuple):
    """One step.

    Attributes:
        memory: what to do with the cache before decoding, in order.
        adapters: what every slice is computed with.
        slices: what to decode: tokens all in one llama_decode, before them those of a span alone.
        n_drawing: how many slices, the first ones, read the token drawn last (and guesses).
        n_drawn: how many tokens these have.
        n_read: how many the other slices have.
        reading: whether some request has not read its prompt yet, in this step or later.
    """

    memory: tuple[Change, ...]
    adapters: AdapterKey
    slices: tuple[Slice, ...]
    n_drawing: int = 0
    n_drawn: int = 0
    n_read: int = 0
    reading: bool = False


HiddenStates = Callable[[int, int], npt.NDArray[np.float32]]
"""Given a row of the last batch and a number: the model's last hidden states of so many tokens from
there on, float32 of shape (number, width); a copy."""


class Follower(Protocol):
    """Reads what the model has read, into a memory of its own with the same sequences."""

    most_guessed: int
    """How far it looks ahead of a sequence; memory that must be told goes back so far."""

    def begin(self, n_seq: int, n_cells: int) -> None:
        """The model has a memory of so many sequences and cells."""

    def share(self, change: Share) -> None:
        """The model's memory has changed so."""

    def cut(self, seq_id: int, n_kept: int) -> None:
        """The model's memory holds no more of a sequence than ``n_kept`` positions."""

    def read(self, slices: Sequence[Slice], ends: Sequence[int], hidden: HiddenStates) -> None:
        """The model has read these slices, which end at these rows of its batch."""
