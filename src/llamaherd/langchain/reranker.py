"""LlamaCppReranker: LangChain's document compressor that sorts by fitness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document

from llamaherd.declared import Params, split_options
from llamaherd.langchain.errors import as_langchain
from llamaherd.langchain.source import ModelSource
from llamaherd.params import (
    RerankParams,
)


class LlamaCppReranker(ModelSource, BaseDocumentCompressor):
    """Keeps the documents that fit a query best, by a GGUF file or on a llamaherd server.

    The score is in ``metadata["relevance_score"]``. ``method="cosine"`` compares embeddings
    instead, which any model can; other options of :meth:`llamaherd.Llama.rerank` may be given, too.

        reranker = LlamaCppReranker(model_path="bge-reranker.gguf", top_n=3)
        ContextualCompressionRetriever(base_compressor=reranker, base_retriever=...)

    Raises:
        ModelPathError: the file is missing, or no GGUF file (a ValueError, too).
        UnknownOptionError: an option that does not exist; names the nearest.
    """

    further: ClassVar[tuple[type[Params], ...]] = (RerankParams,)

    top_n: int | None = 3
    """How many to keep; None: all, sorted."""
    verbose: bool = False

    def _check(self) -> None:
        super()._check()
        RerankParams(**self._rerank_options())

    def _rerank_options(self) -> dict[str, Any]:
        names = RerankParams.names()
        own = {name: v for name, v in self.model_kwargs.items() if name in names}
        (options,) = split_options({**own, "top_n": self.top_n}, RerankParams)
        return options

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents that fit best, best first; they are copied."""
        if not documents:
            return []
        texts = [document.page_content for document in documents]
        with as_langchain():
            return _ranked(documents, self._llama().rerank(query, texts, **self._rerank_options()))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """:meth:`compress_documents` for coroutines."""
        if not documents:
            return []
        texts = [document.page_content for document in documents]
        with as_langchain():
            llm = await self._allama()
            return _ranked(documents, await llm.arerank(query, texts, **self._rerank_options()))


def _ranked(documents: Sequence[Document], ranking: dict[str, Any]) -> list[Document]:
    found = []
    for result in ranking["results"]:
        document = documents[result["index"]]
        scored = {**document.metadata, "relevance_score": result["relevance_score"]}
        found.append(document.model_copy(update={"metadata": scored}))
    return found
