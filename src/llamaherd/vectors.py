"""The part of Llama that turns texts into vectors and scores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llamaherd.declared import split_options
from llamaherd.embed import Embedded, Embeddings, Pending, Text
from llamaherd.params import EmbeddingParams, EmbeddingResponseParams, RerankParams
from llamaherd.responses import JSON, embeddings, ranking

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llamaherd.options import EmbeddingOptions, EmbeddingResponseOptions, RerankOptions

TextOrTexts = Text | Iterable[Text]
Vectors = Any
"""A float32 array; a list of arrays for several texts with a vector for each token."""


class VectorCalls:
    """Methods of :class:`llamaherd.Llama`. Any thread."""

    model_path: str
    _embeddings: Embeddings

    def embed(self, input: TextOrTexts, **options: Unpack[EmbeddingOptions]) -> Vectors:  # noqa: A002
        """The vector of a text, or those of many; texts of all callers are read together.

        Args:
            input: a text or its token ids, or several of them.
            options: fields of :class:`EmbeddingParams`.

        Returns:
            float32: for one text shape (n_embd,), for n texts (n, n_embd). With pooling "none"
            a text has shape (n_tokens, n_embd) and several texts come as a list.

        Raises:
            InputLengthError: a text is longer than the model reads; names its index.
            OptionError: no text, an empty one, or ids that the vocabulary does not have.
            UnsupportedError: a reranker or encoder-decoder, which gives no embeddings.
        """
        return _as_given(self._start_embedding(input, options).wait())

    async def aembed(self, input: TextOrTexts, **options: Unpack[EmbeddingOptions]) -> Vectors:  # noqa: A002
        """:meth:`embed` for coroutines."""
        pending = await asyncio.to_thread(self._start_embedding, input, options)
        return _as_given(await pending.arrive())

    def create_embedding(
        self,
        input: TextOrTexts,  # noqa: A002
        **options: Unpack[EmbeddingResponseOptions],
    ) -> JSON:
        """:meth:`embed` in the shape of OpenAI's embeddings API.

        Args:
            input: a text or its token ids, or several of them.
            options: fields of :class:`EmbeddingResponseParams`.

        Raises:
            RequestError: as :meth:`embed`.
        """
        params = self._embedding_params(options)
        return self._embedding_response(self._embeddings.embed(input, params).wait(), params)

    async def acreate_embedding(
        self,
        input: TextOrTexts,  # noqa: A002
        **options: Unpack[EmbeddingResponseOptions],
    ) -> JSON:
        """:meth:`create_embedding` for coroutines."""
        params = self._embedding_params(options)
        pending = await asyncio.to_thread(self._embeddings.embed, input, params)
        return self._embedding_response(await pending.arrive(), params)

    def rerank(
        self, query: str, documents: Iterable[str], **options: Unpack[RerankOptions]
    ) -> JSON:
        """Sort documents by how well they fit a query, in the shape that llama-server gives.

        Args:
            options: fields of :class:`RerankParams`.

        Returns:
            ``results``, best first, each with ``index`` and ``relevance_score`` as the model gives
            it; ``usage`` counts the tokens read.

        Raises:
            UnsupportedError: no reranker, and ``method`` is not "cosine".
            RequestError: as :meth:`embed`.
        """
        params = self._rerank_params(options)
        scores = self._embeddings.rank(query, documents, params).wait()
        return ranking(scores, params.model or self.model_path, params)

    async def arerank(
        self, query: str, documents: Iterable[str], **options: Unpack[RerankOptions]
    ) -> JSON:
        """:meth:`rerank` for coroutines."""
        params = self._rerank_params(options)
        pending = await asyncio.to_thread(self._embeddings.rank, query, documents, params)
        return ranking(await pending.arrive(), params.model or self.model_path, params)

    def _start_embedding(self, given: TextOrTexts, options: Mapping[str, Any]) -> Pending[Embedded]:
        (own,) = split_options(options, EmbeddingParams, also=("input",))
        return self._embeddings.embed(given, EmbeddingParams(**own))

    @staticmethod
    def _embedding_params(options: Mapping[str, Any]) -> EmbeddingResponseParams:
        (own,) = split_options(options, EmbeddingResponseParams, also=("input",))
        return EmbeddingResponseParams(**own)

    @staticmethod
    def _rerank_params(options: Mapping[str, Any]) -> RerankParams:
        (own,) = split_options(options, RerankParams, also=("query", "documents"))
        return RerankParams(**own)

    def _embedding_response(self, embedded: Embedded, params: EmbeddingResponseParams) -> JSON:
        return embeddings(embedded, params.model or self.model_path, params.encoding_format)


def _as_given(embedded: Embedded) -> Vectors:
    """One vector for one text; several in one array, unless their shapes differ."""
    vectors = embedded.vectors
    if embedded.is_single:
        return vectors[0]
    return vectors if vectors[0].ndim > 1 else np.stack(vectors)
