"""Guessing the next tokens, so that one step can check several. Pure but for a draft model's own.

A proposer guesses what follows; the step reads the guesses behind the last drawn token, and the
request's own sampler draws at each of them. As long as it draws what was guessed, the next logits
are there already; the first other token ends the step. Every token is a genuine draw from the
model's distribution, so answers are what they are without guessing, greedy and sampled alike.

How many to guess is decided for each request from what it costs (``pace.StepCosts``) and from how
many of its guesses came true. A request whose guesses fail is left alone for longer and longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llamaherd.engine.pace import StepCosts
from llamaherd.engine.plan import Follower
from llamaherd.engine.request import Request

MOST_PROPOSED = 16
MEMORY = 0.9  # of the acceptance seen so far, a step
FIRST_REST_TOKENS, LONGEST_REST_TOKENS = 8, 256


class Proposer(Protocol):
    """Guesses what follows the tokens of requests."""

    likely: float
    """Share of its guesses expected to come true before anything is known."""

    most: int
    """Most guesses a step that are worth asking for."""

    @property
    def follower(self) -> Follower | None:
        """What must read along with the model; None: tokens are enough."""

    def seconds(self, n_guesses: int) -> float:
        """What so many guesses take, for all requests together."""

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[list[int]]:
        """For each request at most so many tokens that may follow ``request.tokens``."""

    def forget(self, request: Request) -> None:
        """The request has ended."""

    def close(self) -> None:
        """Free what it holds."""


@dataclass
class _Record:
    """How guessing went for one request.

    Attributes:
        likely: share of checked guesses that came true, recent ones first.
        rest: tokens to draw before the next attempt.
        next_rest: how long the next rest will be.
    """

    likely: float
    rest: int = 0
    next_rest: int = FIRST_REST_TOKENS


@dataclass
class Speculation:
    """Decides how much to guess, asks the proposer, and learns from what came true.

    Attributes:
        alike: everybody guesses equally many tokens or nobody any (``Scheduler.plan`` tells why).
    """

    proposer: Proposer
    costs: StepCosts
    alike: bool = False
    n_proposed: int = 0
    n_accepted: int = 0
    _records: dict[Request, _Record] = field(default_factory=dict)

    def propose(self, drawing: Sequence[Request], n_ctx: int) -> None:
        """Set the ``proposal`` of requests that are worth it."""
        asked = [(r, self._most(r, len(drawing), n_ctx)) for r in drawing]
        if self.alike:
            fewest = min((most for _, most in asked), default=0)
            asked = [(request, fewest) for request, _ in asked]
        asked = [(request, most) for request, most in asked if most > 0]
        if not asked:
            return
        proposed = self.proposer.propose(asked)
        upto = min(map(len, proposed)) if self.alike else None
        for (request, _), found in zip(asked, proposed, strict=True):
            request.proposal = found[:upto]

    def observe(self, request: Request, n_checked: int, n_accepted: int) -> None:
        """So many guesses were checked, and so many came true before one did not."""
        self.n_proposed += n_checked
        self.n_accepted += n_accepted
        record = self._record(request)
        n_judged = min(n_checked, n_accepted + 1)
        for came_true in [1.0] * n_accepted + [0.0] * (n_judged - n_accepted):
            record.likely = MEMORY * record.likely + (1 - MEMORY) * came_true
        if n_accepted:
            record.next_rest = FIRST_REST_TOKENS
        else:
            _take_rest(record)

    def forget(self, request: Request) -> None:
        """The request has ended."""
        self._records.pop(request, None)
        self.proposer.forget(request)

    def close(self) -> None:
        """Free what the proposer holds."""
        self.proposer.close()

    def _record(self, request: Request) -> _Record:
        return self._records.setdefault(request, _Record(self.proposer.likely))

    def _most(self, request: Request, n_drawing: int, n_ctx: int) -> int:
        """How many guesses give the most tokens a second; 0: none do."""
        record = self._record(request)
        if record.rest > 0:
            record.rest -= 1
            return 0
        left = n_ctx - len(request.tokens) - 1
        if request.n_left is not None:
            left = min(left, request.n_left - 1)
        if request.prompt_logprobs or request.spans or left <= 0:  # who guesses reads tokens only
            return 0
        most = min(left, self.proposer.most, self.costs.most_to_try // n_drawing - 1)
        best = max(range(max(0, most) + 1), key=lambda n: self._rate(record, n, n_drawing))
        if best == 0:
            _take_rest(record)
            record.likely = max(record.likely, self.proposer.likely)  # then try once more
        return best

    def _rate(self, record: _Record, n: int, n_drawing: int) -> float:
        """Tokens a second with ``n`` guesses: 1 + p + p^2 + ... + p^n of them a step."""
        seconds = self.costs.seconds(n_drawing * (1 + n))
        if not seconds:
            return -n  # nothing is known yet, not even of plain steps: wait for one
        return sum(record.likely**i for i in range(n + 1)) / (seconds + self.proposer.seconds(n))


def _take_rest(record: _Record) -> None:
    record.rest = record.next_rest
    record.next_rest = min(2 * record.next_rest, LONGEST_REST_TOKENS)


class Ends(Protocol):
    """Knows tokens that end an answer: a vocabulary."""

    def is_end(self, token: int) -> bool:
        """Whether the model ends its answer with it."""


def up_to_end(vocab: Ends, guessed: list[int]) -> list[int]:
    """Nothing follows the end of an answer."""
    ends = (at for at, token in enumerate(guessed, 1) if vocab.is_end(token))
    return guessed[: next(ends, None)]


class PromptLookup:
    """Guesses that a passage repeats: finds the last few tokens earlier in the text.

    Remembers where each run of ``n_gram`` tokens stood last; a look-up takes constant time, and a
    text that does not repeat gets no guesses at all.
    """

    likely = 0.6
    most = MOST_PROPOSED
    follower = None

    def __init__(self, n_gram: int = 3) -> None:
        self._n_gram = n_gram
        self._seen: dict[Request, tuple[int, dict[tuple[int, ...], int]]] = {}

    def seconds(self, n_guesses: int) -> float:
        """Next to nothing."""
        return 0.0

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[list[int]]:
        """What followed the same tokens when they stood there last."""
        return [self._continued(request, most) for request, most in asked]

    def forget(self, request: Request) -> None:
        """The request has ended."""
        self._seen.pop(request, None)

    def close(self) -> None:
        """Nothing to free."""

    def _continued(self, request: Request, most: int) -> list[int]:
        at = self._index(request).get(tuple(request.tokens[-self._n_gram :]))
        return [] if at is None else request.tokens[at : at + most]

    def _index(self, request: Request) -> dict[tuple[int, ...], int]:
        """Where each run ends that has a token after it, brought up to date."""
        tokens, n = request.tokens, self._n_gram
        upto, index = self._seen.get(request, (n, {}))
        for end in range(upto, len(tokens)):
            index[tuple(tokens[end - n : end])] = end
        self._seen[request] = max(n, len(tokens)), index
        return index
