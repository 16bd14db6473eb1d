"""Token ids in, batch plan out: who goes into the next llama_decode, with which tokens. Pure.

There is no prefill phase. Each running request has ``n_pending`` tokens that the model has not
read; a plan takes those of all that are drawing (the one drawn last, and what a grammar forced
behind it) and fills the rest of the batch with prompts.

A new request gets the longest beginning of its prompt that lies in memory (``sequences.py``), and
if a running request is about to read more of it, waits for that. When cells run out, what nobody
uses goes first, then the youngest request steps back into the queue, to be read again later.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Literal

from llamaherd.engine.plan import Change, Plan, Slice
from llamaherd.engine.prefix_cache import common_prefix
from llamaherd.engine.request import AdapterKey, Request
from llamaherd.engine.sequences import Place, Sequences

OUTPUT_ROWS = 64
"""Most logits a step beside one a request: bounds that buffer, which has a row each."""

WORTH_WAITING_TOKENS = 32
"""A request waits for another's prompt to be read if it can then share this much more of it."""

SAVED_BEFORE_END_TOKENS = 8
"""Where memory cannot be cut, a state is saved so far before the end of a prompt: templates put
an opening of the answer there that the next turn of a conversation writes differently."""


class Scheduler:
    """Decides what the next step does. Used by the engine's thread only.

    Args:
        n_parallel: requests that run at a time.
        n_batch: most tokens a step.
    """

    def __init__(self, n_parallel: int, n_batch: int, sequences: Sequences) -> None:
        self._n_parallel, self._n_batch, self.sequences = n_parallel, n_batch, sequences
        self._waiting: list[Request] = []  # by rank
        self._seq_ids: dict[Request, int] = {}
        self._saves: dict[Request, list[int]] = {}
        self._overdue: list[Change] = []
        self._adapters: AdapterKey = ()
        self.n_preempted = 0

    @property
    def running(self) -> list[Request]:
        """Requests that have a sequence, in order of admission."""
        return list(self._seq_ids)

    @property
    def waiting(self) -> tuple[Request, ...]:
        """Requests that wait for a sequence, the next one first."""
        return tuple(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._seq_ids

    @property
    def overdue(self) -> tuple[Change, ...]:
        """Changes of memory that the next plan begins with: guesses that did not come true."""
        return tuple(self._overdue)

    def seq_id(self, request: Request) -> int:
        """The sequence of a running request."""
        return self._seq_ids[request]

    # -- what happens to requests --------------------------------------------------------------

    def add(self, request: Request) -> None:
        """Queue a request."""
        bisect.insort(self._waiting, request, key=lambda r: r.rank)

    def plan(self, prefill_limit: Callable[[int], int] | None = None) -> Plan:
        """The next step; admits waiting requests first.

        Args:
            prefill_limit: most prompt tokens of a step beside so many requests that draw; None:
                as the batch holds.
        """
        memory, self._overdue = self._overdue, []
        if self._waiting:
            memory += self._admit_waiting()
        for request in self._seq_ids:
            if request.adapters != self._adapters:
                self._adapters = self._next_adapters()
                break
        plan = self._plan(memory, prefill_limit)
        while (n_lacking := plan.n_drawn + plan.n_read - self.sequences.n_free) > 0:
            memory += self._make_room(n_lacking)
            plan = self._plan(memory, prefill_limit)
        if not self.sequences.can_cut and _differ_in_guesses(plan):
            plan = self._without_guesses(plan, memory, prefill_limit)
        return plan

    def decoded(self, plan: Plan) -> None:
        """The step was carried out: its tokens are in memory."""
        for piece in plan.slices:
            self.sequences.append(piece.seq_id, piece.tokens)
            request = piece.request
            request.n_cached += len(piece.tokens)
            if request.proposal:
                request.proposal = []
            if piece.save:
                self._saves[request].remove(piece.stop)

    def keep(self, request: Request, n_kept: int) -> None:
        """Forget what was read behind the first ``n_kept`` tokens: guesses that did not come true.

        One token at least is left to be read, for its logits.
        """
        n_kept = min(n_kept, request.n_cached, len(request.tokens) - 1)
        self._overdue += self.sequences.cut(self._seq_ids[request], n_kept)
        request.n_cached = n_kept

    def forget(self, seq_id: int, n_kept: int = 0) -> None:
        """Memory of a sequence beyond ``n_kept`` tokens is gone; its request reads them again."""
        self.sequences.cut(seq_id, n_kept)
        for request, own in self._seq_ids.items():
            if own == seq_id:
                request.n_cached = min(request.n_cached, n_kept)

    def finish(self, request: Request) -> None:
        """Take a request out, waiting or running; its tokens stay in memory for others."""
        if request in self._seq_ids:
            self._leave(request)
        else:
            self._waiting.remove(request)

    def _leave(self, request: Request) -> None:
        self.sequences.release(self._seq_ids.pop(request))
        del self._saves[request]

    # -- admission --------------------------------------------------------------------------

    def _admit_waiting(self) -> list[Change]:
        """Give places out in order, but not to those who wait for another's prompt."""
        memory: list[Change] = []
        for request in tuple(self._waiting):
            if not self._has_room_to_run() or not self._has_cells_for(request):
                break
            place = self.sequences.place_for(request)
            if place is not None and not self._better_later(request, place):
                self._waiting.remove(request)
                memory += self._admit(request, place)
        return memory

    def _has_room_to_run(self) -> bool:
        return len(self._seq_ids) < self._n_parallel

    def _has_cells_for(self, request: Request) -> bool:
        """Whether it fits beside what runs, once all that nobody uses is gone."""
        unread = sum(r.n_pending + 1 for r in self._seq_ids)
        own = len(request.tokens) + 1 - self.sequences.n_running_shares(request)
        needed = self.sequences.n_used_by_requests + unread + own
        return not self._seq_ids or needed <= self.sequences.n_cells

    def _better_later(self, request: Request, place: Place) -> bool:
        """Whether a running request is about to read much more of its prompt."""
        if request.prompt_logprobs or not request.reuse:
            return False
        alike = [r for r in self._seq_ids if r.n_pending > 1 and r.adapters == request.adapters]
        for leader in alike:
            n_common = common_prefix(leader.tokens, request.tokens[:-1])
            if n_common >= place.n_tokens + WORTH_WAITING_TOKENS and n_common > leader.n_cached:
                self._promise(leader, n_common)
                return True
        return False

    def _promise(self, leader: Request, n_tokens: int) -> None:
        """Where memory cannot be shared, its state there is saved for those who wait."""
        if not self.sequences.can_cut and n_tokens not in self._saves[leader]:
            bisect.insort(self._saves[leader], n_tokens)

    def _admit(self, request: Request, place: Place) -> list[Change]:
        self._saves[request] = self._worth_saving(request, place)
        changes = self.sequences.take(place, request)
        self._seq_ids[request] = place.seq_id
        request.n_cached = place.n_tokens
        if request.n_reused is None:
            request.n_reused = min(place.n_tokens, len(request.prompt))
        return changes

    def _worth_saving(self, request: Request, place: Place) -> list[int]:
        """Positions of its prompt where a copy of the state will help later ones.

        Where this prompt parts from an earlier one, another may part; and near its end.
        """
        if request.keep_state:
            return [len(request.prompt) - 1]
        if self.sequences.can_cut or request.prompt_logprobs:
            return []
        ends = {self.sequences.n_common(request), len(request.prompt) - SAVED_BEFORE_END_TOKENS}
        worth = (n for n in ends if n >= place.n_tokens + WORTH_WAITING_TOKENS)
        return sorted(n for n in worth if n < len(request.tokens))

    # -- one step ---------------------------------------------------------------------------

    def _plan(self, memory: list[Change], prefill_limit: Callable[[int], int] | None) -> Plan:
        """Drawing requests first, then prompts, until the batch is full."""
        n_drawing, together = 0, []
        for request in self._seq_ids:
            if request.is_drawing:
                n_drawing += 1
                if request.adapters == self._adapters:
                    together.append(request)
        slices, room, rows = self._drawn(together)
        n_drawn, n_read = self._n_batch - room, 0
        n_reading = len(self._seq_ids) - n_drawing
        if n_reading:
            n_at_most = prefill_limit(n_drawing) if n_drawing and prefill_limit else room
            prompts = self._read_prompts(min(room, n_at_most), rows)
            n_read = sum(len(piece.tokens) for piece in prompts)
            slices += prompts
        return Plan(
            tuple(memory), self._adapters, tuple(slices),
            len(together), n_drawn, n_read, n_reading > 0,
        )  # fmt: skip

    def _drawn(self, drawing: list[Request]) -> tuple[list[Slice], int, int]:
        """Slices of requests that draw; how many tokens, and rows of logits, are left."""
        room, rows = self._n_batch - len(drawing), OUTPUT_ROWS
        slices = []
        for request in drawing:
            if request.proposal and request.n_pending == 1:
                n_free = self.sequences.n_free - len(drawing) - (OUTPUT_ROWS - rows)
                piece = self._check(request, max(0, min(room, rows, n_free)))
                rows -= piece.n_guessed
            else:
                piece = self._read(request, room + 1)
            room -= len(piece.tokens) - 1
            slices.append(piece)
        return slices, room, rows

    def _read_prompts(self, room: int, rows: int) -> list[Slice]:
        together = (r for r in self._seq_ids if r.adapters == self._adapters)
        slices = []
        for request in sorted((r for r in together if not r.is_drawing), key=lambda r: r.rank):
            wants_all = request.prompt_logprobs and request.n_cached < len(request.prompt)
            n = min(self._n_until_save(request), room, rows if wants_all else room)
            if n > 0:
                n = _n_at_once(request, n)
                slices.append(self._read(request, n, all_outputs=wants_all))
                room -= n
                rows -= n if wants_all else 0
        return slices

    def _without_guesses(
        self, plan: Plan, memory: list[Change], prefill_limit: Callable[[int], int] | None
    ) -> Plan:
        """A state can go back by what is kept of its last tokens, but not everywhere.

        llama.cpp computes slices of other lengths after each other, and what comes later may move
        the states of what came before, without those kept (llama_memory_recurrent::find_slot).
        """
        for piece in plan.slices:
            piece.request.proposal = []
        return self._plan(memory, prefill_limit)

    def _next_adapters(self) -> AdapterKey:
        """Requests with the same adapters go together; each such group has its turn."""
        groups = list(dict.fromkeys(r.adapters for r in self._seq_ids))
        if self._adapters in groups:
            return groups[(groups.index(self._adapters) + 1) % len(groups)]
        return groups[0]

    def _check(self, request: Request, n_guesses: int) -> Slice:
        """The token drawn last, and guesses behind it."""
        start, guesses = request.n_cached, request.proposal[:n_guesses]
        tokens = [*request.tokens[start:], *guesses]
        return Slice(request, self._seq_ids[request], start, tokens, "all" if guesses else "last")

    def _n_until_save(self, request: Request) -> int:
        ahead = [n - request.n_cached for n in self._saves[request] if n > request.n_cached]
        return min([*ahead, request.n_pending])

    def _read(self, request: Request, n: int, *, all_outputs: bool = False) -> Slice:
        """The next ``n`` tokens that it has not read, or all of them."""
        start = request.n_cached
        tokens = request.tokens[start : start + n]
        stop = start + len(tokens)
        last: Literal["none", "last"] = "last" if stop == len(request.tokens) else "none"
        outputs = "all" if all_outputs else last
        span = request.span_at(start) if request.spans else None
        save = stop in self._saves[request]
        return Slice(request, self._seq_ids[request], start, tokens, outputs, save, span)

    # -- memory pressure --------------------------------------------------------------------

    def _make_room(self, n_lacking: int) -> list[Change]:
        """Give up what nobody uses, else the youngest request's place."""
        if changes := self.sequences.evict(n_lacking):
            return changes
        youngest = max(self._seq_ids, key=lambda r: r.rank)
        assert len(self._seq_ids) > 1, "one request alone always fits: its length was checked"
        self._leave(youngest)
        youngest.n_cached = 0
        self.n_preempted += 1
        self.add(youngest)
        if all(r.adapters != self._adapters for r in self._seq_ids):
            self._adapters = self._next_adapters()
        return []

    def check_integrity(self) -> None:
        """Assert what always holds between steps."""
        everyone = [*self._waiting, *self._seq_ids]
        assert len(set(map(id, everyone))) == len(everyone), "a request stands in two places"
        assert len(self._seq_ids) <= self._n_parallel
        assert sorted(self._waiting, key=lambda r: r.rank) == self._waiting
        assert set(self._saves) == set(self._seq_ids)
        assert all(request.n_cached == 0 for request in self._waiting)
        self.sequences.check_integrity()
        for request in everyone:
            request.check_integrity()


def _n_at_once(request: Request, n: int) -> int:
    """Up to ``n`` places: all tokens, or all of one span, and of a whole span every one left."""
    n_alike, span = request.n_alike(request.n_cached), request.span_at(request.n_cached)
    return n_alike if span is not None and span.at_once else min(n, n_alike)


def _differ_in_guesses(plan: Plan) -> bool:
    lengths = {len(piece.tokens) for piece in plan.slices}
    return len(lengths) > 1 and any(piece.n_guessed for piece in plan.slices)
