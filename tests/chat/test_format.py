"""The one entry: prompts, parsers and grammars of a model's templates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat_samples import OWN, TOOLS, read, tool
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from llamaherd import ChatTemplateError, GrammarError, UnsupportedError
from llamaherd.chat import JsonFormat, normalised
from llamaherd.chat.format import ChatFormat

HI = [{"role": "user", "content": "hi"}]
THINKING = OWN["object in markers"].replace(
    "<|assistant|>{% endif %}",
    "<|assistant|><think>{% if enable_thinking is false %}</think>{% endif %}{% endif %}",
)


def _chat(source: str = OWN["object in markers"], **more: Any) -> ChatFormat:
    return ChatFormat({"default": source}, now=lambda: 0.0, **more)


def test_a_trailing_assistant_message_is_continued() -> None:
    prompt = _chat().render([*HI, {"role": "assistant", "content": "Hello, "}])
    assert prompt.text.endswith("<|assistant|>Hello, ")
    assert prompt.prefill == "Hello, "


def test_a_trailing_thought_is_continued() -> None:
    chat = _chat()
    message = {"role": "assistant", "content": "", "reasoning_content": "Hm, "}
    prompt = chat.render([*HI, message])
    assert prompt.text.endswith("<|assistant|><think>Hm, ")
    assert prompt.in_thought
    assert read(chat.parser(prompt), ["so.</think>Yes"]).reasoning == "so."


def test_a_thought_is_seen_open_where_nothing_else_marks_the_answer() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}[U]{{ m.content }}[A]<think>"
        "{% else %}{{ m.reasoning_content }}</think>{{ m.content }}<eos>{% endif %}{% endfor %}"
    )
    chat = _chat(source)
    prompt = chat.render(HI)
    assert prompt.in_thought
    assert read(chat.parser(prompt), ["hm</think>yes"]).reasoning == "hm"


def test_thinking_is_switched_by_the_templates_own_variable() -> None:
    chat = _chat(THINKING)
    assert chat.thinking(False) == {"enable_thinking": False}
    on, off = (chat.render(HI, **chat.thinking(t)) for t in (True, False))
    assert (on.in_thought, off.in_thought) == (True, False)
    assert read(chat.parser(on), ["hm</think>\nyes"]).reasoning == "hm"
    assert read(chat.parser(off), ["yes"]).content == "yes"


def test_tools_choose_the_template_for_tools() -> None:
    chat = ChatFormat(
        {"default": "plain", "tool_use": "{{ tools | length }} tools"}, now=lambda: 0.0
    )
    assert chat.render(HI).text == "plain"
    assert chat.render(HI, tools=TOOLS).text == "2 tools"


def test_a_template_that_knows_no_tools_says_so() -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(UnsupportedError, match="knows no tools"):
        _chat(source).render(HI, tools=TOOLS)


def test_a_template_that_only_writes_calls_gets_the_tools_in_the_system_message() -> None:
    prompt = _chat(OWN["bare object"]).render(HI, tools=TOOLS)
    assert prompt.text.startswith('<|system|>You can call these tools:\n{"name": "get"')
    assert prompt.text.endswith("<|user|>hi<|end|><|assistant|>")


def test_an_effort_goes_to_templates_that_know_it() -> None:
    chat = _chat("{{ reasoning_effort }}{% for m in messages %}{{ m.content }}{% endfor %}")
    assert chat.render(HI, **chat.thinking(effort="high")).text == "highhi"
    assert _chat(THINKING).thinking(effort="none") == {"enable_thinking": False}
    with pytest.raises(UnsupportedError, match="no reasoning_effort"):
        _chat().thinking(effort="high")
    with pytest.raises(UnsupportedError, match="no switch"):
        _chat().thinking(False)


def test_a_call_cannot_be_required_of_a_template_that_writes_none() -> None:
    chat = _chat("{{ tools }}{{ messages[0].content }}")
    prompt = chat.render(HI, tools=TOOLS)
    with pytest.raises(UnsupportedError, match="cannot write tool calls"):
        chat.grammar(prompt, TOOLS, required=True)


def test_a_refusal_names_the_message() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
        "{{ raise_exception('system comes first') }}{% endif %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(ChatTemplateError, match=r"messages\[1\]: system comes first"):
        _chat(source).render([*HI, {"role": "system", "content": "x"}])


# -- grammars ---------------------------------------------------------------------------------

SPECIALS = {"<call>": 256, "</call>": 257, "<think>": 258, "</think>": 259, "<|end|>": 260}


class _Bytes:
    """Single bytes, and control tokens behind them."""

    eos_token_id, bos_token_id = 260, None
    tokens = [*(bytes([i]) for i in range(256)), *(s.encode() for s in SPECIALS)]  # noqa: RUF012
    special_token_ids = list(SPECIALS.values())  # noqa: RUF012

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


TOKENIZER = LLTokenizer(TokenizerWrapper(_Bytes()), n_vocab=261)


def _tokens(text: str) -> list[int]:
    found: list[int] = []
    while text:
        special = next((s for s in SPECIALS if text.startswith(s)), None)
        head = special or text[0]
        found += [SPECIALS[special]] if special else list(head.encode())
        text = text[len(head) :]
    return found


def _accepts(lark: str, text: str) -> bool:
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(lark), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = _tokens(text)
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


CALL = '<call>{"name": "get", "arguments": {"n": 1}}</call>'
GET = [tool("get", {"n": {"type": "integer", "maximum": 5}}, ["n"])]


@pytest.mark.parametrize(
    ("text", "auto", "required"),
    [
        (CALL, True, True),
        (f"Let me see.{CALL}", True, False),
        ("No call.", True, False),
        (f"<think>hm</think>{CALL}", True, True),
        ("<think>hm</think>\nNo.", True, False),
        (CALL.replace("1", "9"), False, False),
        (CALL.replace("get", "got"), False, False),
        ("text <call>x", False, False),
        (f"{CALL}{CALL}", True, True),
        ("", True, False),
    ],
)
def test_control_tokens_are_tokens_in_the_grammar(text: str, auto: bool, required: bool) -> None:
    chat = _chat(specials=SPECIALS)
    prompt = chat.render(HI, tools=GET)
    assert _accepts(chat.grammar(prompt, GET), text) is auto
    assert _accepts(chat.grammar(prompt, GET, required=True), text) is required


def test_text_markers_engage_the_grammar_too() -> None:
    chat = _chat()
    lark = chat.grammar(chat.render(HI, tools=GET), GET)
    bytes_only = LLTokenizer("byte")
    for text, expected in ((f"Well. {CALL}", True), ("Well. <call>x", False), ("a <cal", True)):
        matcher = LLMatcher(bytes_only, LLMatcher.grammar_from_lark(lark), log_level=0)
        data = list(text.encode())
        count = matcher.try_consume_tokens(data)
        assert (count == len(data) and matcher.is_accepting()) is expected


def test_a_thought_that_the_prompt_began_is_ended_first() -> None:
    chat = _chat(THINKING, specials=SPECIALS)
    lark = chat.grammar(chat.render(HI, tools=GET), GET, required=True)
    assert _accepts(lark, f"hm</think>{CALL}")
    assert not _accepts(lark, CALL)


def test_a_call_or_an_answer_of_a_schema() -> None:
    chat = _chat(specials=SPECIALS)
    prompt = chat.render(HI, tools=GET)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    lark = chat.grammar(prompt, GET, text=JsonFormat(schema))
    assert _accepts(lark, CALL)
    assert _accepts(lark, '{"a":1}')
    assert not _accepts(lark, "text")


def test_control_tokens_that_the_parser_must_see_are_known() -> None:
    chat = _chat(specials=SPECIALS)
    assert chat.markers(chat.render(HI)) == {"<call>", "</call>", "<think>", "</think>"}


def test_what_a_raw_string_cannot_be_held_to_is_an_error_unless_a_tool_is_lenient() -> None:
    chat = _chat(OWN["tagged"])
    tools = [tool("get", {"when": {"type": "string", "format": "date"}})]
    with pytest.raises(GrammarError, match=r"'get' has format cannot be enforced"):
        chat.grammar(chat.render(HI, tools=tools), tools)
    tools[0]["function"]["strict"] = False
    tools = normalised(tools)
    assert chat.grammar(chat.render(HI, tools=tools), tools)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "enum": ["a b", "c"]}, "a b", "a"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "12", "x"),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "abc", "abcd"),
        ({"type": "string", "pattern": "b", "maxLength": 3}, "abc", "aaa"),
        ({"type": "integer", "minimum": 3}, "4", "2"),
        ({"type": ["integer", "null"]}, "null", "x"),
        ({"$ref": "#/$defs/N"}, "7", "x"),
    ],
)
def test_raw_arguments_satisfy_the_schema(schema: Any, good: str, bad: str) -> None:
    tools = [tool("get", {"v": schema}, ["v"])]
    tools[0]["function"]["parameters"]["$defs"] = {"N": {"type": "integer"}}
    chat = _chat(OWN["tagged"])
    lark = chat.grammar(chat.render(HI, tools=tools), tools, required=True)
    text = "<invoke get>\n<arg name=v>\n{}\n</arg>\n</invoke>\n"
    assert _accepts(lark, text.format(good))
    assert not _accepts(lark, text.format(bad))
    assert json.dumps(lark)
