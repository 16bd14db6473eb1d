"""The same classes against a real llamaherd server, over a loopback socket."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from index_fixtures import JOKE, WEATHER, WEATHER_TOOL, Joke
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import ValidationError
from serving import Running, wait_until

from llamaherd import ContextLengthError, OptionError
from llamaherd.errors import ServerUnreachableError
from llamaherd.llama_index import LlamaCppEmbedding, LlamaCppLLM, LlamaCppRerank

ASK = PromptTemplate("Tell me a joke about {animal}.")


@pytest.fixture(scope="module")
def llm(server: Running) -> LlamaCppLLM:
    return LlamaCppLLM(base_url=f"{server.url}/v1", temperature=0, max_tokens=64)


@pytest.fixture(scope="module")
def local() -> LlamaCppLLM:
    return LlamaCppLLM("demo", temperature=0, max_tokens=64, n_threads=1)


def test_the_metadata_is_the_servers(llm: LlamaCppLLM, server: Running) -> None:
    found = llm.metadata
    assert found.context_window == server.llm.n_ctx() == 4096
    assert found.is_chat_model
    assert found.is_function_calling_model
    assert LlamaCppLLM("demo", base_url=server.url).metadata.model_name == "demo"
    assert llm.tokenize("hello") == server.llm.tokenize("hello", add_bos=False)


async def test_answers_are_those_of_this_process(llm: LlamaCppLLM, local: LlamaCppLLM) -> None:
    expected = local.chat(JOKE).message
    assert llm.chat(JOKE).message == expected
    assert (await llm.achat(JOKE)).message == expected
    streamed = list(llm.stream_chat(JOKE))
    assert streamed[-1].message == expected
    assert "".join(r.delta or "" for r in streamed) == expected.content
    assert (streamed[-1].raw or {})["usage"]["completion_tokens"] > 5
    assert [r.message async for r in await llm.astream_chat(JOKE)][-1] == expected
    assert llm.complete("Tell me a joke about birds.").text == expected.content
    raw = "def add(a, b):"
    expected_text = local.complete(raw, formatted=True).text
    assert llm.complete(raw, formatted=True).text == expected_text
    assert [r.text for r in llm.stream_complete(raw, formatted=True)][-1] == expected_text


async def test_tools_and_objects_too(llm: LlamaCppLLM, local: LlamaCppLLM) -> None:
    for response in (
        llm.chat_with_tools([WEATHER_TOOL], WEATHER),
        list(llm.stream_chat_with_tools([WEATHER_TOOL], WEATHER))[-1],
    ):
        (call,) = llm.get_tool_calls_from_response(response)
        assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"location": "Paris"})
    joke = local.structured_predict(Joke, ASK, animal="cats")
    assert llm.structured_predict(Joke, ASK, animal="cats") == joke
    growing = [g async for g in await llm.astream_structured_predict(Joke, ASK, animal="cats")]
    assert growing[-1] == joke


async def test_embeddings_and_rankings_too(server: Running) -> None:
    here = LlamaCppEmbedding("demo", n_threads=1)
    there = LlamaCppEmbedding("demo", base_url=server.url)
    texts = ["what is 25x5", "Tell me a joke about birds."]
    expected = pytest.approx(here.get_text_embedding_batch(texts)[0], abs=5e-3)
    assert there.get_text_embedding_batch(texts)[0] == expected
    assert (await there.aget_text_embedding_batch(texts))[0] == expected
    assert there.model_name == "demo"
    rerank = LlamaCppRerank(base_url=server.url, method="cosine", top_n=1)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in texts]
    for found in (
        rerank.postprocess_nodes(nodes, query_str="what is 30x7"),
        await rerank.apostprocess_nodes(nodes, query_str="what is 30x7"),
    ):
        assert [n.node.get_content() for n in found] == texts[:1]


async def test_leaving_a_stream_ends_its_request_on_the_server(
    llm: LlamaCppLLM, server: Running
) -> None:
    def n_cancelled() -> int:
        return server.llm.stats().finished.get("cancelled", 0)

    before = n_cancelled()
    stream = llm.stream_chat(JOKE, max_tokens=3000, ignore_eos=True)
    next(stream)
    stream.close()
    await asyncio.to_thread(wait_until, lambda: n_cancelled() == before + 1)
    astream = await llm.astream_chat(JOKE, max_tokens=3000, ignore_eos=True)
    async for _ in astream:
        break
    await astream.aclose()
    del astream
    await asyncio.to_thread(wait_until, lambda: n_cancelled() == before + 2)


def test_errors_are_the_same_kinds(llm: LlamaCppLLM) -> None:
    with pytest.raises(ContextLengthError):
        llm.complete("word " * 9000)
    with pytest.raises(OptionError, match="tool_choice"):
        llm.chat_with_tools([WEATHER_TOOL], WEATHER, tool_choice="other")
    nowhere = LlamaCppLLM(base_url="http://127.0.0.1:9", max_retries=0)
    with pytest.raises(ServerUnreachableError):
        nowhere.complete("hello")


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"n_ctx": 512}, OptionError, "n_ctx=512.*beside base_url"),
        ({"base_url": "localhost"}, OptionError, "http://"),
        ({"timeout": -1}, ValidationError, "timeout"),
    ],
)
def test_wrong_arguments_are_found_at_construction(
    fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        LlamaCppLLM(**{"base_url": "http://127.0.0.1:9", **fields})


def test_a_dump_holds_the_address_and_not_the_key() -> None:
    llm = LlamaCppLLM("demo", base_url="http://127.0.0.1:9", api_key="s3cret", temperature=0)
    dump = llm.to_dict()
    assert (dump["base_url"], dump["model"]) == ("http://127.0.0.1:9", "demo")
    assert "s3cret" not in repr(llm) + llm.to_json() + repr(llm.to_payload())
    assert LlamaCppLLM.from_dict(dump).to_dict() == dump
    again: LlamaCppLLM = pickle.loads(pickle.dumps(llm))
    assert again.api_key == llm.api_key
