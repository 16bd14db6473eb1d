"""Token ids in, batch plan out: who goes into the next llama_decode, with which tokens. Pure.

There is no prefill phase. Each running request has ``n_pending`` tokens that the model has not
read; a plan takes one from those that are drawing and fills the rest of the batch with prompts.

All sequences share the cells of one cache. A sequence keeps its tokens in memory after its request
has gone. A new request shares the longest prefix that any sequence holds, and if another request is
about to read a longer one, waits for it. When cells run out, what is left behind goes first, then
the youngest request steps back into the queue, to be read again later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from llamaherd.engine.request import Request

LOGPROB_CHUNK_TOKENS = 64
"""Prompt tokens a step whose logits are all wanted: bounds that buffer, which has a row each."""

WORTH_WAITING_TOKENS = 32
"""A request waits for another's prompt to be read if it can then share this much more of it."""


@dataclass(eq=False)
class Sequence:
    """One sequence of the context's memory.

    Attributes:
        seq_id: its number in llama.cpp.
        request: who uses it now.
        left_behind: the tokens that its last request left in memory.
        released: when that was, in requests finished so far.
    """

    seq_id: int
    request: Request | None = None
    left_behind: list[int] = field(default_factory=list)
    released: int = 0

    @property
    def n_resident(self) -> int:
        """How many tokens it has in memory, positions 0 to n_resident - 1."""
        return len(self.left_behind) if self.request is None else self.request.n_cached

    @property
    def resident(self) -> list[int]:
        """Those tokens."""
        if self.request is not None:
            return self.request.tokens[: self.request.n_cached]
        return self.left_behind


@dataclass(frozen=True)
class Cut:
    """Drop what a sequence holds behind its first ``n_kept`` tokens."""

    seq_id: int
    n_kept: int


