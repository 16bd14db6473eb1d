"""Every text is read once, in order, in batches that are not too large; short calls do not wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llamaherd.embed.packing import Call, Packer, Slice

Lengths = list[list[int]]
lengths = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=6)


def _call(lengths: list[int]) -> Call:
    return Call([list(range(length)) for length in lengths])


def _batches(
    packer: Packer[Call], n_tokens: int, n_piece: int, n_seq: int
) -> list[list[Slice[Call]]]:
    found = []
    while batch := packer.next_batch(n_tokens, n_piece, n_seq):
        found.append(batch)
    return found


def _all_batches(
    texts: Lengths, n_tokens: int, n_piece: int, n_seq: int
) -> list[list[Slice[Call]]]:
    packer: Packer[Call] = Packer()
    for each in texts:
        packer.add(_call(each))
    return _batches(packer, n_tokens, n_piece, n_seq)


@given(lengths, st.integers(1, 30), st.integers(0, 30), st.integers(1, 8))
def test_every_token_is_read_once_and_in_order(
    texts: Lengths, n_tokens: int, more: int, n_seq: int
) -> None:
    pieces = [
        piece for batch in _all_batches(texts, n_tokens, n_tokens + more, n_seq) for piece in batch
    ]
    for call in {piece.call for piece in pieces}:
        own = [piece for piece in pieces if piece.call is call]
        read = [(piece.index, token) for piece in own for token in piece.tokens]
        assert read == [(at, token) for at, text in enumerate(call.texts) for token in text]
    assert sum(len(piece.tokens) for piece in pieces) == sum(map(sum, texts))


@given(lengths, st.integers(1, 30), st.integers(0, 30), st.integers(1, 8))
def test_batches_are_not_too_large(texts: Lengths, n_tokens: int, more: int, n_seq: int) -> None:
    for batch in _all_batches(texts, n_tokens, n_tokens + more, n_seq):
        assert len(batch) <= n_seq
        length = sum(len(piece.tokens) for piece in batch)
        assert length <= (n_tokens if len(batch) > 1 else n_tokens + more)


@given(lengths, st.integers(1, 30), st.integers(1, 8))
def test_a_text_begun_is_read_to_its_end_alone(texts: Lengths, n_tokens: int, n_seq: int) -> None:
    unfinished: Slice[Call] | None = None
    for batch in _all_batches(texts, n_tokens, n_tokens, n_seq):
        if unfinished is not None:
            (piece,) = batch
            assert (piece.call, piece.index) == (unfinished.call, unfinished.index)
            assert piece.start == unfinished.stop
        unfinished = None if batch[-1].is_last else batch[-1]
    assert unfinished is None


@given(st.lists(st.integers(1, 10), min_size=20, max_size=60))
def test_batches_of_short_texts_are_full(texts: list[int]) -> None:
    batches = _all_batches([texts], 40, 40, 256)
    for batch in batches[:-1]:
        assert sum(len(piece.tokens) for piece in batch) > 40 - 10


def test_a_short_call_does_not_wait_for_a_long_one() -> None:
    packer: Packer[Call] = Packer()
    packer.add(_call([10] * 1000))
    packer.next_batch(100, 100, 256)
    short = _call([10])
    packer.add(short)
    assert short in [piece.call for piece in packer.next_batch(100, 100, 256)]


def test_a_text_longer_than_a_batch_is_read_whole_where_it_must_be() -> None:
    (batch,) = _all_batches([[50]], 10, 64, 4)
    assert [len(piece.tokens) for piece in batch] == [50]


def test_it_knows_whether_memory_holds_the_beginning_of_a_text() -> None:
    packer: Packer[Call] = Packer()
    packer.add(_call([25]))
    states = [packer.is_inside_text]
    for _ in range(3):
        packer.next_batch(10, 10, 4)
        states.append(packer.is_inside_text)
    assert states == [False, True, True, False]


def test_a_dropped_call_is_forgotten_and_others_are_not() -> None:
    packer: Packer[Call] = Packer()
    long, other = _call([25, 5]), _call([5])
    packer.add(long)
    packer.add(other)
    packer.next_batch(10, 10, 4)
    assert packer.calls[0] is long
    packer.drop(long)
    assert packer.calls == [other]
    assert [piece.call for batch in _batches(packer, 10, 10, 4) for piece in batch] == [other]
