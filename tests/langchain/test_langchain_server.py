"""The same classes on a llamaherd server: the official suites, and what they do not ask."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_suite import ChatSuite
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
)
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from serving import DEMO, Running, serving, wait_until

from llamaherd import ContextLengthError, ServerError
from llamaherd.langchain import ChatLlamaCpp, LlamaCpp, LlamaCppEmbeddings, LlamaCppReranker
from llamaherd.server.settings import ModelSettings

pytestmark = [
    pytest.mark.usefixtures("downloads", "address"),
    pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"),
    pytest.mark.filterwarnings("ignore:.*is in beta:langchain_core._api.LangChainBetaWarning"),
]
THINKER = "thinker"


class Address:
    """Where the server is; the suites ask for parameters where no fixture can be had."""

    url = ""


@pytest.fixture(scope="module")
def address(mmproj: Path) -> Any:
    """A server of the demo model, once as it is and once with a template that makes it think."""
    from chat_suite import THINKER as TEMPLATE

    options = {**DEMO.options, "n_parallel": 16, "mmproj": str(mmproj)}
    plain = ModelSettings(name="demo", file="demo", options=options)
    thinking = {**DEMO.options, "chat_template": TEMPLATE}
    with serving(plain, ModelSettings(name=THINKER, file="demo", options=thinking)) as running:
        Address.url = running.url
        yield running


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    """test_stream_time may replay HTTP from a cassette; here it asks the server."""
    return {"ignore_localhost": True}


class TestChatSuite(ChatSuite):
    """The official suite, over HTTP."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        options = {"temperature": 0, "max_tokens": 128, "fetch_urls": True}
        return {"base_url": Address.url, **options}

    @property
    def model_override_value(self) -> str:
        return "demo"

    @property
    def thinker(self) -> dict[str, Any]:
        return {"model": THINKER}


class TestEmbeddingsSuite(EmbeddingsIntegrationTests):
    """The official suite, over HTTP."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LlamaCppEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": Address.url}


@pytest.fixture
def chat() -> ChatLlamaCpp:
    return ChatLlamaCpp(base_url=Address.url, temperature=0, max_tokens=64)


def test_answers_as_in_process(chat: ChatLlamaCpp) -> None:
    here = ChatLlamaCpp(model_path="demo", n_threads=1, temperature=0)
    there = chat.invoke("what is 25x5")
    assert there.content == here.invoke("what is 25x5").content
    assert there.response_metadata["model_name"] == "demo"
    assert there.usage_metadata is not None
    assert there.usage_metadata["input_tokens"] > 0


async def test_sixteen_coroutines_are_one_batch(chat: ChatLlamaCpp, address: Running) -> None:
    await chat.ainvoke("Hello")
    before = address.llm.stats()
    found = await asyncio.gather(*(chat.ainvoke(f"what is {i} x 3") for i in range(1, 17)))
    after = address.llm.stats()
    assert all(isinstance(message, AIMessage) for message in found)
    generated = after.generated_tokens - before.generated_tokens
    assert after.steps - before.steps < generated / 3


def test_leaving_a_stream_ends_the_answer(chat: ChatLlamaCpp, address: Running) -> None:
    before = address.llm.stats().finished.get("cancelled", 0)
    stream = chat.stream("Hello", ignore_eos=True, max_tokens=2000)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    wait_until(lambda: address.llm.stats().finished.get("cancelled", 0) == before + 1)


async def test_leaving_an_asynchronous_stream_ends_the_answer(
    chat: ChatLlamaCpp, address: Running
) -> None:
    before = address.llm.stats().finished.get("cancelled", 0)
    stream = chat.astream("Hello", ignore_eos=True, max_tokens=2000)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    for _ in range(2000):
        if address.llm.stats().finished.get("cancelled", 0) == before + 1:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it was not cancelled")


def test_tokens_are_counted_by_the_server(chat: ChatLlamaCpp) -> None:
    usage = chat.invoke("what is 25x5").usage_metadata
    assert usage is not None
    counted = chat.get_num_tokens_from_messages([HumanMessage("what is 25x5")])
    assert counted == usage["input_tokens"]
    assert chat.get_num_tokens("25") == 2


def test_errors_are_of_both_families(chat: ChatLlamaCpp) -> None:
    with pytest.raises(ContextOverflowError) as overflow:
        chat.invoke("word " * 9000)
    assert isinstance(overflow.value, ContextLengthError)
    with pytest.raises(ContextOverflowError):
        list(chat.stream("word " * 9000))
    with pytest.raises(ModelNotFoundError) as missing:
        chat.invoke("Hello", model="nowhere")
    assert isinstance(missing.value, ServerError)
    with pytest.raises(ModelInvalidRequestError):
        chat.invoke("Hello", temprature=1)
    with pytest.raises(ModelConnectionError) as gone:
        ChatLlamaCpp(base_url="http://127.0.0.1:9", max_retries=0).invoke("Hello")
    assert gone.value.is_retryable


def test_profile_and_dump(chat: ChatLlamaCpp) -> None:
    assert chat.profile is not None
    assert chat.profile["structured_output"]
    assert Address.url in dumps(chat)


async def test_completion() -> None:
    llm = LlamaCpp(base_url=Address.url, temperature=0)
    prompt = "<|im_start|>user\nwhat is 25x5<|im_end|>\n<|im_start|>assistant\n"
    assert llm.invoke(prompt) == "25 x 5 = 125"
    assert "".join(llm.stream(prompt)) == "25 x 5 = 125"
    assert "".join([piece async for piece in llm.astream(prompt)]) == "25 x 5 = 125"


async def test_embeddings_and_reranker() -> None:
    there = LlamaCppEmbeddings(base_url=Address.url)
    here = LlamaCppEmbeddings(model_path="demo", n_threads=1)
    assert np.allclose(there.embed_query("cats"), here.embed_query("cats"), atol=1e-3)
    options: dict[str, Any] = {"method": "cosine"}
    reranker = LlamaCppReranker(base_url=Address.url, top_n=1, **options)
    documents = [Document("dogs bark"), Document("a cat")]
    (found,) = reranker.compress_documents(documents, "a cat")
    assert found.page_content == "a cat"
    assert await reranker.acompress_documents(documents, "a cat") == [found]
