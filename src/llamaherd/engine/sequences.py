"""The context's memory: who uses which sequence, what it holds, what makes room. Pure.

A request gets a sequence and the longest beginning of its prompt that lies in memory anywhere. Its
tokens stay there after it has gone, for the next one that begins alike, until room is needed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llamaherd.engine.plan import Change, Cut, Restore, Share
from llamaherd.engine.prefix_cache import Match, PrefixCache
from llamaherd.engine.request import AdapterKey, Request
from llamaherd.engine.snapshots import Snapshot, Snapshots
from llamaherd.places import end_in_memory, n_positions, whole_beginning

FREED_AT_A_TIME_TOKENS = 64
"""Evicting a few cells a step would take a native call a step."""
EVICTED_REMEMBERED = 1024
HEAD_TOKENS = 16
"""Prompts that agree in so many tokens are taken for the same when misses are counted."""

Miss = Literal[
    "cold", "evicted", "other_adapters", "not_divisible", "prompt_logprobs", "not_wanted"
]


@dataclass(frozen=True)
class Place:
    """Where a request would run.

    Attributes:
        seq_id: a sequence that nobody uses.
        n_tokens: tokens of its prompt that it need not read.
        source: where they come from: a sequence (possibly the same), a snapshot, or nowhere.
        miss: why there are none.
    """

    seq_id: int
    n_tokens: int
    source: int | Snapshot | None
    miss: Miss | None


class Sequences:
    """The sequences of one context, whose cells they share.

    Args:
        n_seq: how many there are.
        n_cells: tokens that all of them together can hold.
        can_cut: whether memory can be cut back to any position and shared.
        snapshots: saved states.
    """

    def __init__(self, n_seq: int, n_cells: int, *, can_cut: bool, snapshots: Snapshots) -> None:
        self.n_cells, self.can_cut, self.snapshots = n_cells, can_cut, snapshots
        self._cache = PrefixCache()
        self._has_grids = False  # else a place is a position, and nothing need be counted
        self._users: dict[int, Request] = {}
        # Unused ones and what they were read with, those left longest ago first.
        self._left: OrderedDict[int, AdapterKey] = OrderedDict((s, ()) for s in range(n_seq))
        self._evicted: OrderedDict[tuple[AdapterKey, tuple[int, ...]], None] = OrderedDict()
        self.misses: Counter[str] = Counter()
        self.n_hits = self.n_evicted = 0

    @property
    def n_free(self) -> int:
        """Cells that hold nothing."""
        return self.n_cells - self._cache.n_cells

    @property
    def n_used_by_requests(self) -> int:
        """Cells of sequences that requests use; the rest can be freed for them."""
        return self._cache.n_held_by(set(self._users))

    @property
    def idle(self) -> list[int]:
        """Sequences that nobody uses, the one that was left longest ago first."""
        return list(self._left)

    def length(self, seq_id: int) -> int:
        """How many tokens a sequence holds."""
        return self._cache.length(seq_id)

    def tokens(self, seq_id: int) -> list[int]:
        """The tokens that a sequence holds."""
        return self._cache.tokens(seq_id)

    def end(self, seq_id: int) -> int:
        """The position behind the last one that memory tells of a sequence."""
        return end_in_memory(self.tokens(seq_id)) if self._has_grids else self.length(seq_id)

    # -- a request comes and goes ----------------------------------------------------------------

    def place_for(self, request: Request) -> Place | None:
        """The best place for it; None while every sequence is used."""
        if not self._left:
            return None
        if request.prompt_logprobs:
            return self._fresh("prompt_logprobs")
        if not request.reuse:
            return self._fresh("not_wanted")
        # The last token is always read, for its logits; the one before, where a state is saved.
        most = len(request.tokens) - (2 if request.keep_state else 1)
        match = self._cache.match(request.tokens, request.adapters)
        place = (
            self._from_sequence(request, match, most) if self.can_cut else self._whole(match, most)
        )
        n_found = 0 if place is None else place.n_tokens
        snapshot = self.snapshots.longest(request.tokens, request.adapters, most)
        if snapshot is not None and len(snapshot.tokens) > n_found:
            return Place(self._emptiest(), len(snapshot.tokens), snapshot, None)
        return place or self._fresh(self._why_missed(request, match))

    def n_running_shares(self, request: Request) -> int:
        """How much of it lies in cells that running requests hold."""
        if not self.can_cut or request.prompt_logprobs or not request.reuse:
            return 0
        held = self._cache.match(request.tokens, request.adapters).held
        return max((n for seq_id, n in held.items() if seq_id in self._users), default=0)

    def n_common(self, request: Request) -> int:
        """How much of it some sequence holds, whether that can be shared or not."""
        return self._cache.match(request.tokens, request.adapters).n_tokens

    def take(self, place: Place, request: Request) -> list[Change]:
        """Give the place to the request."""
        seq_id = place.seq_id
        changes: list[Change] = []
        if place.source == seq_id:
            changes += self.cut(seq_id, place.n_tokens)
        else:
            self._remember_evicted(seq_id)
            changes += self.cut(seq_id, 0)
            changes += self._fill(place, request)
        del self._left[seq_id]
        self._users[seq_id] = request
        self._has_grids |= any(span.grid is not None for span in request.spans)
        if place.miss is None:
            self.n_hits += 1
        else:
            self.misses[place.miss] += 1
        return changes

    def release(self, seq_id: int) -> None:
        """Its request has gone; the tokens stay for others."""
        self._left[seq_id] = self._users.pop(seq_id).adapters

    def append(self, seq_id: int, tokens: Sequence[int]) -> None:
        """The sequence of a request has read these tokens."""
        self._cache.append(seq_id, tokens, self._users[seq_id].adapters)

    def cut(self, seq_id: int, n_kept: int) -> list[Change]:
        """Forget what a sequence holds behind ``n_kept`` tokens."""
        if self._cache.length(seq_id) <= n_kept:
            return []
        end = n_positions(self.tokens(seq_id)[:n_kept]) if self._has_grids else n_kept
        self._cache.cut(seq_id, n_kept)
        return [Cut(seq_id, end)]

    def evict(self, n_wanted: int) -> list[Change]:
        """Free cells that no request uses, those left longest ago first; empty: there are none.

        May free fewer than wanted: ask again.
        """
        holding = [seq_id for seq_id in self._left if self._cache.length(seq_id)]
        for seq_id in holding:
            if n := self._cache.n_exclusive(seq_id):
                return self._evict_from(seq_id, min(n, max(n_wanted, FREED_AT_A_TIME_TOKENS)))
        # What is left is shared, with requests or among each other.
        return self._evict_from(holding[0], self._cache.length(holding[0])) if holding else []

    def check_integrity(self) -> None:
        """Assert what always holds between steps."""
        self._cache.check_integrity()
        assert 0 <= self.n_free <= self.n_cells, "more in memory than there is room for"
        assert not set(self._left) & set(self._users), "a sequence is used and left"
        for seq_id, request in self._users.items():
            assert self._cache.tokens(seq_id) == request.tokens[: request.n_cached]

    # -- where the beginning of a prompt may come from -------------------------------------------

    def _from_sequence(self, request: Request, match: Match, most: int) -> Place | None:
        n = whole_beginning(request.tokens, min(match.n_tokens, most))
        sources = [seq_id for seq_id, held in match.held.items() if held >= n]
        if not n or not sources:
            return None
        for seq_id in sources:
            if seq_id in self._left and self._cache.length(seq_id) == n:
                return Place(seq_id, n, seq_id, None)  # it goes on where that one ended
        own = self._emptiest(but_not=sources[0] if len(self._left) > 1 else None)
        return Place(own, n, own if own in sources else sources[0], None)

    def _whole(self, match: Match, most: int) -> Place | None:
        """A sequence that the prompt contains whole: all that memory allows that cannot be cut."""
        contained = [
            seq_id
            for seq_id, held in match.held.items()
            if seq_id in self._left and self._cache.length(seq_id) == held <= most
        ]
        if not contained:
            return None
        seq_id = max(contained, key=self._cache.length)
        return Place(seq_id, self._cache.length(seq_id), seq_id, None)

    def _fresh(self, miss: Miss) -> Place:
        return Place(self._emptiest(), 0, None, miss)

    def _emptiest(self, but_not: int | None = None) -> int:
        """An empty sequence, else the one that was left longest ago."""
        free = [seq_id for seq_id in self._left if seq_id != but_not]
        return next((seq_id for seq_id in free if not self._cache.length(seq_id)), free[0])

    def _fill(self, place: Place, request: Request) -> list[Change]:
        if isinstance(place.source, Snapshot):
            changes = self._make_room(place.n_tokens)
            self._cache.append(place.seq_id, place.source.tokens, request.adapters)
            return [*changes, Restore(place.seq_id, place.source)]
        if place.source is not None:
            self._cache.share(place.source, place.seq_id, place.n_tokens)
            return [Share(place.source, place.seq_id, request.position(place.n_tokens))]
        return []

    def _make_room(self, n_tokens: int) -> list[Change]:
        changes: list[Change] = []
        while self.n_free < n_tokens and (freed := self.evict(n_tokens - self.n_free)):
            changes += freed
        return changes

    def _evict_from(self, seq_id: int, n: int) -> list[Change]:
        self._remember_evicted(seq_id)
        length = self._cache.length(seq_id)
        n_kept = length - n if self.can_cut else 0
        if self._has_grids:
            n_kept = whole_beginning(self.tokens(seq_id), n_kept)
        self.n_evicted += length - n_kept
        return self.cut(seq_id, n_kept)

    # -- why there was nothing to reuse ----------------------------------------------------------

    def _why_missed(self, request: Request, match: Match) -> Miss:
        if match.n_tokens:
            return "not_divisible"
        if (request.adapters, tuple(request.tokens[:HEAD_TOKENS])) in self._evicted:
            return "evicted"
        keys = {*self._left.values(), *(user.adapters for user in self._users.values())}
        others = keys - {request.adapters}
        if any(self._cache.match(request.tokens, key).n_tokens for key in others):
            return "other_adapters"
        return "cold"

    def _remember_evicted(self, seq_id: int) -> None:
        if head := tuple(self.tokens(seq_id)[:HEAD_TOKENS]):
            self._evicted[self._left[seq_id], head] = None
            if len(self._evicted) > EVICTED_REMEMBERED:
                self._evicted.popitem(last=False)
