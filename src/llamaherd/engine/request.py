"""What a caller asked for, where it stands, and the events that answer it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

FinishReason = Literal["stop", "length", "deadline", "cancelled", "error"]
AdapterKey = tuple[tuple[Hashable, float], ...]
"""LoRA adapters with their scales; only requests with equal ones are computed together."""


@dataclass(frozen=True, eq=False)
class Span:
    """Places of a prompt that hold embeddings instead of tokens: a picture or a sound.

    Its token ids in the prompt are negative and stand for the content, so that all who compare
    ids find the same picture to be the same, and another one to be another.

    Attributes:
        start: its first place in the prompt.
        embeddings: shape (n places, width of the model's input).
        whole: every place sees all the others, so all of them are computed in one call.
        grid: of a picture in two dimensions (M-RoPE), int32 of shape (4, n places): how far each
            stands from the position of the first, in time, height, width and a fourth dimension.
        n_grid_positions: by how much the text goes on behind a grid; None: there is none.
    """

    start: int
    embeddings: npt.NDArray[np.float32]
    whole: bool
    grid: npt.NDArray[np.int32] | None = None
    n_grid_positions: int | None = None

    @property
    def stop(self) -> int:
        """The place behind the last one."""
        return self.start + len(self.embeddings)

    @property
    def at_once(self) -> bool:
        """Whether memory holds all of it or nothing."""
        return self.whole or self.grid is not None


@dataclass(frozen=True)
class TokenLogprob:
    """Natural-log probability of a token, from the model's own logits (before any sampler).

    Attributes:
        token: its id.
        logprob: its log-probability.
        top: the likeliest tokens at that place, best first, as (id, log-probability).
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Timings:
    """Where a request's time went. Moments in seconds of the engine's clock, None: never came.

    Attributes:
        queued: it was handed in.
        started: it got a place in the batch.
        first_token: the prompt was read and its first token drawn.
        ended: it finished, or for one that runs: now.
    """

    queued: float
    started: float | None
    first_token: float | None
    ended: float


@dataclass(frozen=True)
class Standing:
    """How far a request has come: counts of tokens as in :class:`FinishEvent`."""

    n_prompt: int
    n_cached: int
    n_generated: int
    timings: Timings


class TokenEvent(NamedTuple):
    """Text that became final, with the tokens that made it.

    Attributes:
        text: whole characters, free of stop strings.
        tokens: ids drawn since the last event.
        logprobs: one for each of ``tokens`` if they were asked for.
        standing: if it was asked for.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()
    standing: Standing | None = None


@dataclass(frozen=True)
class ProgressEvent:
    """A step has read a piece of the prompt; sent only if it was asked for.

    Attributes:
        n_read: tokens of the prompt that are in memory now, the reused ones included.
        seconds: since the request got its place.
    """

    n_prompt: int
    n_cached: int
    n_read: int
    seconds: float


@dataclass(frozen=True)
class PromptEvent:
    """The prompt was read; sent before any text, only if its log-probabilities were asked for.

    Attributes:
        logprobs: one for each token of the prompt but the first, which nothing predicts.
    """

    logprobs: tuple[TokenLogprob, ...]


@dataclass(frozen=True)
class FinishEvent:
    """The one last event of every request.

    Attributes:
        reason: why it ended.
        stopping_word: the stop string that ended it, if one did.
        n_prompt: tokens of the prompt.
        n_cached: how many of them were reused from memory.
        n_generated: tokens drawn, the one that ended the answer included.
        error: what went wrong, for reason ``error``.
    """

    reason: FinishReason
    stopping_word: str | None
    n_prompt: int
    n_cached: int
    n_generated: int
    timings: Timings
    error: BaseException | None = None


@dataclass(frozen=True)
class StateEvent:
    """The memory's state at the end of the prompt, if it was asked for.

    Attributes:
        tokens: what it holds.
        state: llama.cpp's copy of it.
    """

    tokens: tuple[int, ...]
    state: bytes


Event = ProgressEvent | PromptEvent | TokenEvent | StateEvent | FinishEvent
Indexed = tuple[int, Event]
"""An event, and which of its caller's requests it belongs to."""


def _nobody(_event: Indexed) -> None:
    """Until somebody listens."""


@dataclass(eq=False)
class Request:
    """One answer to be generated.

    Attributes:
        prompt: token ids, at least one; negative ones stand for embeddings.
        spans: these embeddings, in order; a token follows each, if only the prompt's last.
        emit: takes each event, on the engine's thread; must be quick and must not raise.
        index: what its events are sent with.
        adapters: what its tokens are read with.
        priority: requests with a smaller number come first; those with the same, in order.
        max_tokens: most tokens to draw; None: as many as fit the context.
        n_probs: log-probabilities of so many likeliest tokens; None: none at all.
        prompt_logprobs: also those of the prompt's tokens.
        keep_state: send the memory's state after all of the prompt but its last token.
        reuse: whether it may use what memory holds of its prompt.
        wants_progress: send a ProgressEvent after each piece of the prompt.
        wants_standing: tell with each text how far it has come.
        generation_limit_s: seconds to draw tokens in, counted from the first one.
        tokens: prompt and drawn tokens together.
        n_forced: how many of ``tokens``, the last ones, a grammar determined.
        n_cached: ``tokens[:n_cached]`` are in the context's memory.
        n_reused: tokens of the prompt that were in memory when it got its place; None: not yet.
        proposal: what may follow ``tokens``, to be checked in the next step.
        ending: set once it must end at the next step, and why.
    """

    prompt: Sequence[int]
    emit: Callable[[Indexed], None] = _nobody
    index: int = 0
    adapters: AdapterKey = ()
    priority: int = 0
    max_tokens: int | None = None
    n_probs: int | None = None
    prompt_logprobs: bool = False
    keep_state: bool = False
    reuse: bool = True
    wants_progress: bool = False
    wants_standing: bool = False
    generation_limit_s: float | None = None
    spans: Sequence[Span] = ()

    tokens: list[int] = field(init=False)
    n_forced: int = field(init=False, default=0)
    n_cached: int = field(init=False, default=0)
    n_reused: int | None = field(init=False, default=None)
    proposal: list[int] = field(init=False, default_factory=list)
    ending: FinishReason | None = field(init=False, default=None)
    queued_at: float = field(init=False, default=0.0)
    started_at: float | None = field(init=False, default=None)
    first_token_at: float | None = field(init=False, default=None)
    found_prompt_logprobs: list[TokenLogprob] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        assert len(self.prompt) > 0, "a request needs at least one token to go on from"
        assert not (self.keep_state and self.prompt_logprobs), "not both"
        assert not (self.spans and self.prompt_logprobs), "nothing predicts an embedding"
        assert self.prompt[-1] >= 0, "the last place gives the logits of the first drawn token"
        self.tokens = list(self.prompt)

    @property
    def rank(self) -> tuple[int, float]:
        """Its place in the queue: smaller comes first."""
        return self.priority, self.queued_at

    @property
    def n_generated(self) -> int:
        """Tokens drawn so far."""
        return len(self.tokens) - len(self.prompt)

    @property
    def n_pending(self) -> int:
        """Tokens that the model has yet to read before it can draw the next one."""
        return len(self.tokens) - self.n_cached

    @property
    def is_drawing(self) -> bool:
        """Whether it has read all but what was drawn last and what that forced."""
        return len(self.tokens) - self.n_cached <= 1 + self.n_forced

    @property
    def n_left(self) -> int | None:
        """Tokens it may still draw; None: no limit of its own."""
        return None if self.max_tokens is None else self.max_tokens - self.n_generated

    def span_at(self, place: int) -> Span | None:
        """The span that holds a place; None: it holds a token."""
        return next((span for span in self.spans if span.start <= place < span.stop), None)

    def position(self, place: int) -> int:
        """The model's position of a place that is not inside a grid."""
        lags = (
            len(span.embeddings) - span.n_grid_positions
            for span in self.spans
            if span.n_grid_positions is not None and span.stop <= place
        )
        return place - sum(lags)

    def n_alike(self, place: int) -> int:
        """How many places from this one on are all tokens, or all of one span."""
        span = self.span_at(place)
        if span is not None:
            return span.stop - place
        borders = (span.start for span in self.spans if span.start > place)
        return next(borders, len(self.tokens)) - place

    def room(self, n_ctx: int) -> int:
        """Tokens that may still follow in a context of this size."""
        most = self.max_tokens
        end = n_ctx if most is None else min(n_ctx, len(self.prompt) + most)
        return end - len(self.tokens)

    def check_integrity(self) -> None:
        """Assert what always holds between steps."""
        assert 0 <= self.n_cached <= len(self.tokens)
        assert self.n_reused is None or 0 <= self.n_reused <= len(self.prompt)
        assert self.tokens[: len(self.prompt)] == list(self.prompt)
        assert self.max_tokens is None or self.n_generated <= self.max_tokens
