"""Token ids in, batch plan out: who goes into the next llama_decode, with which tokens. Pure.

There is no prefill phase. Each running request has ``n_pending`` tokens that the model has not
read; a plan takes one from those that are drawing and fills the rest of the batch with prompts.

A sequence keeps its tokens in memory after its request has gone. A new request takes the free
sequence that shares the longest prefix with it and cuts off the rest.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from llamaherd.engine.request import Request

LOGPROB_CHUNK_TOKENS = 64
"""Prompt tokens a step when each needs its logits: bounds that buffer to 64 rows."""


@dataclass(eq=False)
class Sequence:
    """One sequence of the context's memory.

    Attributes:
        seq_id: its number in llama.cpp.
        request: who uses it now.
        left_behind: the tokens that its last request left in memory.
    """

    seq_id: int
    request: Request | None = None
    left_behind: list[int] = field(default_factory=list)

    @property
    def resident(self) -> list[int]:
        """The tokens in memory, in order of position."""
        if self.request is not None:
            return self.request.tokens[: self.request.n_cached]
        return self.left_behind


@dataclass(frozen=True)
class Slice:
    """``request.tokens[start:stop]`` to be decoded in sequence ``seq_id``.

    Attributes:
        outputs: for which tokens logits are wanted.
    """

    request: Request
    seq_id: int
    start: int
    stop: int
    outputs: Literal["none", "last", "all"]


@dataclass(frozen=True)
class Plan:
    """One step.

    Attributes:
        cuts: (seq_id, n): before decoding, drop what lies behind the first n tokens.
        slices: what to decode, all in one llama_decode.
    """

    cuts: tuple[tuple[int, int], ...]
    slices: tuple[Slice, ...]


class Scheduler:
    """Decides what the next step does. Used by the engine's thread only.

    Args:
        n_seq: requests that run at a time.
        n_batch: most tokens a step.
        can_cut: whether memory can be cut back to any position; otherwise a prefix is reused only
            whole, as the beginning of a longer prompt.
    """

    def __init__(self, n_seq: int, n_batch: int, *, can_cut: bool) -> None:
        self._n_batch, self._can_cut = n_batch, can_cut
        self._waiting: deque[Request] = deque()
        self._sequences = [Sequence(seq_id) for seq_id in range(n_seq)]

    @property
    def running(self) -> list[Request]:
        """Requests that have a sequence, in order of sequence."""
        return [s.request for s in self._sequences if s.request is not None]

    @property
    def waiting(self) -> tuple[Request, ...]:
        """Requests that wait for a sequence, first come first."""
        return tuple(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self.running

    def add(self, request: Request) -> None:
        """Queue a request."""
        self._waiting.append(request)

    def plan(self) -> Plan:
        """The next step; admits waiting requests first."""
        cuts = []
        while self._waiting and (sequence := self._best_free(self._waiting[0])) is not None:
            cuts.append(self._admit(self._waiting.popleft(), sequence))
        return Plan(tuple(cuts), tuple(self._slices()))

    def finish(self, request: Request) -> None:
        """Take a request out, waiting or running; its tokens stay in memory for others."""
        for sequence in self._sequences:
            if sequence.request is request:
                sequence.left_behind, sequence.request = sequence.resident, None
                return
        self._waiting.remove(request)

    def forget(self, seq_id: int, n_kept: int = 0) -> None:
        """Memory of a sequence beyond ``n_kept`` tokens is gone; its request reads them again."""
        sequence = self._sequences[seq_id]
        if sequence.request is not None:
            sequence.request.n_cached = min(sequence.request.n_cached, n_kept)
            sequence.request.n_reused = min(sequence.request.n_reused, n_kept)
        else:
            del sequence.left_behind[n_kept:]

    def seq_id(self, request: Request) -> int:
        """The sequence of a running request."""
        return next(s.seq_id for s in self._sequences if s.request is request)

    def _best_free(self, request: Request) -> Sequence | None:
        free = [s for s in self._sequences if s.request is None]
        return max(free, key=lambda s: self._n_reusable(request, s), default=None)

    def _n_reusable(self, request: Request, sequence: Sequence) -> int:
        """How much of the prompt is in memory; the last token is always read, for its logits."""
        if request.prompt_logprobs:
            return 0
        resident = sequence.resident
        common = common_prefix(resident, request.tokens)
        if not self._can_cut and common < len(resident):
            return 0
        if common == len(request.tokens):
            return common - 1 if self._can_cut else 0
        return common

    def _admit(self, request: Request, sequence: Sequence) -> tuple[int, int]:
        request.n_reused = request.n_cached = self._n_reusable(request, sequence)
        sequence.request, sequence.left_behind = request, []
        return sequence.seq_id, request.n_reused

    def _slices(self) -> list[Slice]:
        """Drawing requests first, one token each; then prompts, until the batch is full."""
        room = self._n_batch
        busy = [s for s in self._sequences if s.request is not None]
        slices = []
        for sequence in sorted(busy, key=lambda s: _pending(s) > 1):
            request = sequence.request
            assert request is not None
            most = LOGPROB_CHUNK_TOKENS if _wants_all(request) else request.n_pending
            n = min(room, most, request.n_pending)
            if n:
                slices.append(_slice(request, sequence.seq_id, n))
                room -= n
        return slices

    def check_integrity(self) -> None:
        """Assert what always holds between steps."""
        everyone = [*self._waiting, *self.running]
        assert len(set(map(id, everyone))) == len(everyone), "a request stands in two places"
        for sequence in self._sequences:
            assert sequence.request is None or not sequence.left_behind
        for request in everyone:
            request.check_integrity()


def _pending(sequence: Sequence) -> int:
    return sequence.request.n_pending if sequence.request is not None else 0


def _wants_all(request: Request) -> bool:
    return request.prompt_logprobs and request.n_cached < len(request.prompt)


def _slice(request: Request, seq_id: int, n: int) -> Slice:
    start, stop = request.n_cached, request.n_cached + n
    outputs: Literal["none", "last", "all"] = "last" if stop == len(request.tokens) else "none"
    return Slice(request, seq_id, start, stop, "all" if _wants_all(request) else outputs)


def common_prefix(left: list[int], right: list[int]) -> int:
    """Length of the longest common beginning."""
    shorter = min(len(left), len(right))
    if left[:shorter] == right[:shorter]:
        return shorter
    low, high = 0, shorter  # left[:low] == right[:low], left[:high] != right[:high]
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low
