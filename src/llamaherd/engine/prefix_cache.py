"""Which sequence holds which tokens: a radix tree over token ids, whose edges are cells. Pure.

An edge (:class:`_Run`) is a run of tokens that lies in memory once, held by one or more sequences:
llama.cpp marks a cell with every sequence that it belongs to. What a sequence holds is the path
from a root to its tip. Counting the tokens of all runs therefore counts the cells exactly, however
much is shared::

    root -- "system prompt" {0,1,2} --+-- "question A, answer" {0}
                                      +-- "question B" {1}
                                      +-- "question C" {2}

The same tokens may lie in memory twice, when two sequences read them without sharing; then a run
has two children that begin alike, and a search looks into both. There is a root for each set of
adapters, since the same tokens leave other cells under other weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(eq=False)
class _Run:
    """An edge of the tree.

    Attributes:
        start: position of its first token.
        tokens: what its cells hold.
        parent: the run before it; None for a root, which is empty.
        holders: sequences that hold all of it.
        children: the runs after it, by first token.
    """

    start: int
    tokens: list[int]
    parent: _Run | None
    holders: set[int]
    children: dict[int, list[_Run]] = field(default_factory=dict)

    @property
    def stop(self) -> int:
        """The position behind its last token."""
        return self.start + len(self.tokens)


@dataclass(frozen=True)
class Match:
    """The longest beginning of some tokens that lies in memory.

    Attributes:
        n_tokens: its length.
        held: for each sequence that holds some of it, how much.
    """

    n_tokens: int
    held: dict[int, int]


class PrefixCache:
    """The tree, and where each sequence ends in it."""

    def __init__(self) -> None:
        self._roots: dict[Hashable, _Run] = {}
        self._tips: dict[int, _Run] = {}
        self.n_cells = 0

    def length(self, seq_id: int) -> int:
        """How many tokens a sequence holds."""
        tip = self._tips.get(seq_id)
        return 0 if tip is None else tip.stop

    def tokens(self, seq_id: int) -> list[int]:
        """The tokens that a sequence holds."""
        runs = [run.tokens for run in self._path(seq_id)]
        return [token for run in reversed(runs) for token in run]

    def match(self, tokens: Sequence[int], key: Hashable) -> Match:
        """The longest beginning of ``tokens`` that any sequence holds under this key."""
        root = self._roots.get(key)
        path = [] if root is None else _longest_path(root, tokens, 0)
        held = {seq_id: upto for run, upto in path for seq_id in run.holders}
        return Match(path[-1][1] if path else 0, held)

    def share(self, source: int, target: int, n_tokens: int) -> None:
        """Let the empty sequence ``target`` hold the first ``n_tokens`` of ``source``."""
        assert target not in self._tips, "only an empty sequence may share"
        tip = self._cut_at(source, n_tokens)
        self._tips[target] = tip
        for run in self._path(target):
            run.holders.add(target)

    def append(self, seq_id: int, tokens: Sequence[int], key: Hashable) -> None:
        """A sequence has read further tokens; an empty one begins under ``key``."""
        if not tokens:
            return
        tip = self._tips.get(seq_id) or self._roots.setdefault(key, _Run(0, [], None, set()))
        if tip.parent is not None and len(tip.holders) == 1 and not tip.children:
            tip.tokens.extend(tokens)
        else:
            self._tips[seq_id] = _add_child(tip, list(tokens), {seq_id})
        self.n_cells += len(tokens)

    def cut(self, seq_id: int, n_kept: int) -> None:
        """A sequence holds only its first ``n_kept`` tokens any more."""
        tip = self._tips.get(seq_id)
        if tip is None or tip.stop <= n_kept:
            return
        kept = self._cut_at(seq_id, n_kept)
        lost = list(itertools.takewhile(lambda run: run is not kept, self._path(seq_id)))
        if kept.parent is None:
            del self._tips[seq_id]
        else:
            self._tips[seq_id] = kept
        for run in lost:
            run.holders.discard(seq_id)
            if not run.holders:
                self._drop(run)
        for run in (*lost, kept):
            self._merge(run)

    def n_exclusive(self, seq_id: int) -> int:
        """Cells at a sequence's end that no other sequence holds."""
        n = 0
        for run in self._path(seq_id):
            if len(run.holders) > 1:
                break
            n += len(run.tokens)
        return n

    def n_held_by(self, seq_ids: set[int]) -> int:
        """Cells that at least one of these sequences holds."""
        return sum(len(run.tokens) for run in self._runs() if not seq_ids.isdisjoint(run.holders))

    def check_integrity(self) -> None:
        """Assert what always holds."""
        runs = list(self._runs())
        assert self.n_cells == sum(len(run.tokens) for run in runs), "cells were miscounted"
        for run in runs:
            assert run.tokens, "an empty run"
            assert run.holders, "cells that nobody holds"
            assert run.parent is not None
            assert run.start == run.parent.stop
            assert run.parent.parent is None or run.holders <= run.parent.holders
            assert run in run.parent.children[run.tokens[0]]
        for seq_id in self._tips:
            assert all(seq_id in run.holders for run in self._path(seq_id))
            n_runs = sum(seq_id in run.holders for run in runs)
            assert n_runs == sum(1 for _ in self._path(seq_id)), "held off its path"

    def _path(self, seq_id: int) -> Iterator[_Run]:
        """The runs that a sequence holds, last first."""
        run = self._tips.get(seq_id)
        while run is not None and run.parent is not None:
            before = run.parent
            yield run
            run = before

    def _runs(self) -> Iterator[_Run]:
        """All runs."""
        below = list(self._roots.values())
        while below:
            run = below.pop()
            if run.parent is not None:
                yield run
            below += [child for alike in run.children.values() for child in alike]

    def _cut_at(self, seq_id: int, n: int) -> _Run:
        """The run of a sequence that ends at position ``n``, made by splitting one if need be."""
        run = self._tips[seq_id]
        while run.start >= n and run.parent is not None:
            run = run.parent
        if run.stop > n:
            self._split(run, n - run.start)
        return run

    def _split(self, run: _Run, at: int) -> None:
        """``run`` keeps its first ``at`` tokens; a new run after it takes the rest."""
        rest = _Run(run.start + at, run.tokens[at:], run, set(run.holders), run.children)
        for alike in rest.children.values():
            for child in alike:
                child.parent = rest
        for seq_id in rest.holders:
            if self._tips[seq_id] is run:
                self._tips[seq_id] = rest
        del run.tokens[at:]
        run.children = {rest.tokens[0]: [rest]}

    def _merge(self, run: _Run) -> None:
        """Take a split back that nobody needs any more."""
        below = [child for alike in run.children.values() for child in alike]
        if run.parent is None or len(below) != 1 or below[0].holders != run.holders:
            return
        (rest,) = below
        run.tokens += rest.tokens
        run.children = rest.children
        for alike in run.children.values():
            for child in alike:
                child.parent = run
        for seq_id in run.holders:
            if self._tips[seq_id] is rest:
                self._tips[seq_id] = run

    def _drop(self, run: _Run) -> None:
        """Its cells are free."""
        assert run.parent is not None
        self.n_cells -= len(run.tokens)
        alike = run.parent.children[run.tokens[0]]
        alike.remove(run)
        if not alike:
            del run.parent.children[run.tokens[0]]


def _add_child(parent: _Run, tokens: list[int], holders: set[int]) -> _Run:
    run = _Run(parent.stop, tokens, parent, holders)
    parent.children.setdefault(tokens[0], []).append(run)
    return run


def _longest_path(run: _Run, tokens: Sequence[int], start: int) -> list[tuple[_Run, int]]:
    """Runs below ``run`` that agree with ``tokens`` from ``start``, each with the end of it."""
    best: list[tuple[_Run, int]] = []
    for child in run.children.get(tokens[start], ()) if start < len(tokens) else ():
        upto = start + common_prefix(child.tokens, tokens[start : start + len(child.tokens)])
        path = [(child, upto)]
        if upto == child.stop:
            path += _longest_path(child, tokens, upto)
        if not best or path[-1][1] > best[-1][1]:
            best = path
    return best


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the longest common beginning of two lists."""
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
