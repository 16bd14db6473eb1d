"""Llama as a user knows it: whole and streamed answers, options, ends, errors."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llamaherd import (
    Ambient,
    ChatTemplateError,
    ClosedError,
    ContextLengthError,
    Llama,
    ModelLoadError,
    OptionError,
    UnknownOptionError,
    UnsupportedError,
)

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12}
HOT: dict[str, Any] = {"temperature": 50.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
ENDLESS: dict[str, Any] = {"temperature": 1.5, "seed": 3, "ignore_eos": True}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Without garbage collection: letting go of an object must be enough."""
    gc.disable()
    yield
    gc.enable()


def _text(response: dict[str, Any]) -> str:
    return str(response["choices"][0]["text"])


def _reason(response: dict[str, Any]) -> str:
    return str(response["choices"][0]["finish_reason"])


def test_a_completion_has_the_openai_shape(llm: Llama) -> None:
    done = llm("Hello", **GREEDY)
    assert {k: done[k] for k in ("id", "object", "created", "model")} == {
        "id": "cmpl-id",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": "demo",
    }
    assert done["choices"] == [
        {"text": _text(done), "index": 0, "logprobs": None, "finish_reason": _reason(done)}
    ]
    usage = done["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    timings = done["timings"]
    assert timings["predicted_n"] == usage["completion_tokens"]
    assert timings["prompt_n"] + timings["cache_n"] == usage["prompt_tokens"]


def test_the_chunks_of_a_stream_make_the_whole_answer(llm: Llama) -> None:
    whole = llm("Hello", **GREEDY)
    chunks = list(llm("Hello", stream=True, stream_options={"include_usage": True}, **GREEDY))
    *pieces, last, counts = chunks
    assert "".join(chunk["choices"][0]["text"] for chunk in pieces) == _text(whole)
    assert [chunk["choices"][0]["finish_reason"] for chunk in pieces] == [None] * len(pieces)
    assert _reason(last) == _reason(whole)
    assert "timings" in last
    assert counts["choices"] == []
    assert all(chunk["usage"] is None for chunk in (*pieces, last))
    assert counts["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def test_chat_has_the_openai_shape_whole_and_streamed(llm: Llama) -> None:
    messages = [{"role": "user", "content": "Hello!"}]
    whole = llm.create_chat_completion(messages, temperature=0, max_tokens=30)
    message = whole["choices"][0]["message"]
    assert whole["object"] == "chat.completion"
    assert message["role"] == "assistant"
    chunks = list(llm.create_chat_completion(messages, temperature=0, max_tokens=30, stream=True))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(deltas) == message["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_seeds_repeat_an_answer_and_differ_from_each_other(llm: Llama) -> None:
    answers = [_text(llm("Hello", seed=seed, **HOT, max_tokens=12)) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_n_answers_have_seeds_of_their_own_and_share_the_prompt(llm: Llama) -> None:
    hot: dict[str, Any] = {**HOT, "max_tokens": 8, "ignore_eos": True}
    done = llm("Hello there", n=3, seed=5, **hot)
    texts = [choice["text"] for choice in done["choices"]]
    assert [choice["index"] for choice in done["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts[1] == _text(llm("Hello there", seed=6, **hot))
    assert done["usage"]["completion_tokens"] == 24


def test_an_answer_ends_before_its_stop_string(llm: Llama) -> None:
    free = _text(llm("Hello", **{**GREEDY, "max_tokens": 30}, ignore_eos=True))
    stop = free[len(free) // 2 :][:3]
    done = llm("Hello", **{**GREEDY, "max_tokens": 30}, ignore_eos=True, stop=stop)
    assert _text(done) == free[: free.index(stop)]
    assert _reason(done) == "stop"
    assert done["choices"][0]["stopping_word"] == stop


def test_the_tokens_of_a_chat_are_those_that_the_model_reads(llm: Llama) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    tokens = llm.chat_tokens(messages)
    assert bytes(llm.detokenize(tokens, special=True)).startswith(b"<|im_start|>user\nHello")
    done = llm.create_chat_completion(messages, max_tokens=1)
    assert done["usage"]["prompt_tokens"] == len(tokens)


def test_max_tokens_ends_an_answer_with_length(llm: Llama) -> None:
    done = llm("Hello", max_tokens=3, **ENDLESS)
    assert (_reason(done), done["usage"]["completion_tokens"]) == ("length", 3)


def test_a_full_context_ends_an_answer_with_length() -> None:
    with Llama("demo", n_ctx=64) as small:
        done = small("Hello", **ENDLESS)
        assert (_reason(done), done["usage"]["total_tokens"]) == ("length", small.n_ctx())


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(llm: Llama) -> None:
    too_long = [1] * (llm.n_ctx() + 1)
    with pytest.raises(ContextLengthError) as caught:
        llm(too_long)
    assert (caught.value.prompt_tokens, caught.value.n_ctx) == (len(too_long), llm.n_ctx())
    for number in (len(too_long), llm.n_ctx()):
        assert str(number) in str(caught.value)


def test_a_deadline_ends_an_answer_and_keeps_its_text(llm: Llama) -> None:
    done = llm("Hello", deadline_s=0.3, **ENDLESS)
    assert _reason(done) in ("deadline", "length")
    done = llm("Hello", t_max_predict_ms=50, **ENDLESS)
    assert _reason(done) == "deadline"
    assert _text(done)


def test_cancelling_a_stream_ends_it_with_what_it_has(llm: Llama) -> None:
    stream = llm("Hello", stream=True, **ENDLESS)
    first = next(stream)
    stream.cancel()
    rest = list(stream)
    assert first["choices"][0]["text"]
    assert _reason(rest[-1]) == "cancelled"


def test_cancel_ends_a_whole_answer_from_another_thread(llm: Llama) -> None:
    done: list[dict[str, Any]] = []
    caller = threading.Thread(target=lambda: done.append(llm("Hello", **ENDLESS)))
    caller.start()
    time.sleep(0.1)
    llm.cancel()
    caller.join(timeout=30)
    assert _reason(done[0]) in ("cancelled", "length")


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_stream_that_is_left_stops_decoding(llm: Llama, leave: str, no_collection: None) -> None:
    stream: Any = llm("Hello", stream=True, **ENDLESS)
    next(stream)
    if leave == "close":
        stream.close()
    del stream
    llm("Hi", max_tokens=1)  # waits its turn behind whatever still runs
    before = llm.stats().steps
    time.sleep(0.2)
    assert llm.stats().steps == before


def test_cancelling_reaches_a_prompt_that_is_being_read() -> None:
    with Llama("demo", n_ctx=2048) as model:
        prompt = [5] * 2000
        stream: Any = model(prompt, stream=True, max_tokens=1)
        time.sleep(0.02)
        stream.cancel()
        (last,) = list(stream)
        assert _reason(last) in ("cancelled", "length")
        assert model(prompt, max_tokens=1, ignore_eos=True)["usage"]["completion_tokens"] == 1


def test_many_threads_each_get_their_own_answer(llm: Llama) -> None:
    found: dict[int, str] = {}

    def answer(seed: int) -> str:
        return _text(llm("Hello", seed=seed, **HOT, max_tokens=8))

    def ask(seed: int) -> None:
        found[seed] = answer(seed)

    alone = {seed: answer(seed) for seed in range(8)}
    threads = [threading.Thread(target=ask, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_echo_puts_the_prompt_first(llm: Llama) -> None:
    plain = _text(llm("Hello", **GREEDY))
    assert _text(llm("Hello", echo=True, **GREEDY)) == "Hello" + plain
    chunks = list(llm("Hello", echo=True, stream=True, **GREEDY))
    assert "".join(_text(chunk) for chunk in chunks) == "Hello" + plain


def test_logprobs_are_log_softmax_of_the_models_logits(llm: Llama) -> None:
    done = llm("Hello", logprobs=3, **GREEDY)
    logprobs = done["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == _text(done)
    for own, top in zip(logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True):
        assert own == pytest.approx(max(top.values())), "greedy picks the likeliest"
        assert list(top.values()) == sorted(top.values(), reverse=True)
        assert sum(map(math.exp, top.values())) <= 1.0001
    assert logprobs["text_offset"][0] == 0


def test_echoed_prompt_logprobs_equal_those_of_generated_tokens(llm: Llama) -> None:
    prompt = llm.tokenize("Hello")
    options: dict[str, Any] = {**GREEDY, "ignore_eos": True}
    generated = llm(prompt, logprobs=0, **options)
    drawn = generated["choices"][0]["logprobs"]["token_logprobs"]
    tokens = prompt + list(llm.generate(prompt, **options))
    echoed = llm(tokens, echo=True, logprobs=0, max_tokens=0)
    read = echoed["choices"][0]["logprobs"]["token_logprobs"]
    assert read[0] is None
    assert read[len(prompt) :] == pytest.approx(drawn, abs=0.02)


def test_chat_logprobs_have_bytes_that_make_the_text(llm: Llama) -> None:
    done = llm.create_chat_completion(
        [{"role": "user", "content": "Hello!"}], logprobs=True, top_logprobs=2, **GREEDY
    )
    choice = done["choices"][0]
    content = choice["logprobs"]["content"]
    data = b"".join(bytes(entry["bytes"]) for entry in content)
    assert data.decode("utf-8", "replace").startswith(choice["message"]["content"])
    assert all(len(entry["top_logprobs"]) == 2 for entry in content)


def test_a_second_turn_reuses_the_first(llm: Llama) -> None:
    llm("one two three four five", **GREEDY)
    again = llm("one two three four five six", **GREEDY)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 2
    llm.reset()
    fresh = llm("one two three four five six", **GREEDY)
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert _text(fresh) == _text(again)


def test_a_suffix_is_filled_in_by_the_models_own_tokens(llm: Llama) -> None:
    done = llm("def add(a, b):\n", "\n", max_tokens=20, temperature=0)
    assert done["usage"]["prompt_tokens"] > 5
    assert "fim" not in _text(done)


def test_defaults_of_requests_are_set_when_loading() -> None:
    with Llama("demo", temperature=0, max_tokens=2, n_ctx=128) as model:
        assert model.defaults.temperature == 0
        assert model("Hello", ignore_eos=True)["usage"]["completion_tokens"] == 2


def test_names_of_llama_cpp_python_keep_working() -> None:
    with Llama(model_path="demo", n_ctx=128, seed=1, n_gpu_layers=0, use_mmap=True) as model:
        tokens = model.tokenize(b"Hello", add_bos=True, special=True)
        assert model.detokenize(tokens) == b"Hello"
        assert model.n_vocab() > 100
        assert model.n_ctx() == 128
        assert model.n_embd() > 0
        assert model.token_eos() is not None
        assert "general.architecture" in model.metadata
        assert model.create_completion("Hello", max_tokens=1)["choices"]
        assert len(list(model.generate(tokens, max_tokens=3, ignore_eos=True))) == 3


def test_a_list_of_prompts_is_answered_together(llm: Llama) -> None:
    prompts: list[Any] = ["one two three", llm.tokenize("Hello"), "what is 25x5"]
    alone = [_text(llm(prompt, **GREEDY)) for prompt in prompts]
    done = llm(prompts, n=2, **GREEDY)
    assert [choice["index"] for choice in done["choices"]] == list(range(6))
    assert [choice["text"] for choice in done["choices"]] == [t for t in alone for _ in range(2)]
    n_prompt = sum(len(llm.tokenize(p)) if isinstance(p, str) else len(p) for p in prompts)
    assert done["usage"]["prompt_tokens"] == n_prompt


def test_choices_of_a_stream_come_interleaved(llm: Llama) -> None:
    options: dict[str, Any] = {"max_tokens": 30, "temperature": 0, "ignore_eos": True}
    stream = llm(["one two three", "what is 25x5"], stream=True, **options)
    order = [chunk["choices"][0]["index"] for chunk in stream]
    assert order.index(1) < len(order) - 1 - order[::-1].index(0), "both run at once"


def test_it_shows_what_it_is(tiny_model: Path) -> None:
    with Llama(tiny_model, n_ctx=256, n_threads=1) as llm:
        assert repr(llm) == f"<Llama {str(tiny_model)!r}, n_ctx=256>"
    assert repr(llm).endswith(", closed>")


def test_common_mistakes_are_named(llm: Llama) -> None:
    with pytest.raises(OptionError, match="model=3"):
        Llama(3)  # type: ignore[arg-type]
    with pytest.raises(ChatTemplateError, match="messages is 'hello': expected a list"):
        llm.create_chat_completion("hello")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="create_chat_completion takes messages"):
        llm([{"role": "user", "content": "hello"}])  # type: ignore[arg-type]


def test_unknown_options_suggest_the_nearest(llm: Llama) -> None:
    with pytest.raises(UnknownOptionError, match="did you mean 'n_ctx'"):
        Llama("demo", n_ctxt=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        llm("Hello", topk=5)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "prompt",
    [[-1], [10**9], [1.5], [True], ["a", [1], 1], [b"a"], b"hello", {1: 2}, None, 5, [[[1]]]],
)
def test_a_prompt_that_is_no_text_and_no_tokens_is_named(llm: Llama, prompt: Any) -> None:
    with pytest.raises(OptionError, match="prompt"):
        llm(prompt, max_tokens=1)


def test_numpy_tokens_and_broken_unicode_are_taken(llm: Llama) -> None:
    tokens: Any = np.asarray(llm.tokenize("Hello"))
    assert _text(llm(tokens, **GREEDY)) == _text(llm(list(map(int, tokens)), **GREEDY))
    assert llm("x\ud800", max_tokens=1)["choices"]


def test_text_offsets_count_characters_however_the_text_is_cut(llm: Llama) -> None:
    prompt = "<|im_start|>user\nHi 🎉 naïve 日本"
    options: dict[str, Any] = {"echo": True, "logprobs": 0, **GREEDY, "stop": "zzz"}
    whole = llm(prompt, **options)["choices"][0]
    offsets = whole["logprobs"]["text_offset"]
    assert offsets == sorted(offsets)
    assert whole["text"][: offsets[len(llm.tokenize(prompt, special=True))]] == prompt
    streamed = [
        offset
        for chunk in llm(prompt, stream=True, **options)
        if chunk["choices"][0]["logprobs"]
        for offset in chunk["choices"][0]["logprobs"]["text_offset"]
    ]
    assert streamed == offsets


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_is_told_to_load_the_model_itself() -> None:
    code = (
        "import os, warnings\nwarnings.simplefilter('ignore')\n"
        "from llamaherd import ClosedError, Llama\nllm = Llama('demo', n_ctx=128)\n"
        "child = os.fork()\n"
        "try:\n    llm('hi', max_tokens=1)\n    print('answered', flush=True)\n"
        "except ClosedError as error:\n    print(error, flush=True)\n    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert sorted(done.stdout.splitlines())[0] == "answered"
    assert "forked" in done.stdout


def test_closing_while_others_tokenize_is_safe() -> None:
    model = Llama("demo", n_ctx=128)
    text = "hello world " * 20_000
    refused: list[bool] = []

    def work() -> None:
        try:
            while True:
                assert len(model.tokenize(text)) > 20_000
        except ClosedError:
            refused.append(True)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    model.close()
    for thread in threads:
        thread.join(timeout=60)
    assert refused == [True] * 3


def test_closing_the_weights_under_a_running_answer_ends_it_cleanly() -> None:
    model = Llama("demo", n_ctx=2048)
    stream = model("Hello", stream=True, **ENDLESS)
    next(stream)
    model.model.close()
    with pytest.raises(ClosedError):
        list(stream)
    model.close()


def test_a_stream_keeps_its_model_open() -> None:
    def ask() -> Any:
        return Llama("demo", n_ctx=128)("Hello", stream=True, **GREEDY)

    assert list(ask())[-1]["choices"][0]["finish_reason"] in ("stop", "length")


def test_many_deadlines_need_one_thread(llm: Llama) -> None:
    before = threading.active_count()
    for _ in range(50):
        llm("Hello", max_tokens=1, deadline_s=60.0)
    assert threading.active_count() <= before + 1


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ModelLoadError, match=r"nowhere\.gguf"):
        Llama("nowhere.gguf")


def test_a_model_needs_a_name() -> None:
    with pytest.raises(OptionError, match="model"):
        Llama()


def test_a_model_without_template_or_infill_tokens_says_so(tiny_model: Path) -> None:
    with Llama(tiny_model) as model:
        with pytest.raises(UnsupportedError, match="chat template"):
            model.create_chat_completion([{"role": "user", "content": "hi"}])
        with pytest.raises(UnsupportedError, match="fill-in-the-middle"):
            model("a", suffix="b")


def test_a_template_of_ones_own_replaces_the_models(tiny_model: Path) -> None:
    with Llama(tiny_model, chat_template="{{ messages[0].content }}!") as model:
        assert model.apply_chat_template([{"role": "user", "content": "hi"}]) == "hi!"


async def _gather(llm: Llama) -> list[Any]:
    asks = [llm.acreate_completion("Hello", seed=seed, **HOT, max_tokens=8) for seed in range(4)]
    return list(await asyncio.gather(*asks))


def test_coroutines_get_what_threads_get(llm: Llama) -> None:
    alone = [_text(llm("Hello", seed=n, **HOT, max_tokens=8)) for n in range(4)]
    assert [_text(done) for done in asyncio.run(_gather(llm))] == alone


def test_an_async_stream_has_the_chunks_of_a_plain_one(llm: Llama) -> None:
    messages = [{"role": "user", "content": "Hello!"}]

    async def chunks() -> list[Any]:
        stream = await llm.acreate_chat_completion(messages, stream=True, **GREEDY)
        return [chunk async for chunk in stream]

    plain = list(llm.create_chat_completion(messages, stream=True, **GREEDY))
    choices = [chunk["choices"] for chunk in asyncio.run(chunks())]
    assert choices == [chunk["choices"] for chunk in plain]


def test_a_cancelled_task_cancels_its_request(llm: Llama) -> None:
    async def start_and_cancel() -> None:
        task = asyncio.create_task(llm.acreate_completion("Hello", **ENDLESS))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(start_and_cancel())
    llm("Hi", max_tokens=1)  # waits its turn behind whatever still runs
    before = llm.stats().steps
    time.sleep(0.2)
    assert llm.stats().steps == before


def test_an_error_reaches_the_coroutine(llm: Llama) -> None:
    def broken(_ids: Any, _logits: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        asyncio.run(llm.acreate_completion("Hello", logits_processor=[broken]))


def test_a_closed_model_refuses_and_closing_twice_is_harmless() -> None:
    model = Llama("demo", n_ctx=128)
    model.close()
    model.close()
    with pytest.raises(ClosedError):
        model("Hello")


def test_closing_ends_what_runs_with_an_error_that_keeps_its_text() -> None:
    model = Llama("demo", n_ctx=2048)
    stream = model("Hello", stream=True, **ENDLESS)
    shown = _text(next(stream))
    threading.Timer(0.05, model.close).start()
    rest: list[str] = []
    with pytest.raises(ClosedError) as caught:
        rest.extend(_text(chunk) for chunk in stream)
    assert caught.value.partial_text == shown + "".join(rest)


def test_weights_are_needed_to_run() -> None:
    with pytest.raises(UnsupportedError, match="vocab_only"):
        Llama("demo", vocab_only=True)


def test_a_model_that_is_dropped_frees_itself() -> None:
    model = Llama("demo", n_ctx=128)
    weights, thread = model.model, model._engine._thread
    model("Hello", max_tokens=1)
    del model
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert weights.handle.closed


def test_clock_ids_and_seeds_come_from_outside() -> None:
    ambient = Ambient(now=lambda: 5.0, new_id=lambda: "x", new_seed=lambda: 9)
    with Llama("demo", n_ctx=128, ambient=ambient) as model:
        first, second = (model("Hello", **HOT, max_tokens=8) for _ in range(2))
        assert (first["id"], first["created"]) == ("cmpl-x", 5)
        assert _text(first) == _text(second)
