"""ChatLlamaCpp: answers, streams, usage, log-probabilities, one batch for all callers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from chat_suite import THINKER, answer
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelInvalidRequestError,
    ModelRateLimitError,
)
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.tools import tool

from llamaherd import ContextLengthError, Llama, OptionError, QueueFullError, UnknownOptionError
from llamaherd.langchain import ChatLlamaCpp

pytestmark = pytest.mark.usefixtures("demo")


def chat(**options: Any) -> ChatLlamaCpp:
    """The demo model at temperature 0."""
    return ChatLlamaCpp(**{"model_path": "demo", "n_threads": 1, "temperature": 0, **options})


def stats(llm: ChatLlamaCpp) -> Any:
    """The engine's counters."""
    llama = llm._llama()
    assert isinstance(llama, Llama)
    return llama.stats()


def test_answers() -> None:
    message = chat().invoke("what is 25x5")
    assert message.content == "25 x 5 = 125"
    said = message.response_metadata
    assert said["model_name"] == "demo"
    assert said["model_provider"] == "llamacpp"
    assert said["finish_reason"] == "stop"
    assert said["timings"]["predicted_n"] > 0


def test_streams_token_by_token() -> None:
    chunks = list(chat().stream("what is 25x5"))
    assert len([c for c in chunks if c.content]) >= 8
    assert "".join(str(c.content) for c in chunks) == "25 x 5 = 125"


def test_only_the_last_chunk_says_how_it_ended() -> None:
    *others, last = chat(logprobs=2).stream("what is 25x5")
    assert last.chunk_position == "last"
    assert last.usage_metadata is not None
    assert last.usage_metadata["output_tokens"] > 0
    assert last.response_metadata["finish_reason"] == "stop"
    assert last.response_metadata["model_name"] == "demo"
    assert len(last.response_metadata["logprobs"]["content"]) >= 8
    for chunk in others:
        assert chunk.response_metadata == {}
        assert chunk.usage_metadata is None
        assert chunk.chunk_position is None


def test_a_stream_adds_up_to_the_answer() -> None:
    llm = chat(logprobs=True)
    whole = llm.invoke("what is 25x5")
    streamed = answer(llm, "what is 25x5", stream=True)
    assert streamed.content == whole.content
    ours, theirs = streamed.response_metadata, whole.response_metadata
    for name in ("model_name", "model_provider", "finish_reason"):
        assert ours[name] == theirs[name]
    tokens = [[entry["token"] for entry in each["logprobs"]["content"]] for each in (ours, theirs)]
    assert tokens[0] == tokens[1]


def test_log_probabilities_with_alternatives() -> None:
    content = chat(logprobs=3).invoke("what is 25x5").response_metadata["logprobs"]["content"]
    assert all(len(entry["top_logprobs"]) == 3 for entry in content)
    assert all(entry["logprob"] <= 0 for entry in content)
    plain = chat().invoke("what is 25x5").response_metadata
    assert "logprobs" not in plain
    bound = chat().bind(logprobs=True, top_logprobs=1).invoke("what is 25x5")
    assert len(bound.response_metadata["logprobs"]["content"][0]["top_logprobs"]) == 1


def test_usage_counts_what_was_in_memory() -> None:
    llm = chat()
    llm.invoke("Tell me a joke about cats.")
    usage = llm.invoke("Tell me a joke about cats.").usage_metadata
    assert usage is not None
    assert usage["input_token_details"]["cache_read"] == usage["input_tokens"] - 1
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_are_apart_from_the_answer(stream: bool) -> None:
    message = answer(chat(chat_template=THINKER), "Hello", stream=stream)
    thought = message.additional_kwargs["reasoning_content"]
    assert thought
    assert message.content == ""
    assert message.content_blocks[0] == {"type": "reasoning", "reasoning": thought}
    usage = message.usage_metadata
    assert usage is not None
    assert usage["output_token_details"]["reasoning"] > 0


def test_stop_sequences_of_the_call_come_before_those_of_the_object() -> None:
    llm = chat(stop=["="])
    assert llm.invoke("what is 25x5").content == "25 x 5 "
    assert llm.invoke("what is 25x5", stop=["x"]).content == "25 "


def test_options_of_a_call() -> None:
    message = chat().invoke("what is 25x5", max_tokens=2)
    assert message.response_metadata["finish_reason"] == "length"
    with pytest.raises(UnknownOptionError, match="did you mean 'max_tokens'") as caught:
        chat().invoke("Hello", max_token=2)
    assert isinstance(caught.value, ModelInvalidRequestError)


