"""A small model that guesses what a large one will say. Engine's thread only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llamaherd.engine.pace import StepCosts
from llamaherd.engine.plan import Change, Cut, Plan, Slice
from llamaherd.engine.prefix_cache import common_prefix
from llamaherd.engine.request import Request
from llamaherd.engine.runner import Runner
from llamaherd.engine.speculative import MOST_PROPOSED, up_to_end
from llamaherd.errors import DecodeError, UnsupportedError
from llamaherd.model import Model
from llamaherd.params import ContextParams


@dataclass
class _Sequence:
    """What the small model has read for one request."""

    seq_id: int
    tokens: list[int] = field(default_factory=list)


class DraftModel:
    """Proposes what the small model finds likeliest, for all requests in the same steps.

    Args:
        draft: the small model, closed with this object.
        target: the large one.
        params: of the large one's context.
        clock: monotonic, in seconds.

    Raises:
        UnsupportedError: the two have other vocabularies, or the small one's memory cannot be cut
            back when guesses fail.
        ContextCreateError: too little memory for a second context.
    """

    likely = 1.0
    steady = True
    most = MOST_PROPOSED
    follower = None

    def __init__(
        self,
        draft: Model,
        target: Model,
        params: ContextParams,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_vocabulary(draft, target)
        self._model, self._clock = draft, clock
        self._costs = StepCosts()  # of guessing, by the number of guesses
        self._costs.observe(0, 0.0)
        self._runner = Runner(draft, params)
        if not self._runner.can_cut or not self._runner.generates:
            self._runner.close()
            raise UnsupportedError(f"{draft.path.name} cannot draft: its memory cannot be cut back")
        self._free = list(range(self._runner.n_seq))
        self._sequences: dict[Request, _Sequence] = {}
        self._overdue: list[Change] = []

    def seconds(self, n_guesses: int) -> float:
        """As many steps of the small model."""
        return self._costs.seconds(n_guesses) or 0.0

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[list[int]]:
        """Read what is new, then draw greedily; nothing where the small model fails."""
        if sum(request not in self._sequences for request, _ in asked) > len(self._free):
            self._start_over()
        guesses: dict[Request, list[int]] = {request: [] for request, _ in asked}
        n_unread = max(len(request.tokens) - self._n_read(request) for request, _ in asked)
        n_steps = max(most for _, most in asked)
        begin = self._clock()
        try:
            for _ in range(n_steps):
                behind = [(r, guesses[r]) for r, most in asked if len(guesses[r]) < most]
                for (request, _), token in zip(behind, self._next(behind), strict=True):
                    guesses[request].append(token)
            if n_unread <= MOST_PROPOSED + 1:  # as after a step with guesses, not as after a prompt
                self._costs.observe(n_steps, self._clock() - begin)
        except DecodeError:
            self._start_over()
        return [up_to_end(self._model.vocab, guesses[request]) for request, _ in asked]

    def forget(self, request: Request) -> None:
        """The request has ended."""
        if (sequence := self._sequences.pop(request, None)) is not None:
            self._free.append(sequence.seq_id)
            self._overdue.append(Cut(sequence.seq_id, 0))

    def close(self) -> None:
        """Free the context and the model."""
        self._runner.close()
        self._model.close()

    def _next(self, behind: Sequence[tuple[Request, list[int]]]) -> list[int]:
        """The likeliest next token of each request."""
        slices = [self._slice(request, guessed) for request, guessed in behind]
        while any(len(piece.tokens) > self._runner.n_batch // len(slices) for piece in slices):
            slices = self._read_some(slices)
        ends = self._run(slices)
        return [int(self._runner.logits(row).argmax()) for row in ends]

    def _n_read(self, request: Request) -> int:
        sequence = self._sequences.get(request)
        return 0 if sequence is None else len(sequence.tokens)

    def _slice(self, request: Request, guessed: list[int]) -> Slice:
        """What the small model has not read of this request."""
        sequence = self._sequences.get(request)
        if sequence is None:
            sequence = self._sequences[request] = _Sequence(self._free.pop())
        tokens = request.tokens + guessed
        n_kept = min(common_prefix(sequence.tokens, tokens), len(tokens) - 1)
        if n_kept < len(sequence.tokens):
            self._overdue.append(Cut(sequence.seq_id, n_kept))
            del sequence.tokens[n_kept:]
        return Slice(request, sequence.seq_id, n_kept, tokens[n_kept:], "last")

    def _read_some(self, slices: Sequence[Slice]) -> list[Slice]:
        """One batch of prompts that do not fit with all others; what is left of them."""
        n = self._runner.n_batch // len(slices)
        firsts = [
            Slice(p.request, p.seq_id, p.start, p.tokens[: min(n, len(p.tokens) - 1)], "none")
            for p in slices
        ]
        firsts = [piece for piece in firsts if piece.tokens]
        self._run(firsts)
        n_read = {piece.request: len(piece.tokens) for piece in firsts}
        return [
            Slice(p.request, p.seq_id, p.start + n_read.get(p.request, 0),
                  p.tokens[n_read.get(p.request, 0) :], "last")
            for p in slices
        ]  # fmt: skip

    def _run(self, slices: Sequence[Slice]) -> list[int]:
        memory, self._overdue = tuple(self._overdue), []
        ends = self._runner.run(Plan(memory, (), tuple(slices)))
        for piece in slices:
            self._sequences[piece.request].tokens += piece.tokens
        return ends

    def _start_over(self) -> None:
        """Nothing is known of the small model's memory any more."""
        for request in list(self._sequences):
            self.forget(request)
        for change in self._overdue:
            if isinstance(change, Cut):
                self._runner.cut(change.seq_id, 0)
        self._overdue = []


def _check_vocabulary(draft: Model, target: Model) -> None:
    ours, theirs = draft.vocab, target.vocab
    same = len(ours) == len(theirs) and all(
        ours.token_bytes(token, special=True) == theirs.token_bytes(token, special=True)
        for token in range(len(ours))
    )
    if not same:
        raise UnsupportedError(
            f"{draft.path.name} cannot draft for {target.path.name}: their vocabularies differ"
        )
