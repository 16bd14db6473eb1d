"""Ids that stand for embeddings in a prompt, and the positions that its places take. Pure.

A token takes a position. The places of a sound, and mostly those of a picture, do too. Where a
model gives pictures two dimensions (M-RoPE), all places of a picture stand at the moment of its
first, and the text goes on as many positions later as the picture is wide or high; such a picture
is in memory whole or not at all. The ids say all this themselves: whoever holds a list of ids needs
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_STANDS, _STICKS, _IN_GRID = 1, 2, 4
"""Takes no position; cannot be parted from the place before; is one of a picture in a grid."""
_FLAG_BITS, _PLACE_BITS = 3, 32


def ids_of(content: int, n: int, n_grid_positions: int | None = None) -> list[int]:
    """Negative ids for ``n`` places, the same for the same content.

    Args:
        content: a number that stands for it, not negative.
        n_grid_positions: positions that a picture in a grid takes; None: each place takes its own.
    """
    return [
        -1 - ((content << _PLACE_BITS | place) << _FLAG_BITS | _flags(place, n_grid_positions))
        for place in range(n)
    ]


def _flags(place: int, n_grid_positions: int | None) -> int:
    if n_grid_positions is None:
        return 0
    sticks, stands = place > 0, place >= n_grid_positions
    return _IN_GRID | (_STICKS if sticks else 0) | (_STANDS if stands else 0)


def _has(token: int, flag: int) -> bool:
    return token < 0 and bool(-1 - token & flag)


def n_positions(tokens: Sequence[int]) -> int:
    """Positions that these places take."""
    return len(tokens) - sum(_has(token, _STANDS) for token in tokens)


def whole_beginning(tokens: Sequence[int], n: int) -> int:
    """The most places up to ``n`` that memory can hold without those behind them."""
    while n < len(tokens) and _has(tokens[n], _STICKS):
        n -= 1
    return n


def end_in_memory(tokens: Sequence[int]) -> int:
    """The position behind the last one that memory tells of these places."""
    return max(_ends(tokens), default=0)


def n_in_memory(tokens: Sequence[int], end: int) -> int:
    """How many of them memory holds, whole pictures only, if it tells of this end."""
    n = next((at for at, each in enumerate(_ends(tokens)) if each > end), len(tokens))
    return whole_beginning(tokens, n)


def _ends(tokens: Sequence[int]) -> Iterator[int]:
    """For each place, the end that memory tells if it is the last: grids count as their moment."""
    position = moment = 0
    for token in tokens:
        if not _has(token, _STICKS):
            moment = position
        position += not _has(token, _STANDS)
        yield moment + 1 if _has(token, _IN_GRID) else position
