"""The scheduler as a pure state machine: arrivals, steps, ends, in any order."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from llamaherd.engine.request import Event, Request
from llamaherd.engine.scheduler import (
    LOGPROB_CHUNK_TOKENS,
    Cut,
    Plan,
    Scheduler,
    Share,
    common_prefix,
)

_arrivals = itertools.count()


def _request(prompt: list[int], *, prompt_logprobs: bool = False) -> Request:
    events: list[Event] = []
    request = Request(prompt, events.append, prompt_logprobs=prompt_logprobs)
    request.queued_at = next(_arrivals)
    return request


def _scheduler(
    n_seq: int = 1, n_batch: int = 1000, n_cells: int = 10_000, *, can_cut: bool = True
) -> Scheduler:
    return Scheduler(n_seq, n_batch, n_cells, can_cut=can_cut)


def _carry_out(plan: Plan, *, drawn: int | None = None) -> None:
    """What the engine does after a step."""
    for piece in plan.slices:
        piece.request.n_cached = piece.stop
        if drawn is not None and piece.stop == len(piece.request.tokens):
            piece.request.tokens.append(drawn)


@given(st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 1), max_size=40))
def test_common_prefix_is_the_longest(left: list[int], right: list[int]) -> None:
    n = common_prefix(left, right)
    assert left[:n] == right[:n]
    assert n in (len(left), len(right)) or left[n] != right[n]


def test_a_prompt_is_read_in_pieces_of_the_batch() -> None:
    scheduler = _scheduler(n_batch=4)
    request = _request([1] * 10)
    scheduler.add(request)
    spans = []
    while request.n_pending:
        plan = scheduler.plan()
        spans += [(piece.start, piece.stop, piece.outputs) for piece in plan.slices]
        _carry_out(plan)
    assert spans == [(0, 4, "none"), (4, 8, "none"), (8, 10, "last")]


def test_a_second_prompt_reuses_what_the_first_left_in_memory() -> None:
    scheduler = _scheduler()
    first, second = _request([1, 2, 3, 4]), _request([1, 2, 9])
    scheduler.add(first)
    _carry_out(scheduler.plan())
    scheduler.finish(first)
    scheduler.add(second)
    plan = scheduler.plan()
    assert plan.memory == (Cut(0, 2),)
    assert [(piece.start, piece.stop) for piece in plan.slices] == [(2, 3)]
    assert second.n_reused == 2


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    scheduler = _scheduler()
    for _ in range(2):
        request = _request([1, 2, 3])
        scheduler.add(request)
        plan = scheduler.plan()
        assert [piece.outputs for piece in plan.slices] == ["last"]
        assert plan.slices[0].stop > plan.slices[0].start
        _carry_out(plan)
        scheduler.finish(request)


def test_memory_that_cannot_be_cut_is_reused_only_whole() -> None:
    scheduler = _scheduler(can_cut=False)
    for prompt, reused in [([1, 2, 3], 0), ([1, 2, 9], 0), ([1, 2, 9, 4], 3), ([1, 2, 9, 4], 0)]:
        request = _request(prompt)
        scheduler.add(request)
        plan = scheduler.plan()
        assert request.n_reused == reused
        assert plan.memory == (Cut(0, reused),)
        _carry_out(plan)
        scheduler.finish(request)


def test_prompt_logprobs_read_whole_prompts_in_pieces_that_share_a_bound() -> None:
    scheduler = _scheduler(n_seq=2)
    for _ in range(2):
        scheduler.add(_request([1] * 100, prompt_logprobs=True))
    pieces = scheduler.plan().slices
    assert [piece.outputs for piece in pieces] == ["all"]
    assert sum(piece.stop - piece.start for piece in pieces) == LOGPROB_CHUNK_TOKENS


def test_drawing_requests_come_first_and_prompts_keep_to_the_limit() -> None:
    scheduler = _scheduler(n_seq=3, n_batch=50)
    drawing, reading = _request([1, 2]), _request([9] * 40)
    scheduler.add(drawing)
    _carry_out(scheduler.plan(), drawn=5)
    scheduler.add(reading)
    pieces = scheduler.plan(prefill_limit=10).slices
    assert [(p.request, p.stop - p.start) for p in pieces] == [(drawing, 1), (reading, 10)]


def test_callers_with_the_same_beginning_read_it_once() -> None:
    """Sixteen that arrive together: one reads, the others wait for it and share."""
    scheduler = _scheduler(n_seq=16, n_batch=512, n_cells=16 * 700)
    requests = [_request([7] * 600 + [100 + i] * 30) for i in range(16)]
    for request in requests:
        scheduler.add(request)
    n_read = 0
    while any(request.n_pending for request in requests):
        plan = scheduler.plan()
        n_read += sum(piece.stop - piece.start for piece in plan.slices)
        _carry_out(plan)
        scheduler.check_integrity()
    assert n_read == 600 + 16 * 30


def test_a_request_that_waits_for_a_prompt_does_not_hold_up_others() -> None:
    scheduler = _scheduler(n_seq=3, n_batch=10)
    leader, follower, other = _request([7] * 100), _request([7] * 90 + [1]), _request([3] * 5)
    for request in (leader, follower, other):
        scheduler.add(request)
    scheduler.plan()
    assert scheduler.waiting == (follower,)
    assert scheduler.running == [leader, other]


def test_what_was_left_behind_goes_before_a_running_request() -> None:
    scheduler = _scheduler(n_seq=2, n_cells=20)
    gone, running = _request([1] * 15), _request([2] * 10)
    scheduler.add(gone)
    _carry_out(scheduler.plan())
    scheduler.finish(gone)
    scheduler.add(running)
    plan = scheduler.plan()
    assert plan.memory == (Cut(1, 0), Cut(0, 0))
    assert scheduler.running == [running]


def test_the_youngest_steps_back_when_cells_run_out_and_returns() -> None:
    scheduler = _scheduler(n_seq=2, n_cells=12)
    older, younger = _request([1] * 4), _request([2] * 4)
    for request in (older, younger):
        scheduler.add(request)
    while not older.n_generated or len(scheduler.running) == 2:
        _carry_out(scheduler.plan(), drawn=5)
        assert scheduler.n_used <= 12
    assert scheduler.running == [older]
    assert scheduler.waiting == (younger,)
    assert younger.n_generated > 0
    assert younger.n_cached == 0
    scheduler.finish(older)
    plan = scheduler.plan()
    assert [piece.request for piece in plan.slices] == [younger]
    assert plan.slices[0].stop == len(younger.tokens)


tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12)


class SchedulerMachine(RuleBasedStateMachine):
    """Any order of arrivals, steps, failures and ends keeps the books right."""

    requests = Bundle("requests")
    n_seq, n_cells, n_batch = 3, 30, 7

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(self.n_seq, self.n_batch, self.n_cells, can_cut=True)
        self.memory: dict[int, list[int]] = {seq_id: [] for seq_id in range(self.n_seq)}
        self.ended: list[Request] = []

    @rule(target=requests, prompt=tokens)
    def arrive(self, prompt: list[int]) -> Request:
        request = _request(prompt)
        self.scheduler.add(request)
        return request

    @rule(drawn=st.integers(0, 2), limit=st.none() | st.integers(1, 5))
    def step(self, drawn: int, limit: int | None) -> None:
        plan = self.scheduler.plan(limit)
        for change in plan.memory:
            self.change(change)
        assert sum(piece.stop - piece.start for piece in plan.slices) <= self.n_batch
        assert len({piece.seq_id for piece in plan.slices}) == len(plan.slices)
        for piece in plan.slices:
            assert len(self.memory[piece.seq_id]) == piece.start
            self.memory[piece.seq_id] += piece.request.tokens[piece.start : piece.stop]
        assert sum(map(len, self.memory.values())) <= self.n_cells
        _carry_out(plan, drawn=drawn)
        for request in self.scheduler.running:
            if len(request.tokens) >= self.n_cells:  # the engine ends it: the context is full
                self.scheduler.finish(request)
                self.ended.append(request)

    def change(self, change: Cut | Share) -> None:
        if isinstance(change, Cut):
            del self.memory[change.seq_id][change.n_kept :]
        else:
            assert self.memory[change.target] == []
            assert len(self.memory[change.source]) >= change.n_tokens
            self.memory[change.target] = self.memory[change.source][: change.n_tokens]

    @rule(request=consumes(requests))
    def end(self, request: Request) -> None:
        if request not in self.ended:
            self.scheduler.finish(request)
            self.ended.append(request)

    @rule(seq_id=st.integers(0, n_seq - 1), kept=st.integers(0, 3))
    def lose_memory(self, seq_id: int, kept: int) -> None:
        del self.memory[seq_id][kept:]
        self.scheduler.forget(seq_id, kept)

    @invariant()
    def books_are_right(self) -> None:
        self.scheduler.check_integrity()
        for request in self.scheduler.running:
            resident = self.memory[self.scheduler.seq_id(request)]
            assert resident == request.tokens[: request.n_cached]
        assert not set(map(id, self.ended)) & set(map(id, self.scheduler.running))

    @invariant()
    def someone_always_gets_on(self) -> None:
        """A queue that is not empty has at least one request at work after the next plan."""
        if self.scheduler.running or not self.scheduler.waiting:
            return
        plan = self.scheduler.plan()
        for change in plan.memory:
            self.change(change)
        assert plan.slices
        for piece in plan.slices:
            self.memory[piece.seq_id] += piece.request.tokens[piece.start : piece.stop]
        _carry_out(plan)


TestSchedulerMachine = SchedulerMachine.TestCase
