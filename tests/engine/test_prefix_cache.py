"""The radix tree against the simplest thing that could be right: a list of cells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llamaherd.engine.prefix_cache import PrefixCache, common_prefix

tokens = st.lists(st.integers(0, 1), max_size=8)
sequences = st.integers(0, 3)


@given(st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 1), max_size=40))
def test_common_prefix_is_the_longest(left: list[int], right: list[int]) -> None:
    n = common_prefix(left, right)
    assert left[:n] == right[:n]
    assert n in (len(left), len(right)) or left[n] != right[n]


def test_shared_cells_count_once() -> None:
    cache = PrefixCache()
    cache.append(0, [1, 2, 3, 4], "")
    for target in (1, 2):
        cache.share(0, target, 3)
        cache.append(target, [10 + target], "")
    assert cache.n_cells == 6
    assert cache.n_exclusive(0) == 1
    assert cache.n_held_by({1, 2}) == 5
    cache.cut(0, 0)
    assert cache.n_cells == 5


def test_a_match_says_who_holds_how_much() -> None:
    cache = PrefixCache()
    cache.append(0, [1, 2, 3, 4], "")
    cache.share(0, 1, 2)
    cache.append(1, [7, 8], "")
    found = cache.match([1, 2, 7, 9], "")
    assert found.n_tokens == 3
    assert found.held == {0: 2, 1: 3}


def test_tokens_read_with_other_adapters_do_not_match() -> None:
    cache = PrefixCache()
    cache.append(0, [1, 2, 3], "plain")
    assert cache.match([1, 2, 3], "tuned").n_tokens == 0


def test_of_two_copies_the_longer_match_is_found() -> None:
    cache = PrefixCache()
    cache.append(0, [1, 2, 3], "")
    cache.append(1, [1, 2, 4, 5], "")
    assert cache.match([1, 2, 4, 5, 6], "").held == {1: 4}


class PrefixCacheMachine(RuleBasedStateMachine):
    """Any order of reading, sharing and cutting keeps the books of a cache of marked cells."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = PrefixCache()
        self.cells: list[tuple[int, int, set[int]]] = []  # position, token, holders

    def held(self, seq_id: int) -> list[int]:
        return [token for _, token, holders in sorted(self.cells) if seq_id in holders]

    @rule(seq_id=sequences, more=tokens)
    def append(self, seq_id: int, more: list[int]) -> None:
        start = len(self.held(seq_id))
        self.cells += [(start + at, token, {seq_id}) for at, token in enumerate(more)]
        self.cache.append(seq_id, more, "")

    @rule(seq_id=sequences, kept=st.integers(0, 10))
    def cut(self, seq_id: int, kept: int) -> None:
        for position, _, holders in self.cells:
            if position >= kept:
                holders.discard(seq_id)
        self.cells = [cell for cell in self.cells if cell[2]]
        self.cache.cut(seq_id, kept)

    @precondition(lambda self: any(self.held(s) for s in range(4)))
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from([s for s in range(4) if self.held(s)]))
        target = data.draw(sequences.filter(lambda s: s != source))
        n = data.draw(st.integers(1, len(self.held(source))))
        self.cut(target, 0)
        for position, _, holders in self.cells:
            if source in holders and position < n:
                holders.add(target)
        self.cache.share(source, target, n)

    @rule(wanted=tokens)
    def match(self, wanted: list[int]) -> None:
        found = self.cache.match(wanted, "")
        assert found.n_tokens == max(common_prefix(self.held(s), wanted) for s in range(4))
        for seq_id, n in found.held.items():
            assert self.held(seq_id)[:n] == wanted[:n]

    @invariant()
    def books_are_right(self) -> None:
        self.cache.check_integrity()
        assert self.cache.n_cells == len(self.cells)
        for seq_id in range(4):
            assert self.cache.tokens(seq_id) == self.held(seq_id)
            assert self.cache.length(seq_id) == len(self.held(seq_id))


TestPrefixCacheMachine = PrefixCacheMachine.TestCase
