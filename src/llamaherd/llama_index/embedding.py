"""Embeddings for LlamaIndex."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.bridge.pydantic import Field

from llamaherd.declared import Params
from llamaherd.errors import OptionError
from llamaherd.llama_index.component import ModelComponent
from llamaherd.params import (
    EmbeddingParams,
)


class LlamaCppEmbedding(ModelComponent, BaseEmbedding):
    """Vectors of texts by a GGUF model, read together with those of all other callers.

    Args:
        model: a path to a GGUF file, or ``"demo"``; ``model_path`` is another name for it. With
            ``base_url``, one of the server's models; None: its first.
        query_instruction: what the model expects before a query, for instance ``"query: "``.
        text_instruction: what it expects before a text to be found.
        embed_batch_size: texts a call of :class:`Llama`, which packs them by itself.
        fields: options of :class:`Llama` and of :class:`EmbeddingParams`; fields of LlamaIndex's
            ``BaseEmbedding``.

    Raises:
        ModelLoadError: there is no such file.
        UnknownOptionError: names the nearest option.
        OptionError: a value out of range.
    """

    call_kinds: ClassVar[tuple[type[Params], ...]] = (EmbeddingParams,)

    embed_batch_size: int = Field(default=512, gt=0, le=2048)
    query_instruction: str = ""
    text_instruction: str = ""

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(model, model_path=model_path, **fields)
        if "model_name" not in self.model_fields_set:
            self.model_name = self._source.name

    @classmethod
    def class_name(cls) -> str:
        """The name in dumps."""
        return "LlamaCppEmbedding"

    @classmethod
    def _check(cls, options: Any) -> None:
        super()._check(options)
        if options.get("pooling") in ("none", "rank"):
            raise OptionError("pooling", options["pooling"], "one that gives a vector for a text")

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([self.query_instruction + query])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([self.query_instruction + query]))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed([self.text_instruction + text for text in texts])

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed([self.text_instruction + text for text in texts])

    def _embed(self, texts: list[str]) -> list[Embedding]:
        return self._source.get().embed(texts, **self._call_options({})).tolist()  # type: ignore[no-any-return]

    async def _aembed(self, texts: list[str]) -> list[Embedding]:
        llama = await self._source.aget()
        return (await llama.aembed(texts, **self._call_options({}))).tolist()  # type: ignore[no-any-return]