def test_several_answers() -> None:
    result = chat(temperature=1).generate([[HumanMessage("Hello")]], n=3)
    assert len(result.generations[0]) == 3
    with pytest.raises(OptionError, match="n=3"):
        list(chat().stream("Hello", n=3))


def test_a_grammar_holds() -> None:
    assert chat(grammar='root ::= "yes" | "no"').invoke("Hello").content in ("yes", "no")


def test_an_over_long_prompt_is_an_overflow() -> None:
    with pytest.raises(ContextOverflowError) as caught:
        chat(n_ctx=64).invoke("word " * 500)
    assert isinstance(caught.value, ContextLengthError)
    assert caught.value.n_ctx == 256 or caught.value.n_ctx < 500


def test_a_full_queue_may_be_tried_again() -> None:
    llm = chat(n_parallel=1, max_queue=0, n_ctx=1024)
    stream = llm.stream("Tell me a joke about cats.", ignore_eos=True)
    next(stream)
    with pytest.raises(ModelRateLimitError) as caught:
        llm.invoke("Hello")
    assert isinstance(caught.value, QueueFullError)
    assert caught.value.is_retryable
    stream.close()  # type: ignore[attr-defined]


def test_errors_of_streams_are_of_both_families() -> None:
    with pytest.raises(ContextOverflowError):
        list(chat(n_ctx=64).stream("word " * 500))


async def test_errors_of_coroutines_are_of_both_families() -> None:
    with pytest.raises(ContextOverflowError):
        await chat(n_ctx=64).ainvoke("word " * 500)


async def test_sixteen_coroutines_are_one_batch() -> None:
    llm = chat()
    await llm.ainvoke("what is 1 + 1")
    before = stats(llm)
    asked = [f"what is {i} x 3" for i in range(1, 9)] * 2
    messages = await asyncio.gather(*(llm.ainvoke(question) for question in asked))
    after = stats(llm)
    assert all(isinstance(message, AIMessage) for message in messages)
    generated = after.generated_tokens - before.generated_tokens
    assert generated > 16 * 5
    assert after.steps - before.steps < generated / 4


def test_batch_is_one_batch() -> None:
    llm = chat()
    before = stats(llm)
    messages = llm.batch([*(f"what is {i} x 3" for i in range(1, 9))] * 2)
    after = stats(llm)
    assert len(messages) == 16
    generated = after.generated_tokens - before.generated_tokens
    assert after.steps - before.steps < generated / 4


def test_batch_keeps_to_max_concurrency() -> None:
    llm = chat()
    running, most = 0, 0
    lock = threading.Lock()

    class Watch(BaseCallbackHandler):
        def on_chat_model_start(self, *_args: Any, **_options: Any) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)

        def on_llm_end(self, *_args: Any, **_options: Any) -> None:
            nonlocal running
            with lock:
                running -= 1

    llm.batch(["Hello"] * 6, {"max_concurrency": 2, "callbacks": [Watch()]})
    assert most <= 2


def test_leaving_a_stream_ends_the_answer() -> None:
    llm = chat()
    before = stats(llm).finished.get("cancelled", 0)
    stream = llm.stream("Hello", ignore_eos=True)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    _until(lambda: stats(llm).finished.get("cancelled", 0) == before + 1)


async def test_leaving_an_asynchronous_stream_ends_the_answer() -> None:
    llm = chat()
    before = stats(llm).finished.get("cancelled", 0)
    stream = llm.astream("Hello", ignore_eos=True)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    await asyncio.to_thread(_until, lambda: stats(llm).finished.get("cancelled", 0) == before + 1)


