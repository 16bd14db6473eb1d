"""LlamaCppLLM: chat, completion, streams, options, observers, dumps."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from index_fixtures import JOKE, demo_llm
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.event_handlers.base import BaseEventHandler

from llamaherd import (
    ContextLengthError,
    GrammarError,
    ModelLoadError,
    OptionError,
    UnknownOptionError,
    UnsupportedError,
)
from llamaherd.llama_index import LlamaCppLLM

THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)


@pytest.fixture(scope="module")
def llm() -> LlamaCppLLM:
    found = demo_llm()
    found.load()
    return found


# -- answers ----------------------------------------------------------------------------------


def test_it_is_llama_indexs_kind_of_model(llm: LlamaCppLLM) -> None:
    assert isinstance(llm, FunctionCallingLLM)
    assert llm.metadata.is_chat_model
    assert llm.metadata.is_function_calling_model
    assert llm.metadata.context_window == llm.load().n_ctx()
    assert llm.metadata.num_output == 64
    assert demo_llm(max_tokens=None).metadata.num_output == 256
    assert demo_llm(max_tokens=None, n_ctx=400).metadata.num_output == 100
    assert llm.metadata.model_name == llm.load().metadata["general.name"]


def test_a_conversation_is_answered_with_its_token_counts(llm: LlamaCppLLM) -> None:
    response = llm.chat(JOKE)
    assert response.message.role == "assistant"
    assert "bird" in str(response.message.content)
    assert response.raw is not None
    usage = response.raw["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    expected = llm.load().create_chat_completion(
        [{"role": "user", "content": "Tell me a joke about birds."}], temperature=0, max_tokens=64
    )
    assert response.message.content == expected["choices"][0]["message"]["content"]


def _check_stream(responses: list[ChatResponse], whole: ChatResponse) -> None:
    text = ""
    for response in responses:
        assert response.delta is not None
        text += response.delta
        assert response.message.content == text
    assert text == whole.message.content
    assert len(responses) > 5
    assert [bool((r.raw or {}).get("usage")) for r in responses] == [False] * (
        len(responses) - 1
    ) + [True]
    assert (responses[-1].raw or {})["choices"][0]["finish_reason"] == "stop"


def test_a_stream_yields_all_so_far_and_what_is_new(llm: LlamaCppLLM) -> None:
    _check_stream(list(llm.stream_chat(JOKE)), llm.chat(JOKE))


async def test_coroutines_get_the_same(llm: LlamaCppLLM) -> None:
    whole = await llm.achat(JOKE)
    assert whole.message == llm.chat(JOKE).message
    _check_stream([r async for r in await llm.astream_chat(JOKE)], whole)


async def test_a_prompt_is_a_users_message_to_a_model_that_chats(llm: LlamaCppLLM) -> None:
    prompt = "Tell me a joke about birds."
    text = llm.complete(prompt).text
    assert text == llm.chat(JOKE).message.content
    assert (await llm.acomplete(prompt)).text == text
    streamed = list(llm.stream_complete(prompt))
    assert "".join(r.delta or "" for r in streamed) == streamed[-1].text == text
    astreamed = [r async for r in await llm.astream_complete(prompt)]
    assert [r.text for r in astreamed] == [r.text for r in streamed]


def test_a_formatted_prompt_is_gone_on_from(llm: LlamaCppLLM) -> None:
    prompt = llm.load().apply_chat_template([{"role": "user", "content": "what is 2 + 3?"}])
    response = llm.complete(prompt, formatted=True)
    assert response.text == "2 + 3 = 5"
    n_tokens = len(llm.load().tokenize(prompt, special=True))
    assert response.raw["usage"]["prompt_tokens"] == n_tokens


def test_the_callers_own_prompt_functions_replace_the_template(llm: LlamaCppLLM) -> None:
    def to_prompt(messages: Any) -> str:
        return "".join(f"<|im_start|>{m.role.value}\n{m.content}<|im_end|>\n" for m in messages) + (
            "<|im_start|>assistant\n"
        )

    own = demo_llm(
        messages_to_prompt=to_prompt,
        completion_to_prompt=lambda prompt: to_prompt([ChatMessage(prompt)]),
    )
    assert own.load() is llm.load()
    assert not own.metadata.is_chat_model
    assert own.chat(JOKE).message.content == llm.chat(JOKE).message.content
    assert own.complete("Tell me a joke about birds.").text == llm.chat(JOKE).message.content
    with pytest.raises(UnsupportedError, match="tools needs the model's own chat template"):
        own.chat(JOKE, tools=[])


def test_a_model_without_template_completes_and_says_what_a_chat_needs(tiny_model: Path) -> None:
    llm = LlamaCppLLM(tiny_model, n_ctx=64, n_threads=1, max_tokens=3, enable_thinking=False)
    assert not llm.metadata.is_chat_model
    assert not llm.metadata.is_function_calling_model
    assert llm.complete("a b").raw["usage"]["completion_tokens"] <= 3
    with pytest.raises(UnsupportedError, match="chat_template="):
        llm.chat(JOKE)


def test_thoughts_are_a_block_and_stream_apart() -> None:
    llm = demo_llm(chat_template=THINKING, n_ctx=512)
    grammar = 'start: "<think>\\nlet me see\\n</think>\\n\\n" "four"'
    whole = llm.chat(JOKE, grammar=grammar)
    thought, text = whole.message.blocks
    assert thought.content.strip() == "let me see"
    assert thought.num_tokens > 0
    assert text.text == "four"
    streamed = list(llm.stream_chat(JOKE, grammar=grammar))
    deltas = [r.additional_kwargs.get("thinking_delta", "") for r in streamed]
    assert "".join(deltas) == thought.content
    assert "".join(r.delta or "" for r in streamed) == "four"
    assert streamed[-1].message == whole.message
    again = [*JOKE, whole.message, ChatMessage("And?")]
    assert llm.chat(again, grammar='start: "no"').message.content == "no"


def test_log_probabilities_come_as_llama_indexs(llm: LlamaCppLLM) -> None:
    response = llm.chat(JOKE, logprobs=True, top_logprobs=2, max_tokens=4)
    assert response.logprobs is not None
    assert len(response.logprobs) == 4
    for entries in response.logprobs:
        assert 2 <= len(entries) <= 3
        assert entries[0].logprob == max(entry.logprob for entry in entries)
    raw = llm.complete("a", formatted=True, logprobs=True, top_logprobs=1, max_tokens=2)
    assert raw.logprobs is None or len(raw.logprobs) == 2
    streamed = list(llm.stream_chat(JOKE, logprobs=True, max_tokens=4))
    assert [e for r in streamed for e in r.logprobs or []]


# -- options ----------------------------------------------------------------------------------


def test_options_of_a_call_reach_the_engine_over_those_of_the_object(llm: LlamaCppLLM) -> None:
    assert llm.chat(JOKE, max_tokens=2).raw["usage"]["completion_tokens"] == 2
    assert llm.chat(JOKE, n_predict=2).raw["usage"]["completion_tokens"] == 2
    assert "birds" not in str(llm.chat(JOKE, stop=["birds"]).message.content)
    assert llm.chat(JOKE, grammar='start: "yes"').message.content == "yes"
    with pytest.raises(UnknownOptionError, match="did you mean 'temperature'"):
        llm.chat(JOKE, temprature=1)
    with pytest.raises(OptionError, match="max_tokens"):
        llm.chat(JOKE, max_tokens=-7)


def test_an_option_may_be_changed_later_and_is_checked() -> None:
    llm = demo_llm()
    llm.max_tokens = 3
    assert llm.max_tokens == 3
    assert llm.chat(JOKE).raw["usage"]["completion_tokens"] == 3
    with pytest.raises(OptionError, match="temperature"):
        llm.temperature = -1
    with pytest.raises(UnknownOptionError, match="did you mean 'top_k'"):
        llm.topk = 3
    with pytest.raises(OptionError, match="n_ctx"):
        llm.n_ctx = 64


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"temprature": 1}, UnknownOptionError, "'temperature'"),
        ({"max_new_tokens": 9}, UnknownOptionError, "'max_tokens'"),
        ({"n_cttx": 9}, UnknownOptionError, "'n_ctx'"),
        ({"system_promt": "x"}, UnknownOptionError, "'system_prompt'"),
        ({"stream_options": {}}, UnknownOptionError, "stream_options"),
        ({"temperature": -1}, OptionError, "temperature"),
        ({"n_ctx": -1}, OptionError, "n_ctx"),
        ({"timeout": 5}, OptionError, "timeout=5.0.*base_url"),
        ({"api_kee": "x"}, UnknownOptionError, "'api_key'"),
        ({"model_path": "demo"}, OptionError, "either model or model_path"),
    ],
)
def test_wrong_arguments_are_found_at_construction(
    fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        LlamaCppLLM("demo", **fields)


def test_a_wrong_path_is_found_at_construction(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="does not exist"):
        LlamaCppLLM(tmp_path / "no.gguf")
    with pytest.raises(ModelLoadError, match="is a folder"):
        LlamaCppLLM(model_path=tmp_path)
    with pytest.raises(OptionError, match="model=None"):
        LlamaCppLLM()


def test_what_cannot_be_done_is_a_typed_error(llm: LlamaCppLLM) -> None:
    with pytest.raises(ContextLengthError):
        llm.chat([ChatMessage("word " * 4000)])
    with pytest.raises(GrammarError):
        list(llm.stream_chat(JOKE, json_schema={"not": {"type": "string"}}))
    with pytest.raises(OptionError, match="one answer"):
        llm.chat(JOKE, n=2)
    with pytest.raises(UnsupportedError, match="enable_thinking"):
        llm.complete("a", formatted=True, enable_thinking=True)


def test_without_llama_index_the_import_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['llama_index'] = None\n"
        "try: import llamaherd.llama_index\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'llamaherd[llama-index]'" in done.stdout


# -- life -------------------------------------------------------------------------------------


def test_nothing_is_loaded_before_it_is_needed_and_equal_objects_share(llm: LlamaCppLLM) -> None:
    other = demo_llm(temperature=1.5, system_prompt="Be brief.")
    assert other._source._llama is None
    assert other.to_payload()["model_name"] == "demo"
    assert other._source._llama is None
    assert other.load() is llm.load()
    assert demo_llm(n_ctx=256).load() is not llm.load()


def test_a_dump_gives_an_equal_model_back(llm: LlamaCppLLM) -> None:
    dump = llm.to_dict()
    assert dump["class_name"] == LlamaCppLLM.class_name() == "LlamaCppLLM"
    assert (dump["model"], dump["temperature"], dump["max_tokens"]) == ("demo", 0, 64)
    for again in (
        LlamaCppLLM.from_dict(dump),
        LlamaCppLLM.from_json(llm.to_json()),
        pickle.loads(pickle.dumps(llm)),
        copy.deepcopy(llm),
    ):
        assert again.to_dict() == dump
        assert again.load() is llm.load()
        assert again.chat(JOKE).message == llm.chat(JOKE).message


def test_token_counts_reach_the_callbacks(llm: LlamaCppLLM) -> None:
    counter = TokenCountingHandler(tokenizer=llm.tokenize)
    watched = demo_llm(callback_manager=CallbackManager([counter]))
    usage = watched.chat(JOKE).raw["usage"]
    list(watched.stream_chat(JOKE))
    watched.complete("Tell me a joke about birds.")
    counts = [(e.prompt_token_count, e.completion_token_count) for e in counter.llm_token_counts]
    assert counts == [(usage["prompt_tokens"], usage["completion_tokens"])] * 3


def test_events_reach_the_instrumentation(llm: LlamaCppLLM) -> None:
    seen: list[str] = []

    class Handler(BaseEventHandler):
        def handle(self, event: BaseEvent, **kwargs: Any) -> None:
            seen.append(event.class_name())
            json.dumps(getattr(event, "model_dict", {}))

    root, handler = get_dispatcher(), Handler()
    root.add_event_handler(handler)
    try:
        list(llm.stream_chat(JOKE, max_tokens=3))
        llm.complete("hello", max_tokens=2)
    finally:
        root.event_handlers.remove(handler)
    assert [name for name in seen if "InProgress" not in name] == [
        "LLMChatStartEvent",
        "LLMChatEndEvent",
        "LLMCompletionStartEvent",
        "LLMCompletionEndEvent",
    ]
    assert seen.count("LLMChatInProgressEvent") >= 3
