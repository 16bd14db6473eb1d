"""gpt-oss's channels."""

from __future__ import annotations

import pytest
from chat_samples import REAL, TOOLS, chunked, read, source_of, tool
from llguidance import LLMatcher, LLTokenizer

from llamaherd.chat.format import ChatFormat
from llamaherd.chat.grammar import Demand
from llamaherd.chat.harmony import HarmonyParser, grammar

ANSWERS = {
    "as the template writes it": " to=functions.get<|channel|>commentary json<|message|>"
    '{"text": "x"}<|call|>',
    "as the model writes it": "<|channel|>commentary to=functions.get <|constrain|>json<|message|>"
    '{"text": "x"}<|call|>',
}
THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("call", ANSWERS.values(), ids=ANSWERS.keys())
def test_calls_and_thoughts_are_read(call: str, size: int) -> None:
    found = read(HarmonyParser(TOOLS), chunked(THOUGHT + call, size))
    assert found.calls == [("get", {"text": "x"})]
    assert (found.reasoning, found.content) == ("Hm.", "")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_final_channel_is_the_answer(size: int) -> None:
    text = f"{THOUGHT}<|channel|>final<|message|>a <b> to=functions.get<|return|>"
    found = read(HarmonyParser(TOOLS), chunked(text, size))
    assert (found.reasoning, found.content) == ("Hm.", "a <b> to=functions.get")


def test_text_without_channels_is_the_answer() -> None:
    assert read(HarmonyParser(TOOLS), ["Hello there"]).content == "Hello there"


def test_malformed_arguments_come_back_as_text() -> None:
    text = "<|channel|>commentary to=functions.get<|message|>{]}<|call|>"
    found = read(HarmonyParser(TOOLS), [text])
    assert found.calls == []
    assert "{]}" in found.content
    assert len(found.notes) == 1


def _accepts(lark: str, text: str) -> bool:
    grammar_text = LLMatcher.grammar_from_lark(lark)
    matcher = LLMatcher(LLTokenizer("byte"), grammar_text, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    data = list(text.encode())
    return bool(matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting())


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("call", ANSWERS.values(), ids=ANSWERS.keys())
def test_the_grammar_accepts_both_spellings(call: str, required: bool) -> None:
    tools = [tool("get", {"text": {"type": "string"}})]
    lark = grammar(Demand(tools, required))
    assert _accepts(lark, THOUGHT + call)
    assert not _accepts(lark, THOUGHT + call.replace("text", "test"))
    assert _accepts(lark, "<|channel|>final<|message|>Hi") is not required


@pytest.mark.skipif(not REAL, reason="needs the templates of shared/data")
def test_the_template_is_recognised() -> None:
    chat = ChatFormat({"default": source_of("openai-gpt-oss-120b")}, now=lambda: 0.0)
    prompt = chat.render([{"role": "user", "content": "hi"}], tools=TOOLS)
    assert isinstance(chat.parser(prompt, TOOLS), HarmonyParser)
