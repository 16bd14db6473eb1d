"""From the vectors of tokens and pieces to the vector of a text. Pure.

llama.cpp pools within one batch; what is here is the part beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""Shape (n_embd,); with pooling "none" (n_tokens, n_embd); with "rank" (n_scores,)."""


def combine(pooling: str, pieces: Sequence[Vector], lengths: Sequence[int]) -> Vector:
    """The vector of a text from those of its pieces, in order.

    Args:
        pieces: each pooled by itself.
        lengths: of the pieces, in tokens.
    """
    if len(pieces) == 1 or pooling == "cls":
        return pieces[0]
    if pooling == "none":
        return np.concatenate(pieces)
    if pooling == "mean":
        return np.average(pieces, axis=0, weights=lengths).astype(np.float32)
    return pieces[-1]  # "last" and "rank" look at the last token, which has seen all pieces


def normalized(vectors: Vector) -> Vector:
    """Rows of length 1, whatever the number of axes; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: Vector = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return found


def shortened(vectors: Vector, n_dimensions: int) -> Vector:
    """The first numbers of each row, for models trained to be cut (Matryoshka)."""
    kept: Vector = vectors[..., :n_dimensions]
    return kept