@dataclass(frozen=True)
class Share:
    """Let the empty sequence ``target`` hold the first ``n_tokens`` of ``source`` as well."""

    source: int
    target: int
    n_tokens: int


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
        memory: what to do with the cache before decoding, in order.
        slices: what to decode, all in one llama_decode.
    """

    memory: tuple[Cut | Share, ...]
    slices: tuple[Slice, ...]


class Scheduler:
    """Decides what the next step does. Used by the engine's thread only.

    Args:
        n_seq: requests that run at a time.
        n_batch: most tokens a step.
        n_cells: tokens that the cache holds, all sequences together.
        can_cut: whether memory can be cut back to any position and shared; otherwise a prefix is
            reused only whole, as the beginning of a longer prompt.
    """

    def __init__(self, n_seq: int, n_batch: int, n_cells: int, *, can_cut: bool) -> None:
        self._n_batch, self._n_cells, self._can_cut = n_batch, n_cells, can_cut
        self._waiting: deque[Request] = deque()
        self._sequences = [Sequence(seq_id) for seq_id in range(n_seq)]
        self._n_finished = 0

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

    @property
    def idle_sequences(self) -> list[int]:
        """Sequences that no request uses; they may hold what one left behind."""
        return [s.seq_id for s in self._sequences if s.request is None]

    @property
    def n_used(self) -> int:
        """Cells in use; shared ones count for each sequence, so the truth may be less."""
        return sum(s.n_resident for s in self._sequences)

    def add(self, request: Request) -> None:
        """Queue a request."""
        self._waiting.append(request)

    def plan(self, prefill_limit: int | None = None) -> Plan:
        """The next step; admits waiting requests first.

        Args:
            prefill_limit: most prompt tokens while others are drawing; None: as the batch holds.
        """
        memory = self._admit_waiting()
        slices = self._slices(prefill_limit)
        while self._n_lacking(slices) > 0:
            memory.append(self._free_something())
            slices = self._slices(prefill_limit)
        return Plan(tuple(memory), tuple(slices))

    def finish(self, request: Request) -> None:
        """Take a request out, waiting or running; its tokens stay in memory for others."""
        self._n_finished += 1
        for sequence in self._sequences:
            if sequence.request is request:
                sequence.left_behind, sequence.request = sequence.resident, None
                sequence.released = self._n_finished
                return
        self._waiting.remove(request)

    def forget(self, seq_id: int, n_kept: int = 0) -> None:
        """Memory of a sequence beyond ``n_kept`` tokens is gone; its request reads them again."""
        sequence = self._sequences[seq_id]
        if sequence.request is not None:
            _lose(sequence.request, n_kept)
        else:
            del sequence.left_behind[n_kept:]

    def seq_id(self, request: Request) -> int:
        """The sequence of a running request."""
        return next(s.seq_id for s in self._sequences if s.request is request)

    # -- admission --------------------------------------------------------------------------

    def _admit_waiting(self) -> list[Cut | Share]:
        """Give places out, first come first, but not to those who wait for another's prompt."""
        memory: list[Cut | Share] = []
        for request in tuple(self._waiting):
            free = [s for s in self._sequences if s.request is None]
            if not free or not self._has_cells_for(request):
                break
            if (place := self._place_for(request, free)) is not None:
                self._waiting.remove(request)
                memory += self._admit(request, *place)
        return memory

    def _place_for(
        self, request: Request, free: list[Sequence]
    ) -> tuple[Sequence, Sequence, int] | None:
        """A free sequence, the one to share from, and how much; None: it is worth waiting."""
        own = max(free, key=lambda s: (self._n_reusable(request, s), -s.n_resident, -s.released))
        source = max(self._sequences, key=lambda s: self._n_shareable(request, s, own))
        n_shared = self._n_shareable(request, source, own)
        if self._n_promised(request) >= n_shared + WORTH_WAITING_TOKENS:
            return None
        return own, source, n_shared

    def _has_cells_for(self, request: Request) -> bool:
        """Whether it fits beside what runs, once all that was left behind is gone."""
        running = self.running
        needed = sum(len(r.tokens) + 1 for r in running) + len(request.tokens) + 1
        return not running or needed <= self._n_cells

    def _n_shareable(self, request: Request, source: Sequence, own: Sequence) -> int:
        return self._n_reusable(request, source) if source is own or self._can_cut else 0

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

    def _n_promised(self, request: Request) -> int:
        """The longest prefix that some running request is reading and has not read yet."""
        if request.prompt_logprobs or not self._can_cut:
            return 0
        reading = [r for r in self.running if r.n_pending > 1]
        return max((common_prefix(r.tokens, request.tokens[:-1]) for r in reading), default=0)

    def _admit(
        self, request: Request, own: Sequence, source: Sequence, n_shared: int
    ) -> list[Cut | Share]:
        request.n_cached = n_shared
        if request.n_reused is None:
            request.n_reused = n_shared
        own.request, own.left_behind = request, []
        if source is own or not n_shared:
            return [Cut(own.seq_id, n_shared)]
        return [Cut(own.seq_id, 0), Share(source.seq_id, own.seq_id, n_shared)]

    # -- one step ---------------------------------------------------------------------------

    def _slices(self, prefill_limit: int | None) -> list[Slice]:
        """Drawing requests first, one token each; then prompts, until the batch is full."""
        busy = [s for s in self._sequences if s.request is not None]
        drawing = [s for s in busy if _pending(s) == 1]
        reading = sorted((s for s in busy if _pending(s) > 1), key=_age)
        slices = [_slice(s, 1) for s in drawing[: self._n_batch]]
        room = self._n_batch - len(slices)
        rows = LOGPROB_CHUNK_TOKENS
        if drawing and prefill_limit is not None:
            room = min(room, prefill_limit)
        for sequence in reading:
            wants_all = _wants_all(sequence)
            n = min(_pending(sequence), room, rows if wants_all else room)
            if n:
                slices.append(_slice(sequence, n))
                room -= n
                rows -= n if wants_all else 0
        return slices

    # -- memory pressure --------------------------------------------------------------------

    def _n_lacking(self, slices: list[Slice]) -> int:
        """Cells that a step needs beyond those that are free."""
        return self.n_used + sum(p.stop - p.start for p in slices) - self._n_cells

    def _free_something(self) -> Cut:
        """Give up what was left behind longest ago, else the youngest request's place."""
        idle = [s for s in self._sequences if s.request is None and s.left_behind]
        if idle:
            oldest = min(idle, key=lambda s: s.released)
            oldest.left_behind = []
            return Cut(oldest.seq_id, 0)
        youngest = max((s for s in self._sequences if s.request is not None), key=_age)
        assert youngest.request is not None
        assert len(self.running) > 1, "one request alone always fits: its length was checked"
        _lose(youngest.request, 0)
        self._waiting.appendleft(youngest.request)
        youngest.request = None
        return Cut(youngest.seq_id, 0)

    def check_integrity(self) -> None:
        """Assert what always holds between steps."""
        everyone = [*self._waiting, *self.running]
        assert len(set(map(id, everyone))) == len(everyone), "a request stands in two places"
        assert self.n_used <= self._n_cells * len(self._sequences)
        for sequence in self._sequences:
            assert sequence.request is None or not sequence.left_behind
        for request in everyone:
            request.check_integrity()


def _age(sequence: Sequence) -> float:
    assert sequence.request is not None
    return sequence.request.queued_at


def _pending(sequence: Sequence) -> int:
    return sequence.request.n_pending if sequence.request is not None else 0


def _lose(request: Request, n_kept: int) -> None:
    request.n_cached = min(request.n_cached, n_kept)


def _wants_all(sequence: Sequence) -> bool:
    request = sequence.request
    return request is not None and request.prompt_logprobs and _in_prompt(request)


def _in_prompt(request: Request) -> bool:
    return request.n_cached < len(request.prompt)


def _slice(sequence: Sequence, n: int) -> Slice:
    request = sequence.request
    assert request is not None
    start, stop = request.n_cached, request.n_cached + n
    outputs: Literal["none", "last", "all"] = "last" if stop == len(request.tokens) else "none"
    return Slice(request, sequence.seq_id, start, stop, "all" if _wants_all(sequence) else outputs)


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
