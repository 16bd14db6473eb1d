"""Messages as callers write them become messages as templates expect them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat_samples import OWN

from llamaherd import ChatTemplateError
from llamaherd.chat.format import ChatFormat
from llamaherd.chat.messages import adapted, checked
from llamaherd.chat.syntax import ARGUMENTS, NAME, AnswerSyntax, ToolSyntax


def _call(arguments: object, identity: str = "call_long_id") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": "f", "arguments": arguments}}


def _adapted(messages: list[dict[str, Any]], **syntax: Any) -> list[dict[str, Any]]:
    tools = ToolSyntax(f"{NAME}{ARGUMENTS}", **syntax)
    return adapted(checked(messages), AnswerSyntax(tools=tools, reasoning_key="thinking"))


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}'])
@pytest.mark.parametrize("as_text", [True, False])
def test_arguments_become_what_the_template_wants(arguments: object, as_text: bool) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [_call(arguments)]}
    (found,) = _adapted([message], as_text=as_text)
    written = found["tool_calls"][0]["function"]["arguments"]
    assert written == ('{"a": 1}' if as_text else {"a": 1})
    assert message["tool_calls"][0]["function"]["arguments"] == arguments  # type: ignore[index]


def test_short_ids_are_the_same_for_a_call_and_its_result() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [_call({})]}
    result = {"role": "tool", "tool_call_id": "call_long_id", "content": "x"}
    found = _adapted([call, result], short_ids=True)
    identity = found[0]["tool_calls"][0]["id"]
    assert identity == found[1]["tool_call_id"]
    assert len(identity) == 9
    assert identity.isalnum()


def test_a_result_gets_the_name_of_its_call() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [_call({})]}
    result = {"role": "tool", "tool_call_id": "call_long_id", "content": "x"}
    assert _adapted([call, result])[1]["name"] == "f"


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_move_to_the_field_that_the_template_reads(key: str) -> None:
    (found,) = _adapted([{"role": "assistant", "content": "x", key: "hm"}])
    assert found["thinking"] == "hm"
    assert found["content"] == "x"


def test_a_developer_is_the_system_to_templates_that_know_none() -> None:
    chat = ChatFormat({"default": OWN["object in markers"]}, now=lambda: 0.0)
    prompt = chat.render([{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}])
    assert prompt.text.startswith("<|system|>a<|end|>")


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({"role": "assistant", "tool_calls": "f"}, r"messages\[0\]\.tool_calls"),
        ({"role": "assistant", "tool_calls": [{}]}, r"messages\[0\]\.tool_calls\[0\]"),
        ({"role": "assistant", "tool_calls": [_call("{")]}, r"arguments is not JSON"),
        ({"role": "assistant", "tool_calls": [_call("[]")]}, r"expected an object"),
        ({"role": "assistant", "reasoning_content": 3}, r"messages\[0\]\.reasoning_content"),
        ({"role": "user", "name": 3, "content": ""}, r"messages\[0\]\.name"),
    ],
)
def test_a_malformed_field_is_named_by_its_place(message: dict[str, Any], place: str) -> None:
    with pytest.raises(ChatTemplateError, match=place):
        checked([message])


def test_arguments_survive_as_json_text() -> None:
    arguments = {"ü": ["\n", None, {"x": 1.5}]}
    message = {"role": "assistant", "tool_calls": [_call(json.dumps(arguments))]}
    assert checked([message])[0]["tool_calls"][0]["function"]["arguments"] == arguments
