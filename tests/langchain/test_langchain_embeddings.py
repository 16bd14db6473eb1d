"""LlamaCppEmbeddings: the official suites, and what they do not ask."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.exceptions import ContextOverflowError
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from llamaherd import InputLengthError, OptionError
from llamaherd.langchain import LlamaCppEmbeddings


class _Demo:
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LlamaCppEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model_path": "demo", "n_threads": 1}


class TestUnitSuite(_Demo, EmbeddingsUnitTests):
    """The official unit suite."""

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"LLAMAHERD_API_KEY": "a-key"},
            {"base_url": "http://127.0.0.1:8080"},
            {"api_key": "a-key"},
        )


class TestIntegrationSuite(_Demo, EmbeddingsIntegrationTests):
    """The official integration suite."""


@pytest.fixture
def model() -> LlamaCppEmbeddings:
    return LlamaCppEmbeddings(model_path="demo", n_threads=1)


def test_each_text_has_one_vector_of_length_one(model: LlamaCppEmbeddings) -> None:
    vectors = np.array(model.embed_documents(["one", "two words", "three words here"]))
    assert vectors.shape == (3, 256)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_query_is_read_like_a_document(model: LlamaCppEmbeddings) -> None:
    assert np.allclose(model.embed_query("cats"), model.embed_documents(["cats"])[0], atol=1e-3)


def test_no_texts_no_vectors(model: LlamaCppEmbeddings) -> None:
    assert model.embed_documents([]) == []


async def test_coroutines_get_the_same(model: LlamaCppEmbeddings) -> None:
    found = await asyncio.gather(*(model.aembed_query(text) for text in ["a", "b"]))
    assert np.allclose(found, model.embed_documents(["a", "b"]), atol=1e-3)
    assert await model.aembed_documents([]) == []


def test_options() -> None:
    options: dict[str, Any] = {"normalize": False, "pooling": "last"}
    model = LlamaCppEmbeddings(model_path="demo", n_threads=1, **options)
    assert abs(np.linalg.norm(model.embed_query("cats")) - 1) > 0.01
    with pytest.raises(OptionError, match="pooling"):
        LlamaCppEmbeddings(model_path="demo", model_kwargs={"pooling": "none"})
    with pytest.raises(OptionError, match="device"):
        LlamaCppEmbeddings(model_path="demo", device="tpu")


def test_an_over_long_text_is_an_overflow() -> None:
    model = LlamaCppEmbeddings(model_path="demo", n_threads=1, n_ctx=256)
    with pytest.raises(ContextOverflowError) as caught:
        model.embed_documents(["short", "word " * 3000])
    assert isinstance(caught.value, InputLengthError)
    assert caught.value.index == 1


def test_fills_a_vector_store(model: LlamaCppEmbeddings) -> None:
    store = InMemoryVectorStore.from_texts(["a cat", "25 x 5 = 125"], model)
    (found,) = store.similarity_search("25 x 5 = 125", k=1)
    assert found.page_content == "25 x 5 = 125"
