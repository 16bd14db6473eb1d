"""Guessing the next tokens, so that one step can check several. Pure but for a draft model's own.

A proposer guesses what follows; the step reads the guesses behind the last drawn token, and the
request's own sampler draws at each of them. As long as it draws what was guessed, the next logits
are there already; the first other token ends the step. Every token is a genuine draw from the
model's distribution, so answers are what they are without guessing, greedy and sampled alike.

How many to guess is decided for each request from what it costs (``pace.StepCosts``) and from how
many of its guesses came true. Where the text decides (a passage repeats or it does not), a request
whose guesses fail is left alone for longer and longer. Where a model guesses, what one request
shows is what the next begins with, and where guesses do not pay a single one is tried now and then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llamaherd.engine.pace import StepCosts
from llamaherd.engine.plan import Follower
from llamaherd.engine.request import Request

MOST_PROPOSED = 16
MEMORY, MEMORY_OF_ALL = 0.9, 0.95  # of the acceptance seen so far, a guess
FIRST_REST, LONGEST_REST = 8, 256
PLAIN_EVERY = 32
"""Of the steps in which a model guesses one is left plain: what they save must stay known."""


class Proposer(Protocol):
    """Guesses what follows the tokens of requests."""

    likely: float
    """Share of its guesses taken to come true before anything is known; 1: try and see."""

    steady: bool
    """Whether its guesses come true about as often in one text as in another."""

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
class _Rest:
    """A time without guesses, twice as long each time, in steps."""

    left: int = 0
    following: int = FIRST_REST

    def over(self) -> bool:
        """Whether a step is the first one after it; counts it."""
        self.left -= 1
        return self.left < 0

    def take(self) -> None:
        """Begin it."""
        self.left, self.following = self.following, min(2 * self.following, LONGEST_REST)


@dataclass
class _Record:
    """How guessing went for one request.

    Attributes:
        likely: share of checked guesses that came true, recent ones first.
        rest: where the text decides.
    """

    likely: float
    rest: _Rest = field(default_factory=_Rest)


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
    _likely: float = field(init=False)  # what requests begin with
    _rest: _Rest = field(default_factory=_Rest)  # where a model guesses
    _n_guessing: int = 0

    def __post_init__(self) -> None:
        self._likely = self.proposer.likely

    def propose(self, drawing: Sequence[Request], n_ctx: int) -> None:
        """Set the ``proposal`` of requests that are worth it."""
        if not drawing:
            return
        most = {request: self._most(request, len(drawing), n_ctx) for request in drawing}
        if self.alike:
            most = dict.fromkeys(drawing, min(most.values()))
        found = self._steady(most) if self.proposer.steady else self._by_text(most)
        asked = [(request, n) for request, n in found.items() if n > 0]
        if not asked:
            return
        proposed = self.proposer.propose(asked)
        upto = min(map(len, proposed)) if self.alike else None
        for (request, _), guessed in zip(asked, proposed, strict=True):
            request.proposal = guessed[:upto]

    def observe(self, request: Request, n_checked: int, n_accepted: int) -> None:
        """So many guesses were checked, and so many came true before one did not."""
        self.n_proposed += n_checked
        self.n_accepted += n_accepted
        record = self._record(request)
        n_judged = min(n_checked, n_accepted + 1)
        for came_true in [1.0] * n_accepted + [0.0] * (n_judged - n_accepted):
            record.likely = MEMORY * record.likely + (1 - MEMORY) * came_true
            if self.proposer.steady:
                self._likely = MEMORY_OF_ALL * self._likely + (1 - MEMORY_OF_ALL) * came_true
        if self.proposer.steady:
            return
        if n_accepted:
            record.rest.following = FIRST_REST
        else:
            record.rest.take()

    def forget(self, request: Request) -> None:
        """The request has ended."""
        self._records.pop(request, None)
        self.proposer.forget(request)

    def close(self) -> None:
        """Free what the proposer holds."""
        self.proposer.close()

    def _record(self, request: Request) -> _Record:
        return self._records.setdefault(request, _Record(self._likely))

    def _most(self, request: Request, n_drawing: int, n_ctx: int) -> int:
        """How many guesses it may have."""
        left = n_ctx - len(request.tokens) - 1
        if request.n_left is not None:
            left = min(left, request.n_left - 1)
        if request.prompt_logprobs or request.spans:  # who guesses reads tokens only
            return 0
        return max(0, min(left, self.proposer.most, self.costs.most_to_try // n_drawing - 1))

    def _by_text(self, most: Mapping[Request, int]) -> dict[Request, int]:
        """The best number for each that does not rest."""
        found = {}
        for request, n in most.items():
            record = self._record(request)
            if n > 0 and record.rest.over():
                found[request] = self._best([request], n, len(most))
                if not found[request]:
                    record.rest.take()
                    record.likely = max(record.likely, self.proposer.likely)  # then try once more
        return found

    def _steady(self, most: Mapping[Request, int]) -> dict[Request, int]:
        """The best number for each; now and then a single guess where none is best."""
        n_drawing = len(most)
        if self.alike:
            found = dict.fromkeys(most, self._best(list(most), min(most.values()), n_drawing))
        else:
            found = {request: self._best([request], n, n_drawing) for request, n in most.items()}
        if any(found.values()):
            self._rest.following = FIRST_REST
            self._n_guessing += 1
            if self._n_guessing % PLAIN_EVERY == 0:
                return {}
        idle = [request for request, n in found.items() if n == 0 < most[request]]
        if idle and self._rest.over():
            self._rest.take()
            hopeful = max(idle, key=lambda request: self._record(request).likely)
            found.update(dict.fromkeys(idle if self.alike else [hopeful], 1))
        return found

    def _best(self, group: Sequence[Request], most: int, n_drawing: int) -> int:
        """How many guesses for each of a group give the most tokens a second; 0: none do."""
        likely = [self._record(request).likely for request in group]
        return max(range(most + 1), key=lambda n: self._rate(likely, n, n_drawing))

    def _rate(self, likely: Sequence[float], n: int, n_drawing: int) -> float:
        """Tokens a second with ``n`` guesses: of each request 1 + p + p^2 + ... + p^n a step."""
        seconds = self.costs.seconds(n_drawing * (1 + n))
        if not seconds:
            return -n  # nothing is known yet, not even of plain steps: wait for one
        n_tokens = sum(p**i for p in likely for i in range(n + 1))
        return n_tokens / (seconds + self.proposer.seconds(n))


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
    steady = False
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
