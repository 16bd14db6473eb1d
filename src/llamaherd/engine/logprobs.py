"""Log-probabilities from logits, without sorting the vocabulary."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llamaherd.engine.request import TokenLogprob


def token_logprob(logits: npt.NDArray[np.float32], token: int, n_top: int) -> TokenLogprob:
    """The log-probability of ``token`` and of the ``n_top`` likeliest tokens.

    log softmax: logit - max - log(sum(exp(logits - max))). ``n_top`` tokens are found by
    partition, in time linear in the vocabulary; ties go to the smaller id.

    Args:
        logits: shape (n_vocab,).
    """
    peak = float(logits.max())
    norm = peak + float(np.log(np.exp(logits - peak).sum(dtype=np.float64)))
    n_top = min(n_top, logits.size)
    top: tuple[tuple[int, float], ...] = ()
    if n_top:
        best = np.argpartition(logits, logits.size - n_top)[logits.size - n_top :]
        order = np.lexsort((best, -logits[best]))
        top = tuple((int(i), float(logits[i]) - norm) for i in best[order])
    return TokenLogprob(token, float(logits[token]) - norm, top)
