"""LlamaCppReranker: documents in the order of their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bert import random_bert
from langchain_core.documents import Document
from langchain_core.exceptions import ModelInvalidRequestError

from llamaherd import Llama, OptionError
from llamaherd.langchain import LlamaCppReranker

QUERY = "what is the cat doing?"
DOCUMENTS = [
    Document("the cat is sleeping.", metadata={"page": 1}),
    Document("3 dogs, barking!"),
    Document("the"),
    Document("is it sleeping, the cat?", id="four"),
]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> str:
    bert = random_bert(classifier=True)
    return str(bert.write(tmp_path_factory.mktemp("models") / "ranker.gguf", None))


def test_the_best_come_first_with_their_scores(ranker: str) -> None:
    found = LlamaCppReranker(model_path=ranker, n_threads=1).compress_documents(DOCUMENTS, QUERY)
    assert len(found) == 3
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    with Llama(ranker, n_threads=1) as llm:
        expected = llm.rerank(QUERY, [document.page_content for document in DOCUMENTS])
    best = DOCUMENTS[expected["results"][0]["index"]]
    assert found[0].page_content == best.page_content


def test_documents_are_copied_with_all_they_say(ranker: str) -> None:
    model = LlamaCppReranker(model_path=ranker, n_threads=1, top_n=None)
    found = {d.page_content: d for d in model.compress_documents(DOCUMENTS, QUERY)}
    assert len(found) == 4
    assert found["the cat is sleeping."].metadata["page"] == 1
    assert found["is it sleeping, the cat?"].id == "four"
    assert DOCUMENTS[1].metadata == {}


async def test_coroutines_get_the_same(ranker: str) -> None:
    model = LlamaCppReranker(model_path=ranker, n_threads=1)
    found = await model.acompress_documents(DOCUMENTS, QUERY)
    expected = model.compress_documents(DOCUMENTS, QUERY)
    assert [d.page_content for d in found] == [d.page_content for d in expected]
    assert await model.acompress_documents([], QUERY) == []


def test_no_documents_no_result(ranker: str) -> None:
    assert LlamaCppReranker(model_path=ranker).compress_documents([], QUERY) == []


def test_any_model_compares_by_angle() -> None:
    options: dict[str, Any] = {"method": "cosine"}
    model = LlamaCppReranker(model_path="demo", n_threads=1, top_n=1, **options)
    (found,) = model.compress_documents(DOCUMENTS, "the cat is sleeping.")
    assert found.page_content == "the cat is sleeping."


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalidRequestError, match="cosine"):
        LlamaCppReranker(model_path="demo").compress_documents(DOCUMENTS, QUERY)
    with pytest.raises(OptionError, match="top_n"):
        LlamaCppReranker(model_path="demo", top_n=0)
    with pytest.raises(ValueError, match="Could not load"):
        LlamaCppReranker(model_path=str(tmp_path / "missing"))
