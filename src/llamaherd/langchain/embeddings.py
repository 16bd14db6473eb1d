"""LlamaCppEmbeddings: LangChain's embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

from langchain_core.embeddings import Embeddings

from llamaherd.declared import Params, split_options
from llamaherd.errors import OptionError
from llamaherd.langchain.errors import as_langchain
from llamaherd.langchain.source import ModelSource
from llamaherd.params import (
    EmbeddingParams,
)


class LlamaCppEmbeddings(ModelSource, Embeddings):
    """Vectors of texts, by a GGUF file in this process or on a llamaherd server.

    Each text gets one vector of length 1 (``normalize=False`` keeps the model's lengths), pooled as
    the model's file says. Options of :meth:`llamaherd.Llama.embed` may be given, too.

        LlamaCppEmbeddings(model_path="demo").embed_query("Hello")

    Raises:
        ModelPathError: the file is missing, or no GGUF file (a ValueError, too).
        UnknownOptionError: an option that does not exist; names the nearest.
    """

    further: ClassVar[tuple[type[Params], ...]] = (EmbeddingParams,)

    seed: int = -1
    """Without effect: nothing is drawn."""
    device: str | None = None
    """Only None or "cpu"; n_gpu_layers and devices say the rest."""
    verbose: bool = False

    def _check(self) -> None:
        if self.device not in (None, "cpu"):
            raise OptionError("device", self.device, "None, 'cpu', or devices= and n_gpu_layers=")
        super()._check()
        EmbeddingParams(**self._embedding_options())

    def _load_options(self) -> dict[str, Any]:
        found = super()._load_options()
        return {"n_gpu_layers": 0, **found} if self.device == "cpu" else found

    def _embedding_options(self) -> dict[str, Any]:
        names = EmbeddingParams.names()
        own = {name: v for name, v in self.model_kwargs.items() if name in names}
        (options,) = split_options(own, EmbeddingParams)
        if options.get("pooling") == "none":
            raise OptionError("pooling", "none", "a kind that gives one vector a text")
        return options

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vector of each text; all are read in as few batches as possible."""
        if not texts:
            return []
        with as_langchain():
            vectors = self._llama().embed(texts, **self._embedding_options())
            return [vector.tolist() for vector in vectors]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """:meth:`embed_documents` for coroutines."""
        if not texts:
            return []
        with as_langchain():
            llm = await self._allama()
            vectors = await llm.aembed(texts, **self._embedding_options())
            return [vector.tolist() for vector in vectors]

    async def aembed_query(self, text: str) -> list[float]:
        """:meth:`embed_query` for coroutines."""
        return (await self.aembed_documents([text]))[0]
