"""What a template writes for calls, the parser reads back and the grammar accepts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from chat_samples import (
    OWN,
    PROPERTIES,
    REAL,
    TOOLS,
    WITHOUT_CALLS,
    Call,
    chunked,
    learned,
    read,
    rendered,
    tool,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from llamaherd.chat.grammar import Demand, grammar
from llamaherd.chat.parser import SyntaxParser
from llamaherd.chat.syntax import Codec, pieces

WITH_CALLS = [p.stem for p in REAL if p.stem not in WITHOUT_CALLS] + list(OWN)
RANDOM = settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
FIXED: list[Call] = [
    ("get_more", {"text": 'say "é"\n<tool_call> {x} </b>', "count": -3, "flag": True}),
    ("get", {"ratio": 1.5, "names": ["a", "b c"], "deep": {"inner": [1, 2], "word": "w"}}),
]
TEXT_BEHIND = {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"}  # as a turn of its own
TEXT_AS_THOUGHT = {"openai-gpt-oss-120b"}
TWO_AT_MOST = {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B"}  # ends the turn behind the second
_MARKERS = [
    "<tool_call>", "</tool_call>", "<|im_end|>", "[TOOL_CALLS]", '{"name": "get"', "</think>",
    "<think>", "</parameter>", "</function>", "<function=get>", "]", "}", "'", '"', "\\", "\n", "<",
]  # fmt: skip
_TEXT = st.lists(
    st.one_of(st.sampled_from(_MARKERS), st.text(st.characters(exclude_categories=["Cs"]))),
    max_size=4,
).map("".join)
_NUMBER = st.floats(allow_nan=False, allow_infinity=False)
_ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "text": _TEXT,
    "count": st.integers(-(2**63), 2**63),
    "ratio": _NUMBER,
    "flag": st.booleans(),
    "names": st.lists(_TEXT, max_size=3),
    "deep": st.fixed_dictionaries(
        {}, optional={"inner": st.lists(st.integers(), max_size=3), "word": _TEXT}
    ),
}
_CALL = st.tuples(
    st.sampled_from(["get", "get_more"]), st.fixed_dictionaries({}, optional=_ARGUMENTS)
)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for v in inner for text in _texts(v)]


def _ambiguous(name: str, calls: list[Call]) -> bool:
    """Whether a text that stands raw between markers holds the marker that ends it."""
    parameters = _tools(name).parameters
    if parameters is None or parameters.forms["string"].codec is not Codec.RAW:
        return False
    end = pieces(parameters.forms["string"].after.strip())[0]
    return any(end in t or _overlaps(t, end) for _, a in calls for t in _texts(a))


def _overlaps(text: str, end: str) -> bool:
    return any(text.endswith(end[:i]) for i in range(1, len(end)))


def _tools(name: str) -> Any:
    tools = learned(name)[1].tools
    assert tools is not None
    return tools


def _parser(name: str) -> SyntaxParser:
    return SyntaxParser(learned(name)[1], TOOLS)


@pytest.mark.skipif(not REAL, reason="needs the templates of shared/data")
def test_real_templates_show_their_calls_but_for_those_listed() -> None:
    without = {p.stem for p in REAL if learned(p.stem)[1].tools is None}
    assert without == set(WITHOUT_CALLS)
    assert len(REAL) - len(without) >= 42


@pytest.mark.parametrize("name", WITH_CALLS)
@RANDOM
@given(data=st.data())
def test_calls_are_read_back(name: str, data: st.DataObject) -> None:
    limit = (2 if name in TWO_AT_MOST else 3) if _tools(name).parallel else 1
    calls = data.draw(st.lists(_CALL, min_size=1, max_size=limit))
    assume(not _ambiguous(name, calls))
    text = rendered(name, calls)
    for chunks in ([text], chunked(text, 1), chunked(text, data.draw(st.integers(2, 9)))):
        found = read(_parser(name), chunks)
        assert found.calls == calls
        assert (found.content, found.notes) == ("", [])


@pytest.mark.parametrize("name", WITH_CALLS)
def test_calls_are_read_back_at_every_split(name: str) -> None:
    calls = FIXED if _tools(name).parallel else FIXED[:1]
    text = rendered(name, calls)
    for i in range(len(text)):
        assert read(_parser(name), [text[:i], text[i:]]).calls == calls, (i, text)


@pytest.mark.parametrize("name", WITH_CALLS)
def test_text_and_thoughts_come_apart_from_calls(name: str) -> None:
    said = "" if name in TEXT_BEHIND | TEXT_AS_THOUGHT else "Let me see."
    text = rendered(name, FIXED[:1], content=said, reasoning="Hm,\nso.")
    found = read(_parser(name), chunked(text, 3))
    assert found.calls == FIXED[:1]
    assert found.content.strip() == (said if said in text else "")
    assert found.reasoning == ("Hm,\nso." if "Hm,\nso." in text else "")


BYTES = LLTokenizer("byte")


def _accepts(lark: str, text: str) -> bool:
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_lark(lark), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    data = list(text.encode())
    return bool(matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting())


def _exact_tools(calls: list[Call]) -> list[dict[str, Any]]:
    """Tools whose arguments are those of the calls, in their order."""
    return [tool(n, {k: PROPERTIES[k] for k in a}, list(a)) for n, a in dict(calls).items()]


@pytest.mark.parametrize("name", WITH_CALLS)
@pytest.mark.parametrize("required", [True, False], ids=["required", "auto"])
def test_the_grammar_accepts_what_the_template_writes(name: str, required: bool) -> None:
    calls = FIXED if _tools(name).parallel else FIXED[:1]
    tools = _exact_tools(calls)
    lark = grammar(learned(name)[1], Demand(tools, required=required))
    assert _accepts(lark, rendered(name, calls, tools=tools))
    content = learned(name)[1].content
    assert _accepts(lark, f"{content.open.lstrip()}No call.{content.close}") is not required


@pytest.mark.parametrize("name", WITH_CALLS)
def test_the_grammar_refuses_what_no_call_is(name: str) -> None:
    calls = FIXED[:1]
    tools = _exact_tools(calls)
    text = rendered(name, calls, tools=tools)
    lark = grammar(learned(name)[1], Demand(tools, required=True))
    for wrong in (text.replace("get_more", "get_less"), text.replace("-3", "true"), text[:-4]):
        assert not _accepts(lark, wrong) or name in TWO_AT_MOST


@pytest.mark.parametrize("name", WITH_CALLS)
def test_at_most_one_call_without_parallel_calls(name: str) -> None:
    if not _tools(name).parallel:
        return
    tools = _exact_tools(FIXED)
    lark = grammar(learned(name)[1], Demand(tools, required=True, parallel=False))
    assert _accepts(lark, rendered(name, FIXED[:1], tools=tools))
    assert not _accepts(lark, rendered(name, FIXED, tools=tools))


@pytest.mark.parametrize("name", WITH_CALLS)
def test_whatever_the_grammar_allows_is_read_as_a_call(name: str) -> None:
    """A model that draws at random from what the grammar allows still makes valid calls."""
    syntax = learned(name)[1]
    simple = {"text": {"type": "string", "maxLength": 5}, "count": {"enum": [7, 12]}}
    tools = [tool("get", simple, ["count"])]
    lark = grammar(syntax, Demand(tools, required=True, parallel=False, may_think=False))
    for seed in range(3):
        text = _drawn(lark, random.Random(seed))
        found = read(SyntaxParser(syntax, tools), [text])
        assert [n for n, _ in found.calls] == ["get"], text
        arguments = found.calls[0][1]
        assert arguments["count"] in (7, 12)
        assert set(arguments) <= {"text", "count"}
        assert len(arguments.get("text", "")) <= 5


def _drawn(lark: str, chance: random.Random) -> str:
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_lark(lark), log_level=0)
    found = bytearray()
    while not matcher.is_stopped() and len(found) < 2000:
        mask = matcher.compute_bitmask()
        allowed = [i for i in range(256) if mask[i // 8] >> (i % 8) & 1]
        if not allowed or (matcher.is_accepting() and chance.random() < 0.5):
            break
        plain = [i for i in allowed if 32 <= i < 127] or allowed
        found.append(chance.choice(plain))
        matcher.consume_token(found[-1])
    assert matcher.is_accepting() or matcher.is_stopped(), bytes(found)
    return bytes(found).decode()
