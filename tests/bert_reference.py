"""BERT in NumPy, to compare llama.cpp's vectors with: nothing here comes from llama.cpp.

After Devlin et al. 2019 and the names of Hugging Face's transformers.
"""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
from bert import Bert

Array = npt.NDArray[np.float32]
_erf = np.vectorize(math.erf, otypes=[np.float32])


def token_ids(bert: Bert, text: str) -> list[int]:
    """WordPiece of lower-case ASCII text: the longest piece that fits, from left to right."""
    place = {word: at for at, word in enumerate(bert.vocabulary)}
    found = [place["[CLS]"]]
    for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()):
        found += _pieces(place, word)
    return [*found, place["[SEP]"]]


def _pieces(place: dict[str, int], word: str) -> list[int]:
    pieces: list[int] = []
    at = 0
    while at < len(word):
        mark = "##" if at else ""
        ends = (end for end in range(len(word), at, -1) if mark + word[at:end] in place)
        end = next(ends, None)
        if end is None:
            return [place["[UNK]"]]
        pieces.append(place[mark + word[at:end]])
        at = end
    return pieces


def hidden_states(bert: Bert, ids: list[int]) -> Array:
    """The last layer's output, shape (n_tokens, width)."""
    weights = bert.weights
    state = weights["embeddings.word_embeddings.weight"][ids]
    state = state + weights["embeddings.position_embeddings.weight"][: len(ids)]
    state = state + weights["embeddings.token_type_embeddings.weight"][0]
    state = _norm(bert, "embeddings.LayerNorm", state)
    for at in range(bert.n_layers):
        state = _layer(bert, f"encoder.layer.{at}.", state)
    return state


def score(bert: Bert, ids: list[int]) -> float:
    """What the classifier makes of the first token."""
    pooled = np.tanh(_linear(bert, "pooler.dense", hidden_states(bert, ids)[0]))
    return float(_linear(bert, "classifier", pooled)[0])


def _layer(bert: Bert, name: str, state: Array) -> Array:
    mixed = _linear(bert, f"{name}attention.output.dense", _attention(bert, name, state))
    state = _norm(bert, f"{name}attention.output.LayerNorm", state + mixed)
    inner = _linear(bert, f"{name}intermediate.dense", state)
    inner = inner * 0.5 * (1 + _erf(inner / math.sqrt(2)))
    outer = _linear(bert, f"{name}output.dense", inner)
    return _norm(bert, f"{name}output.LayerNorm", state + outer)


def _attention(bert: Bert, name: str, state: Array) -> Array:
    n, width = state.shape
    heads = (n, bert.n_heads, width // bert.n_heads)
    query, key, value = (
        _linear(bert, f"{name}attention.self.{part}", state).reshape(heads).swapaxes(0, 1)
        for part in ("query", "key", "value")
    )
    weights = np.exp(query @ key.swapaxes(1, 2) / math.sqrt(heads[2]))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed: Array = (weights @ value).swapaxes(0, 1).reshape(n, width)
    return mixed


def _linear(bert: Bert, name: str, state: Array) -> Array:
    product: Array = state @ bert.weights[f"{name}.weight"].T + bert.weights[f"{name}.bias"]
    return product


def _norm(bert: Bert, name: str, state: Array) -> Array:
    centred = state - state.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    normed: Array = scaled * bert.weights[f"{name}.weight"] + bert.weights[f"{name}.bias"]
    return normed
