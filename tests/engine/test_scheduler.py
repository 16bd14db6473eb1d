"""The scheduler as a pure state machine: arrivals, steps, ends, in any order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from llamaherd.engine.plan import Change, Cut, Plan, Restore, Share
from llamaherd.engine.request import AdapterKey, Request, Span
from llamaherd.engine.scheduler import OUTPUT_ROWS, Scheduler
from llamaherd.engine.sequences import Sequences
from llamaherd.engine.snapshots import Snapshot, Snapshots
from llamaherd.places import ids_of, whole_beginning

_arrivals = itertools.count()


def _request(prompt: list[int], *, queued_at: float | None = None, **options: Any) -> Request:
    request = Request(prompt, **options)
    request.queued_at = next(_arrivals) if queued_at is None else queued_at
    return request


def _with_picture(
    before: list[int], content: int, after: list[int], *, whole: bool = False, **options: Any
) -> Request:
    """A picture of four places between tokens; its ids stand for its content."""
    span = Span(len(before), np.zeros((4, 1), dtype=np.float32), whole)
    return _request([*before, *ids_of(content, 4), *after], spans=(span,), **options)


GRID = ids_of(9, 4, 2)


def _with_grid(before: list[int], after: list[int], **options: Any) -> Request:
    """A picture of two by two places, which takes two positions."""
    grid = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], dtype=np.int32)
    span = Span(len(before), np.zeros((4, 1), dtype=np.float32), False, grid, 2)
    return _request([*before, *GRID, *after], spans=(span,), **options)


def _positions(tokens: Sequence[int]) -> list[int]:
    """Of each place, as memory has it: those of a grid share a moment."""
    found: list[int] = []
    position = 0
    for token in tokens:
        found.append(position)
        if token not in GRID:
            position += 1
        elif token == GRID[-1]:
            position += 2
    return found


def _scheduler(
    n_parallel: int = 1,
    n_batch: int = 1000,
    n_cells: int = 10_000,
    *,
    n_seq: int | None = None,
    can_cut: bool = True,
) -> Scheduler:
    sequences = Sequences(
        n_seq or n_parallel, n_cells, can_cut=can_cut, snapshots=Snapshots(1 << 20)
    )
    return Scheduler(n_parallel, n_batch, sequences)


def _carry_out(scheduler: Scheduler, plan: Plan, *, drawn: int | None = None) -> None:
    """What the engine does after a step."""
    caught_up = [piece.request for piece in plan.slices if piece.catches_up]
    for piece in plan.slices:
        if piece.save:
            tokens = tuple(piece.request.tokens[: piece.stop])
            scheduler.sequences.snapshots.add(Snapshot(tokens, piece.request.adapters, b"state"))
    scheduler.decoded(plan)
    for request in caught_up if drawn is not None else ():
        request.tokens.append(drawn)  # type: ignore[arg-type]
        scheduler.keep(request, request.n_cached)


def _step(scheduler: Scheduler, *, drawn: int | None = None) -> Plan:
    plan = scheduler.plan()
    _carry_out(scheduler, plan, drawn=drawn)
    return plan


def test_a_prompt_is_read_in_pieces_of_the_batch() -> None:
    scheduler = _scheduler(n_batch=4)
    request = _request([1] * 10)
    scheduler.add(request)
    spans = []
    while request.n_pending:
        plan = _step(scheduler)
        spans += [(piece.start, piece.stop, piece.outputs) for piece in plan.slices]
    assert spans == [(0, 4, "none"), (4, 8, "none"), (8, 10, "last")]


def test_a_second_prompt_reuses_what_the_first_left_in_memory() -> None:
    scheduler = _scheduler()
    first, second = _request([1, 2, 3, 4]), _request([1, 2, 9])
    scheduler.add(first)
    _step(scheduler)
    scheduler.finish(first)
    scheduler.add(second)
    plan = scheduler.plan()
    assert plan.memory == (Cut(0, 2),)
    assert [(piece.start, piece.stop) for piece in plan.slices] == [(2, 3)]
    assert second.n_reused == 2


def test_a_finished_conversation_stays_while_another_branches_off() -> None:
    scheduler = _scheduler(n_seq=3)
    for prompt in ([1, 2, 3, 4], [1, 2, 9], [1, 2, 3, 4, 5]):
        request = _request(prompt)
        scheduler.add(request)
        _step(scheduler)
        scheduler.finish(request)
    assert request.n_reused == 4
    assert scheduler.sequences.n_hits == 2
    assert scheduler.sequences.misses == {"cold": 1}


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    scheduler = _scheduler()
    for _ in range(2):
        request = _request([1, 2, 3])
        scheduler.add(request)
        plan = _step(scheduler)
        assert [piece.outputs for piece in plan.slices] == ["last"]
        assert plan.slices[0].stop > plan.slices[0].start
        scheduler.finish(request)


def test_a_picture_is_read_apart_from_the_text_around_it() -> None:
    scheduler = _scheduler(n_batch=3)
    request = _with_picture([1, 2], 0, [3, 4])
    scheduler.add(request)
    spans = []
    while request.n_pending:
        plan = _step(scheduler)
        spans += [(piece.start, piece.stop, piece.span is not None) for piece in plan.slices]
    assert spans == [(0, 2, False), (2, 5, True), (5, 6, True), (6, 8, False)]


def test_a_picture_whose_places_see_each_other_is_read_at_once() -> None:
    scheduler = _scheduler(n_batch=3)
    request = _with_picture([1, 2], 0, [3], whole=True)
    scheduler.add(request)
    plans = [_step(scheduler) for _ in range(3)]
    assert [(p.slices[0].start, p.slices[0].stop) for p in plans] == [(0, 2), (2, 6), (6, 7)]


def test_text_goes_on_behind_a_grid_by_its_width() -> None:
    scheduler = _scheduler(n_batch=3)
    request = _with_grid([1, 2], [3, 4])
    scheduler.add(request)
    plans = [_step(scheduler) for _ in range(3)]
    read = [(p.slices[0].start, p.slices[0].stop, p.slices[0].position) for p in plans]
    assert read == [(0, 2, 0), (2, 6, 2), (6, 8, 4)]


def test_a_grid_is_shared_whole_or_not_at_all() -> None:
    scheduler = _scheduler(n_seq=3)
    changes = []
    for prompt in (_with_grid([1, 2], [3, 4]), _with_grid([1, 2], [3, 5]), _request([1, 2, 7])):
        scheduler.add(prompt)
        while prompt.n_pending:
            changes += [c for c in _step(scheduler).memory if isinstance(c, Share)]
        scheduler.finish(prompt)
    assert changes == [Share(0, 1, 5), Share(0, 2, 2)]
    assert scheduler.sequences.cut(1, 6) == [Cut(1, 4)]


def test_the_same_picture_is_reused_and_another_one_is_not() -> None:
    scheduler = _scheduler()
    reused = []
    for content in (0, 0, 1):
        request = _with_picture([1, 2], content, [3])
        scheduler.add(request)
        while request.n_pending:
            _step(scheduler)
        scheduler.finish(request)
        reused.append(request.n_reused)
    assert reused == [0, 6, 2]


def test_memory_that_cannot_be_cut_is_reused_only_whole() -> None:
    scheduler = _scheduler(can_cut=False)
    for prompt, reused in [([1, 2, 3], 0), ([1, 2, 9], 0), ([1, 2, 9, 4], 3), ([1, 2, 9, 4], 0)]:
        request = _request(prompt)
        scheduler.add(request)
        _step(scheduler)
        assert request.n_reused == reused
        scheduler.finish(request)
    assert scheduler.sequences.misses == {"cold": 1, "not_divisible": 2}


def test_memory_that_cannot_be_cut_is_saved_where_prompts_part() -> None:
    """The first and second prompt show where they part; the third begins from there."""
    scheduler = _scheduler(can_cut=False)
    common = list(range(100))
    reused = []
    for end in (200, 300, 400):
        request = _request(common + [end] * 50)
        scheduler.add(request)
        while request.n_pending:
            _step(scheduler)
        scheduler.finish(request)
        reused.append(request.n_reused)
    assert reused == [0, 0, 100]


def test_callers_of_memory_that_cannot_be_cut_wait_for_a_saved_state() -> None:
    scheduler = _scheduler(4, 64, can_cut=False)
    requests = [_request(list(range(100)) + [200 + n] * 40) for n in range(4)]
    for request in requests:
        scheduler.add(request)
    restored = 0
    while any(request.n_pending for request in requests):
        plan = _step(scheduler)
        restored += sum(isinstance(change, Restore) for change in plan.memory)
        scheduler.check_integrity()
    assert restored == 3
    assert [request.n_reused for request in requests] == [0, 100, 100, 100]


def test_prompt_logprobs_read_whole_prompts_in_pieces_that_share_a_bound() -> None:
    scheduler = _scheduler(2)
    for _ in range(2):
        scheduler.add(_request([1] * 100, prompt_logprobs=True))
    pieces = scheduler.plan().slices
    assert [piece.outputs for piece in pieces] == ["all"]
    assert sum(len(piece.tokens) for piece in pieces) == OUTPUT_ROWS


def test_drawing_requests_come_first_and_prompts_keep_to_the_limit() -> None:
    scheduler = _scheduler(3, n_batch=50)
    drawing, reading = _request([1, 2]), _request([9] * 40)
    scheduler.add(drawing)
    _step(scheduler, drawn=5)
    scheduler.add(reading)
    pieces = scheduler.plan(lambda n_drawing: 10).slices
    assert [(p.request, len(p.tokens)) for p in pieces] == [(drawing, 1), (reading, 10)]


def test_callers_with_the_same_beginning_read_it_once() -> None:
    """Sixteen that arrive together: one reads, the others wait for it and share."""
    scheduler = _scheduler(16, n_batch=512, n_cells=600 + 16 * 31)
    requests = [_request([7] * 600 + [100 + i] * 30) for i in range(16)]
    for request in requests:
        scheduler.add(request)
    n_read = 0
    while any(request.n_pending for request in requests):
        n_read += _step(scheduler).n_read
        scheduler.check_integrity()
    assert n_read == 600 + 16 * 30
    assert scheduler.n_preempted == 0, "shared cells count once, so all of them fit"


def test_a_request_that_waits_for_a_prompt_does_not_hold_up_others() -> None:
    scheduler = _scheduler(3, n_batch=10)
    leader, follower, other = _request([7] * 100), _request([7] * 90 + [1]), _request([3] * 5)
    for request in (leader, follower, other):
        scheduler.add(request)
    scheduler.plan()
    assert scheduler.waiting == (follower,)
    assert scheduler.running == [leader, other]


def test_a_smaller_priority_number_comes_first() -> None:
    scheduler = _scheduler()
    running, late, urgent = _request([1]), _request([2]), _request([3], priority=-1)
    for request in (running, late, urgent):
        scheduler.add(request)
    scheduler.plan()
    assert scheduler.waiting == (running, late)
    assert scheduler.running == [urgent]


def test_requests_with_other_adapters_take_turns() -> None:
    scheduler = _scheduler(3)
    tuned: AdapterKey = (("adapter", 1.0),)
    requests = [_request([1, 2]), _request([1, 2], adapters=tuned), _request([1, 5])]
    for request in requests:
        scheduler.add(request)
    seen = []
    for _ in range(4):
        plan = _step(scheduler, drawn=7)
        assert all(piece.request.adapters == plan.adapters for piece in plan.slices)
        seen.append(plan.adapters)
    assert seen == [tuned, (), tuned, ()]
    scheduler.finish(requests[0])
    scheduler.finish(requests[2])
    scheduler.add(_request([1, 2, 3], adapters=(("another", 1.0),)))
    _step(scheduler)
    assert scheduler.sequences.misses == {"cold": 3, "other_adapters": 1}


def test_guesses_that_fail_are_cut_from_memory() -> None:
    scheduler = _scheduler()
    request = _request([1, 2])
    scheduler.add(request)
    _step(scheduler, drawn=3)
    request.proposal = [4, 5, 6]
    plan = scheduler.plan()
    (piece,) = plan.slices
    assert (piece.tokens, piece.outputs, piece.n_guessed) == ([3, 4, 5, 6], "all", 3)
    scheduler.decoded(plan)
    request.tokens += [4, 9]  # the first guess came true, then 9 was drawn
    scheduler.keep(request, 4)
    plan = scheduler.plan()
    assert plan.memory == (Cut(0, 4),)
    assert plan.slices[0].tokens == [9]
    scheduler.check_integrity()


def test_what_was_left_behind_goes_before_a_running_request() -> None:
    scheduler = _scheduler(2, n_cells=20)
    gone, running = _request([1] * 15), _request([2] * 10)
    scheduler.add(gone)
    _step(scheduler)
    scheduler.finish(gone)
    scheduler.add(running)
    plan = scheduler.plan()
    assert plan.memory == (Cut(0, 0),)
    assert scheduler.running == [running]
    assert scheduler.sequences.n_evicted == 15


def test_no_more_is_evicted_than_is_needed_and_the_beginning_stays() -> None:
    scheduler = _scheduler(2, n_cells=1000)
    gone, running = _request([1] * 900), _request([2] * 150)
    scheduler.add(gone)
    _step(scheduler)
    scheduler.finish(gone)
    scheduler.add(running)
    assert scheduler.plan().memory == (Cut(0, 900 - 64),)


def test_a_prompt_that_was_evicted_is_a_miss_of_that_kind() -> None:
    scheduler = _scheduler(n_cells=20)
    for prompt in ([1] * 18, [2] * 18, [1] * 18):
        request = _request(prompt)
        scheduler.add(request)
        _step(scheduler)
        scheduler.finish(request)
    assert scheduler.sequences.misses == {"cold": 2, "evicted": 1}


def test_the_youngest_steps_back_when_cells_run_out_and_returns() -> None:
    scheduler = _scheduler(2, n_cells=12)
    older, younger = _request([1] * 4), _request([2] * 4)
    for request in (older, younger):
        scheduler.add(request)
    while not older.n_generated or len(scheduler.running) == 2:
        _step(scheduler, drawn=5)
        scheduler.check_integrity()
    assert scheduler.running == [older]
    assert scheduler.waiting == (younger,)
    assert younger.n_generated > 0
    assert younger.n_cached == 0
    scheduler.finish(older)
    plan = scheduler.plan()
    assert [piece.request for piece in plan.slices] == [younger]
    assert plan.slices[0].stop == len(younger.tokens)


tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12)
adapters = st.sampled_from([(), (("adapter", 1.0),)])


class SchedulerMachine(RuleBasedStateMachine):
    """Any order of arrivals, steps, guesses, failures and ends keeps the books right.

    Memory is modelled as llama.cpp has it: cells, each marked with the sequences it belongs to.
    """

    requests = Bundle("requests")
    n_parallel, n_seq, n_cells, n_batch = 3, 5, 30, 7
    can_cut, rolls_back = True, False

    def __init__(self) -> None:
        super().__init__()
        self.guessed: dict[int, int] = {}  # by sequence, in its last step
        self.scheduler = _scheduler(
            self.n_parallel, self.n_batch, self.n_cells, n_seq=self.n_seq, can_cut=self.can_cut
        )
        self.cells: list[tuple[int, int, set[int]]] = []  # position, token, holders
        self.alive: list[Request] = []

    def held(self, seq_id: int) -> list[int]:
        mine = [(at, token) for at, token, holders in self.cells if seq_id in holders]
        mine.sort(key=lambda cell: (cell[0], -cell[1]))  # the ids of a grid count down
        tokens = [token for _, token in mine]
        assert [at for at, _ in mine] == _positions(tokens), "positions without a gap"
        return tokens

    def read(self, seq_id: int, more: Sequence[int]) -> None:
        tokens = [*self.held(seq_id), *more]
        new = list(zip(_positions(tokens), tokens, strict=True))[-len(more) :]
        self.cells += [(at, token, {seq_id}) for at, token in new]
        assert len(self.cells) <= self.n_cells, "more cells than there are"

    def change(self, change: Change) -> None:
        if isinstance(change, Restore):
            assert self.held(change.seq_id) == []
            self.read(change.seq_id, change.snapshot.tokens)
        elif isinstance(change, Share):
            assert self.can_cut
            assert self.held(change.target) == []
            assert [*_positions(self.held(change.source)), 10**6][-1] >= change.n_kept
            for position, _, holders in self.cells:
                if change.source in holders and position < change.n_kept:
                    holders.add(change.target)
        else:
            n_dropped = _positions([*self.held(change.seq_id), 0])[-1] - change.n_kept
            rolled_back = n_dropped <= self.guessed.get(change.seq_id, 0)
            assert self.can_cut or change.n_kept == 0 or rolled_back, "memory goes only whole"
            self.cut(change.seq_id, change.n_kept)

    def cut(self, seq_id: int, n_kept: int) -> None:
        for position, _, holders in self.cells:
            if position >= n_kept:
                holders.discard(seq_id)
        self.cells = [cell for cell in self.cells if cell[2]]

    @rule(
        target=requests,
        prompt=tokens,
        adapters=adapters,
        priority=st.integers(0, 1),
        prompt_logprobs=st.booleans(),
    )
    def arrive(self, prompt: list[int], **options: Any) -> Request:
        request = _request(prompt, **options)
        self.scheduler.add(request)
        self.alive.append(request)
        return request

    @rule(
        target=requests, before=tokens, content=st.integers(0, 1), after=tokens, adapters=adapters
    )
    def arrive_with_picture(
        self, before: list[int], content: int, after: list[int], **options: Any
    ) -> Request:
        request = _with_picture(before, content, after, whole=bool(content), **options)
        self.scheduler.add(request)
        self.alive.append(request)
        return request

    @rule(target=requests, before=tokens, after=tokens, adapters=adapters)
    def arrive_with_grid(self, before: list[int], after: list[int], **options: Any) -> Request:
        request = _with_grid(before, after, **options)
        self.scheduler.add(request)
        self.alive.append(request)
        return request

    @rule(
        drawn=st.integers(0, 2),
        limit=st.none() | st.integers(1, 5),
        guess=st.lists(st.integers(0, 2), max_size=3),
        forced=st.lists(st.integers(0, 2), max_size=9),
    )
    def step(
        self, drawn: int, limit: int | None, guess: list[int], forced: Sequence[int] = ()
    ) -> None:
        for at, request in enumerate(self.scheduler.running):
            if self.can_cut or self.rolls_back:
                request.proposal = guess[: 3 - at % 2] if self.rolls_back else guess
        plan = self.scheduler.plan(None if limit is None else lambda n_drawing: limit)
        for change in plan.memory:
            self.change(change)
        n_tokens = sum(len(piece.tokens) for piece in plan.slices if piece.span is None)
        assert n_tokens <= self.n_batch
        for piece in plan.slices:
            at_once = {piece.request.span_at(at) for at in range(piece.start, piece.stop)}
            assert at_once == {piece.span}, "tokens and embeddings in one slice"
            if piece.span is not None and piece.span.at_once:
                assert piece.stop == piece.span.stop, "a picture was cut"
        assert len({piece.seq_id for piece in plan.slices}) == len(plan.slices)
        if not self.can_cut and any(piece.n_guessed for piece in plan.slices):
            assert len({len(piece.tokens) for piece in plan.slices}) == 1
        self.guessed.update({piece.seq_id: piece.n_guessed for piece in plan.slices})
        for piece in plan.slices:
            held = self.held(piece.seq_id)
            assert len(held) == piece.start
            assert _positions([*held, 0])[-1] == piece.position
            assert piece.request.adapters == plan.adapters
            self.read(piece.seq_id, piece.tokens)
        n_guessed = {piece.request: piece.n_guessed for piece in plan.slices if piece.catches_up}
        self.scheduler.decoded(plan)
        for piece in plan.slices:
            if piece.save:
                saved = Snapshot(
                    tuple(piece.request.tokens[: piece.stop]), piece.request.adapters, b""
                )
                self.scheduler.sequences.snapshots.add(saved)
        for request, n in n_guessed.items():
            true = guess[: min(n, drawn)]
            n_kept = len(request.tokens) + len(true)
            request.tokens += [*true, drawn, *forced]
            request.n_forced = len(forced)
            self.scheduler.keep(request, n_kept)
            if len(request.tokens) >= self.n_cells:  # the engine ends it: the context is full
                self.finish(request)

    def finish(self, request: Request) -> None:
        self.scheduler.finish(request)
        self.alive.remove(request)

    @rule(request=consumes(requests))
    def end(self, request: Request) -> None:
        if request in self.alive:
            self.finish(request)

    @rule(seq_id=st.integers(0, n_seq - 1), kept=st.integers(0, 3))
    def lose_memory(self, seq_id: int, kept: int) -> None:
        held = self.held(seq_id)
        kept = whole_beginning(held, min(kept, len(held))) if self.can_cut else 0
        self.cut(seq_id, [*_positions(held), 10**6][kept])
        self.scheduler.forget(seq_id, kept)

    @invariant()
    def books_are_right(self) -> None:
        self.scheduler.check_integrity()
        assert set(map(id, self.alive)) == set(
            map(id, [*self.scheduler.running, *self.scheduler.waiting])
        ), "a request was lost, or ended twice"

    @rule()
    def everyone_gets_to_the_end(self) -> None:
        """With nobody else arriving, each request soon draws a token."""
        for _ in range(300):
            if not self.alive:
                break
            before = {request: len(request.tokens) for request in self.alive}
            self.step(drawn=1, limit=None, guess=[])
            for request, length in before.items():
                if request in self.alive and len(request.tokens) > length:
                    self.finish(request)
        assert not self.alive, "somebody waits for ever"


TestSchedulerMachine = SchedulerMachine.TestCase


class IndivisibleMemoryMachine(SchedulerMachine):
    """The same where memory can only be dropped whole and restored from saved states."""

    can_cut = False


TestIndivisibleMemoryMachine = IndivisibleMemoryMachine.TestCase


class RollbackMachine(IndivisibleMemoryMachine):
    """The same where a state can also go back by the guesses of its last step."""

    rolls_back = True


TestRollbackMachine = RollbackMachine.TestCase
