"""Nodes in the order of how well they answer a query."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher

from llamaherd.declared import Params
from llamaherd.errors import OptionError
from llamaherd.llama_index.component import ModelComponent
from llamaherd.params import (
    RerankParams,
)

_dispatcher = get_dispatcher(__name__)


class LlamaCppRerank(ModelComponent, BaseNodePostprocessor):
    """Scores nodes by a GGUF reranker, or by the angle between embeddings (``method="cosine"``).

    Args:
        model: a path to a GGUF file, or ``"demo"``; ``model_path`` is another name for it. With
            ``base_url``, one of the server's models; None: its first.
        top_n: how many of the best to keep; None: all.
        fields: options of :class:`Llama` and of :class:`RerankParams`.

    Raises:
        ModelLoadError: there is no such file.
        UnknownOptionError: names the nearest option.
        OptionError: a value out of range.
    """

    call_kinds: ClassVar[tuple[type[Params], ...]] = (RerankParams,)
    reserved = ("top_n", "return_documents")

    top_n: int | None = Field(default=None, ge=1)

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(model, model_path=model_path, **fields)

    @classmethod
    def class_name(cls) -> str:
        """The name in dumps."""
        return "LlamaCppRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._reported(nodes, query) as done:
            found = self._source.get().rerank(query, _texts(nodes), **self._rank_options())
            done += _ranked(nodes, found)
        return done

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        llama = await self._source.aget()
        with self._reported(nodes, query) as done:
            found = await llama.arerank(query, _texts(nodes), **self._rank_options())
            done += _ranked(nodes, found)
        return done

    def _rank_options(self) -> dict[str, Any]:
        return {**self._call_options({}), "top_n": self.top_n}

    @contextmanager
    def _reported(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Tell both kinds of observers; what the block puts into the list is the outcome."""
        name, top_n = self._source.name, self.top_n or len(nodes)
        start = ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name)
        _dispatcher.event(start)
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        done: list[NodeWithScore] = []
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield done
            event.on_end(payload={EventPayload.NODES: done})
        _dispatcher.event(ReRankEndEvent(nodes=done))


def _query(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise OptionError("query_bundle", bundle, "a query: pass query_bundle= or query_str=")
    return bundle.query_str


def _texts(nodes: list[NodeWithScore]) -> list[str]:
    return [each.node.get_content(metadata_mode=MetadataMode.EMBED) for each in nodes]


def _ranked(nodes: list[NodeWithScore], found: dict[str, Any]) -> list[NodeWithScore]:
    """New objects, best first: the caller's keep the score that the retriever gave."""
    return [
        NodeWithScore(node=nodes[each["index"]].node, score=each["relevance_score"])
        for each in found["results"]
    ]
