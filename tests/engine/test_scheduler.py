"""The scheduler as a pure state machine: arrivals, steps, ends, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from llamaherd.engine.request import Event, Request
from llamaherd.engine.scheduler import LOGPROB_CHUNK_TOKENS, Scheduler, common_prefix

tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12)


def _request(prompt: list[int], *, prompt_logprobs: bool = False) -> Request:
    events: list[Event] = []
    return Request(prompt, events.append, prompt_logprobs=prompt_logprobs)


@given(st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 1), max_size=40))
def test_common_prefix_is_the_longest(left: list[int], right: list[int]) -> None:
    n = common_prefix(left, right)
    assert left[:n] == right[:n]
    assert n in (len(left), len(right)) or left[n] != right[n]


def test_a_prompt_is_read_in_pieces_of_the_batch() -> None:
    scheduler = Scheduler(1, 4, can_cut=True)
    request = _request([1] * 10)
    scheduler.add(request)
    spans = []
    while request.n_pending:
        (piece,) = scheduler.plan().slices
        spans.append((piece.start, piece.stop, piece.outputs))
        request.n_cached = piece.stop
    assert spans == [(0, 4, "none"), (4, 8, "none"), (8, 10, "last")]


def test_a_second_prompt_reuses_what_the_first_left_in_memory() -> None:
    scheduler = Scheduler(1, 100, can_cut=True)
    first = _request([1, 2, 3, 4])
    scheduler.add(first)
    scheduler.plan()
    first.n_cached = 4
    scheduler.finish(first)
    second = _request([1, 2, 9])
    scheduler.add(second)
    plan = scheduler.plan()
    assert plan.cuts == ((0, 2),)
    assert (plan.slices[0].start, plan.slices[0].stop) == (2, 3)
    assert second.n_reused == 2


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    scheduler = Scheduler(1, 100, can_cut=True)
    for _ in range(2):
        request = _request([1, 2, 3])
        scheduler.add(request)
        (piece,) = scheduler.plan().slices
        assert piece.outputs == "last"
        assert piece.stop - piece.start >= 1
        request.n_cached = 3
        scheduler.finish(request)


def test_memory_that_cannot_be_cut_is_reused_only_whole() -> None:
    scheduler = Scheduler(1, 100, can_cut=False)
    first = _request([1, 2, 3])
    scheduler.add(first)
    scheduler.plan()
    first.n_cached = 3
    scheduler.finish(first)
    for prompt, reused in [([1, 2, 9], 0), ([1, 2, 3, 4], 0)]:
        request = _request(prompt)
        scheduler.add(request)
        scheduler.plan()
        assert request.n_reused == reused
        request.n_cached = 0
        scheduler.finish(request)


def test_prompt_logprobs_read_the_whole_prompt_in_small_pieces() -> None:
    scheduler = Scheduler(1, 1000, can_cut=True)
    request = _request([1] * 100, prompt_logprobs=True)
    scheduler.add(request)
    (piece,) = scheduler.plan().slices
    assert (piece.start, piece.stop, piece.outputs) == (0, LOGPROB_CHUNK_TOKENS, "all")


class SchedulerMachine(RuleBasedStateMachine):
    """Any order of arrivals, steps, failures and ends keeps the books right."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(2, 5, can_cut=True)
        self.memory: dict[int, list[int]] = {0: [], 1: []}
        self.ended: list[Request] = []

    @rule(target=requests, prompt=tokens)
    def arrive(self, prompt: list[int]) -> Request:
        request = _request(prompt)
        self.scheduler.add(request)
        return request

    @rule(drawn=st.integers(0, 2))
    def step(self, drawn: int) -> None:
        plan = self.scheduler.plan()
        for seq_id, kept in plan.cuts:
            del self.memory[seq_id][kept:]
        assert sum(piece.stop - piece.start for piece in plan.slices) <= 5
        for piece in plan.slices:
            assert len(self.memory[piece.seq_id]) == piece.start
            self.memory[piece.seq_id] += piece.request.tokens[piece.start : piece.stop]
            piece.request.n_cached = piece.stop
            if piece.outputs == "last":
                piece.request.tokens.append(drawn)

    @rule(request=consumes(requests))
    def end(self, request: Request) -> None:
        self.scheduler.finish(request)
        self.ended.append(request)

    @rule(seq_id=st.integers(0, 1), kept=st.integers(0, 3))
    def lose_memory(self, seq_id: int, kept: int) -> None:
        del self.memory[seq_id][kept:]
        self.scheduler.forget(seq_id, kept)

    @invariant()
    def books_are_right(self) -> None:
        self.scheduler.check_integrity()
        for request in self.scheduler.running:
            resident = self.memory[self.scheduler.seq_id(request)]
            assert resident[: request.n_cached] == request.tokens[: request.n_cached]
        assert not set(map(id, self.ended)) & set(map(id, self.scheduler.running))


TestSchedulerMachine = SchedulerMachine.TestCase