async def test_a_cancelled_task_ends_the_answer() -> None:
    llm = chat()
    await asyncio.to_thread(llm._llama)
    before = stats(llm).finished.get("cancelled", 0)
    task = asyncio.create_task(llm.ainvoke("Hello", ignore_eos=True))
    await asyncio.to_thread(_until, lambda: stats(llm).running > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(_until, lambda: stats(llm).finished.get("cancelled", 0) == before + 1)


async def test_tokens_reach_coroutines_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = chat()
    await llm.ainvoke("Hello")
    loop, hops = asyncio.get_running_loop(), 0
    run = loop.run_in_executor

    def counted(*args: Any) -> Any:
        nonlocal hops
        hops += 1
        return run(*args)

    monkeypatch.setattr(loop, "run_in_executor", counted)
    assert (await llm.ainvoke("what is 25x5")).content == "25 x 5 = 125"
    text = "".join([str(chunk.content) async for chunk in llm.astream("what is 25x5")])
    assert text == "25 x 5 = 125"
    assert hops <= 2  # Llama reads the messages on a thread, once an answer


def test_tokens_are_counted_by_the_model() -> None:
    llm = chat()
    usage = llm.invoke("what is 25x5").usage_metadata
    assert usage is not None
    assert llm.get_num_tokens_from_messages([HumanMessage("what is 25x5")]) == usage["input_tokens"]
    assert llm.get_num_tokens("25") == len(llm.get_token_ids("25")) == 2

    @tool
    def get_weather(location: str) -> str:
        """Weather somewhere."""
        return ""

    with_tool = llm.get_num_tokens_from_messages([HumanMessage("hi")], tools=[get_weather])
    bound = llm.bind_tools([get_weather]).invoke("hi").usage_metadata
    assert bound is not None
    assert with_tool == bound["input_tokens"]


def test_callbacks_hear_tokens_if_streaming_is_asked_for() -> None:
    class Listen(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []
            self.results: list[LLMResult] = []

        def on_llm_new_token(self, token: Any, **_options: Any) -> None:
            self.tokens.append(str(token))

        def on_llm_end(self, response: LLMResult, **_options: Any) -> None:
            self.results.append(response)

    for streaming, least in ((None, 0), (True, 8)):
        listen = Listen()
        given = {} if streaming is None else {"streaming": streaming}
        message = chat(**given).invoke("what is 25x5", config={"callbacks": [listen]})
        assert message.content == "25 x 5 = 125"
        assert len(listen.tokens) >= least
        assert bool(listen.tokens) == bool(streaming)
        assert len(listen.results) == 1


def test_the_cache_tells_models_apart() -> None:
    cache = InMemoryCache()
    first = chat(cache=cache).invoke("what is 25x5")
    assert chat(cache=cache).invoke("what is 25x5").usage_metadata == {
        **first.usage_metadata,  # type: ignore[dict-item]
        "total_cost": 0,
    }
    assert chat(cache=cache, max_tokens=1).invoke("what is 25x5").content != first.content


def test_another_model_for_one_call(tiny_model: Any) -> None:
    llm = chat()
    with pytest.raises(ModelInvalidRequestError, match="chat template"):
        llm.invoke("Hello", model=str(tiny_model))
    assert llm.invoke("what is 25x5").content == "25 x 5 = 125"


def test_a_timeout_gives_what_there_is() -> None:
    message = chat(timeout=0.05).invoke("Hello", ignore_eos=True)
    assert message.response_metadata["finish_reason"] == "deadline"


def test_tracing_parameters() -> None:
    params = chat(max_tokens=5)._get_ls_params(stop=["x"])
    assert params["ls_provider"] == "llamacpp"
    assert params["ls_model_name"] == "demo"
    assert params["ls_temperature"] == 0
    assert params["ls_max_tokens"] == 5
    assert params["ls_stop"] == ["x"]


def test_chunks_of_a_stream_have_one_id() -> None:
    chunks = list(chat().stream("Hello"))
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


def _until(true: Any) -> None:
    """Wait for what another thread does."""
    done = threading.Event()
    for _ in range(2000):
        if true():
            return
        done.wait(0.01)
    raise AssertionError("it never came true")


def test_addresses_of_pictures_are_not_fetched_unless_told(mmproj: Path) -> None:
    message = HumanMessage([{"type": "image", "url": "http://127.0.0.1:9/a.png"}])
    options: dict[str, Any] = {"mmproj": str(mmproj)}
    with pytest.raises(ModelInvalidRequestError, match="not fetched"):
        chat(**options).invoke([message])
    with pytest.raises(ModelInvalidRequestError, match="no public address") as caught:
        chat(fetch_urls=True, **options).invoke([message])
    assert "messages[0].content[0]" in str(caught.value)


async def test_coroutines_fetch_pictures_only_when_told(mmproj: Path) -> None:
    message = HumanMessage([{"type": "image", "url": "http://127.0.0.1:9/a.png"}])
    options: dict[str, Any] = {"mmproj": str(mmproj), "fetch_urls": True}
    with pytest.raises(ModelInvalidRequestError, match="no public address"):
        await chat(**options).ainvoke([message])
    assert (profile := chat(**options).profile) is not None
    assert profile["image_inputs"]
    assert profile["audio_inputs"]
    assert profile["image_url_inputs"]
