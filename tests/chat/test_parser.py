"""Answers that are not what a template would have written."""

from __future__ import annotations

import pytest
from chat_samples import OWN, TOOLS, Read, chunked, learned, read

from llamaherd.chat.events import CallArguments, CallStart, ContentDelta
from llamaherd.chat.parser import SyntaxParser

CALL = '<call>{"name": "get", "arguments": {"text": "x"}}</call>'


def _read(text: str, name: str = "object in markers", size: int = 1, prefill: str = "") -> Read:
    return read(SyntaxParser(learned(name)[1], TOOLS, prefill), chunked(text, size))


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    "text",
    [
        "Just text.",
        "a < b, <cal> and <call a friend>",
        "ends with <cal",
        "ends with <",
        " spaces around \n",
        "<call> me maybe",
        '<call>{"name": "unknown", "arguments": {}}</call>',
        '<call>{"name": "get"',
        "<thin> air",
        "",
    ],
)
def test_text_that_is_no_call_stays_text(text: str, size: int) -> None:
    found = _read(text, size=size)
    assert (found.content, found.calls) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        '<call>{"name": "get", "arguments": {"text": }}</call>',
        '<call>{"name": "get", "arguments": [1]}</call>',
        '<call>{"name": "get", "arguments": {"text": "x"',
        '<call>{"name": "get", "arguments": {"text": "x"}} and so on',
    ],
)
def test_a_malformed_call_comes_back_as_text_with_a_note(text: str) -> None:
    found = _read(f"Well: {text}")
    assert found.calls == []
    assert found.content == f"Well: {text}" or found.content == f"Well:{text}"
    assert len(found.notes) == 1


def test_a_call_may_lack_its_last_marker() -> None:
    assert _read(CALL.removesuffix("</call>")).calls == [("get", {"text": "x"})]


def test_markers_may_be_spaced_in_other_ways() -> None:
    text = '<call>\n  {"name":"get",  "arguments":{"text":"x"}}\n</call>\n'
    found = _read(text)
    assert found.calls == [("get", {"text": "x"})]
    assert found.content == ""


def test_text_may_come_before_and_between_calls() -> None:
    found = _read(f"One: {CALL} two: {CALL} done")
    assert found.calls == [("get", {"text": "x"})] * 2
    assert found.content.split() == ["One:", "two:", "done"]


def test_a_longer_name_is_not_taken_for_a_shorter_one() -> None:
    text = "<run>get_more<k>text</k><v type=str>x</v></run>"
    for size in (1, 3, 100):
        found = _read(text, "tagged with types", size)
        assert found.calls == [("get_more", {"text": "x"})]


@pytest.mark.parametrize("name", ["tagged", "tagged with types", "like Python"])
def test_arguments_are_typed_by_the_schema(name: str) -> None:
    text = {
        "tagged": "<invoke get>\n<arg name=text>\n12\n</arg>\n<arg name=count>\n12\n</arg>\n"
        "<arg name=names>\n[]\n</arg>\n</invoke>\n",
        "tagged with types": "<run>get<k>text</k><v type=str>12</v><k>count</k>"
        "<v type=json>12</v><k>names</k><v type=json>[]</v></run>",
        "like Python": "<|py|>[get(text='12', count=12, names=[])]<|/py|>",
    }[name]
    assert _read(text, name).calls == [("get", {"text": "12", "count": 12, "names": []})]


def test_python_words_become_json() -> None:
    text = "<|py|>[get(flag=True, deep={'word': 'it\\'s', 'inner': [1, 2]})]<|/py|>"
    expected = {"flag": True, "deep": {"word": "it's", "inner": [1, 2]}}
    assert _read(text, "like Python").calls == [("get", expected)]


def test_a_value_may_hold_the_marker_that_ends_it_if_nothing_follows_it() -> None:
    text = "<invoke get>\n<arg name=text>\nsay </arg> twice\n</arg>\n</invoke>\n"
    assert _read(text, "tagged").calls == [("get", {"text": "say </arg> twice"})]


@pytest.mark.parametrize("prefill", ["", "<think>"])
def test_thoughts_are_apart_whoever_opened_them(prefill: str) -> None:
    opened = "" if prefill else "<think>"
    found = _read(f"{opened}\nhm <b> </thin\n</think>\n\nYes.{CALL}", prefill=prefill)
    assert (found.reasoning, found.content) == ("hm <b> </thin", "Yes.")
    assert found.calls == [("get", {"text": "x"})]


def test_a_thought_that_does_not_end_stays_a_thought() -> None:
    found = _read("<think>hm <call>")
    assert (found.reasoning, found.content) == ("hm <call>", "")


def test_without_tools_nothing_is_a_call() -> None:
    parser = SyntaxParser(learned("object in markers")[1])
    assert read(parser, [CALL]).content == CALL


def test_bare_calls_are_calls_only_at_the_beginning() -> None:
    call = '{"name": "get", "parameters": {"text": "x"}}'
    assert _read(call, "bare object").calls == [("get", {"text": "x"})]
    assert _read(f"For instance {call}", "bare object").content == f"For instance {call}"
    assert _read('{"answer": 42}', "bare object").content == '{"answer": 42}'


def test_ids_that_the_model_writes_are_given() -> None:
    text = '[CALLS][{"id": "abcdef123", "tool": "get", "input": {}}]'
    assert _read(text, "list with ids").ids == ["abcdef123"]


def test_content_and_arguments_arrive_as_soon_as_they_are_known() -> None:
    parser = SyntaxParser(learned("object in markers")[1], TOOLS)
    assert parser.feed("Hello") == [ContentDelta("Hello")]
    assert parser.feed(" <call>") == []
    assert parser.feed('{"name": "get", "arguments": {"te') == [
        CallStart(0, "get", None),
        CallArguments(0, '{"te'),
    ]
    assert parser.feed('xt": "abc') == [CallArguments(0, 'xt": "abc')]


def test_raw_strings_stream() -> None:
    parser = SyntaxParser(learned("tagged")[1], TOOLS)
    events = parser.feed('<invoke get>\n<arg name=text>\nsome "long" text')
    said = "".join(e.text for e in events if isinstance(e, CallArguments))
    assert said.startswith('{"text": "some \\"long\\" te')


@pytest.mark.parametrize("name", OWN)
def test_work_is_linear_in_the_text(name: str) -> None:
    """Counted in characters looked at by hand, since time is not to be trusted: no re-reading."""
    syntax = learned(name)[1]
    parser = SyntaxParser(syntax, TOOLS)
    held = 0
    for chunk in chunked("lorem <ipsum> [dolor] {sit} " * 400, 3):
        parser.feed(chunk)
        held = max(held, len(parser.held))
    assert held < 200
