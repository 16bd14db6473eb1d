"""Texts to vectors and scores, one call at a time or many: what ``Llama`` talks to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from llamaherd.embed.embedder import Embedder
from llamaherd.embed.inputs import Text, check_text, text_tokens, texts_of
from llamaherd.embed.pairs import pair_tokens
from llamaherd.embed.pooling import Vector, normalized, shortened
from llamaherd.embed.runner import Adapters
from llamaherd.errors import OptionError, UnsupportedError
from llamaherd.model import Model
from llamaherd.params import ContextParams, EmbeddingParams, RerankParams

_T = TypeVar("_T")


@dataclass(frozen=True)
class Embedded:
    """What became of the texts of a call.

    Attributes:
        vectors: one for each text, in order.
        n_tokens: read for them, together.
        is_single: whether the call gave one text that was not in a list.
    """

    vectors: list[Vector]
    n_tokens: int
    is_single: bool


@dataclass(frozen=True)
class Scores:
    """How well each document fits a query.

    Attributes:
        values: one for each document, in order; larger is better.
        n_tokens: read for them, together.
    """

    documents: list[str]
    values: list[float]
    n_tokens: int


class Pending(Generic[_T]):
    """What a call will return, once its texts have been read."""

    def __init__(self, future: Future[list[Vector]], finish: Callable[[list[Vector]], _T]) -> None:
        self._future, self._finish = future, finish

    def wait(self) -> _T:
        """Block this thread until then; interrupted, the call is given up."""
        try:
            return self._finish(self._future.result())
        except BaseException:
            self._future.cancel()
            raise

    async def arrive(self) -> _T:
        """The same for a coroutine; cancelled, the call is given up."""
        return self._finish(await asyncio.wrap_future(self._future))


class Embeddings:
    """Embeddings and scores of one model. Any thread. Nothing is made before the first call."""

    def __init__(self, model: Model, params: ContextParams, *, adapters: Adapters = ()) -> None:
        self._model = model
        self.embedder = Embedder(model, params, adapters=adapters)

    def close(self) -> None:
        """Fail what waits and free the contexts. May be called twice."""
        self.embedder.close()

    def embed(self, given: Text | Iterable[Text], params: EmbeddingParams) -> Pending[Embedded]:
        """Start to read texts.

        Raises:
            OptionError: no text, an empty one, or ids that the vocabulary does not have.
            InputLengthError: a text is too long.
            UnsupportedError: a model without what the pooling needs.
        """
        pooling = self._pooling(params.pooling)
        self._check_dimensions(params.dimensions)
        texts, is_single = texts_of(given)
        limit = self.embedder.n_longest
        tokens = text_tokens(self._model.vocab, texts, limit, truncate=params.truncate)
        finish = functools.partial(_embedded, params, pooling, sum(map(len, tokens)), is_single)
        return Pending(self.embedder.submit(tokens, pooling), finish)

    def rank(self, query: str, documents: Iterable[str], params: RerankParams) -> Pending[Scores]:
        """Start to compare documents with a query.

        Raises:
            As :meth:`embed`.
        """
        texts = _documents(query, documents)
        by_angle = params.method == "cosine"
        tokens, pooling = (self._apart if by_angle else self._pairs)(query, texts, params)
        finish = functools.partial(
            _scores, _cosines if by_angle else _first_outputs, texts, sum(map(len, tokens))
        )
        return Pending(self.embedder.submit(tokens, pooling), finish)

    def _pairs(
        self, query: str, documents: list[str], params: RerankParams
    ) -> tuple[list[list[int]], str]:
        """Token ids of the query with each document, and the pooling."""
        if not self._model.has_classifier:
            raise UnsupportedError(
                f"{self._model.path.name} is not made to score pairs of texts: load a reranker, or "
                "pass method='cosine' to compare embeddings"
            )
        limit = self.embedder.n_longest
        tokens = pair_tokens(self._model, query, documents, limit, truncate=params.truncate)
        return tokens, "rank"

    def _apart(
        self, query: str, documents: list[str], params: RerankParams
    ) -> tuple[list[list[int]], str]:
        """Token ids of the query and of each document, and the pooling."""
        pooling = self._pooling(params.pooling)
        if pooling == "none":
            raise UnsupportedError(
                f"{self._model.path.name} gives a vector for each token: pass pooling='mean'"
            )
        vocab, limit = self._model.vocab, self.embedder.n_longest
        asked = text_tokens(vocab, [query], limit, truncate=False, name="query")
        return [*asked, *text_tokens(vocab, documents, limit, truncate=params.truncate)], pooling

    def _pooling(self, asked: str | None) -> str:
        model = self._model
        chosen = asked or model.pooling or ("rank" if model.has_classifier else "mean")
        if chosen == "rank" and asked is None:
            raise UnsupportedError(
                f"{model.path.name} scores texts instead of embedding them: use rerank(), or name "
                "a pooling ('rank' gives its scores)"
            )
        if chosen == "rank" and not model.has_classifier:
            raise UnsupportedError(f"{model.path.name} has no classifier to score texts with")
        return chosen

    def _check_dimensions(self, n: int | None) -> None:
        if n is not None and n > self._model.n_embd_out:
            raise OptionError("dimensions", n, f"at most the model's {self._model.n_embd_out}")


def _embedded(
    params: EmbeddingParams, pooling: str, n_tokens: int, is_single: bool, vectors: list[Vector]
) -> Embedded:
    if pooling == "rank":
        return Embedded(vectors, n_tokens, is_single)
    if pooling == "none":
        return Embedded([_finished(v, params) for v in vectors], n_tokens, is_single)
    return Embedded(list(_finished(np.stack(vectors), params)), n_tokens, is_single)


def _finished(vectors: Vector, params: EmbeddingParams) -> Vector:
    if params.dimensions is not None:
        vectors = shortened(vectors, params.dimensions)
    return normalized(vectors) if params.normalize else vectors


def _documents(query: str, given: Iterable[str]) -> list[str]:
    """The documents as a list of texts, none empty, nor the query."""
    check_text(query, "query")
    documents, is_single = texts_of(given, "documents")
    if is_single:
        raise OptionError("documents", given, "a list of texts")
    return [check_text(text, f"documents[{at}]") for at, text in enumerate(documents)]


def _scores(
    score: Callable[[list[Vector]], list[float]],
    documents: list[str],
    n_tokens: int,
    vectors: list[Vector],
) -> Scores:
    return Scores(documents, score(vectors), n_tokens)


def _first_outputs(outputs: list[Vector]) -> list[float]:
    """A classifier with several outputs says first how well the texts fit."""
    return [float(output[0]) for output in outputs]


def _cosines(vectors: list[Vector]) -> list[float]:
    """Of the first vector with each of the others."""
    query, *documents = normalized(np.stack(vectors))
    return [float(query @ document) for document in documents]
