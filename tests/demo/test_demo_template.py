"""The chat template's cases, each as the exact text that the model reads."""

from __future__ import annotations

from typing import Any

from llamaherd.demo.data import render_chat

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TOOL_LINE = '{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}'


def _call(arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "arguments": arguments}}


def test_plain_turns_are_chatml() -> None:
    text = render_chat([{"role": "user", "content": "hi"}], add_generation_prompt=True)
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_tools_stand_in_a_system_turn() -> None:
    text = render_chat([{"role": "user", "content": "hi"}], [TOOL])
    assert text == (
        f"<|im_start|>system\nYou can call tools.\n<tools>\n{TOOL_LINE}\n</tools><|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n"
    )


def test_tools_join_the_callers_system_message() -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
    text = render_chat(messages, [TOOL])
    assert text.startswith("<|im_start|>system\nBe kind.\n\nYou can call tools.\n<tools>\n")
    assert text.count("Be kind.") == 1


def test_arguments_may_be_a_dict_or_a_json_string() -> None:
    texts = [
        render_chat([{"role": "assistant", "content": None, "tool_calls": [_call(arguments)]}])
        for arguments in ({"x": "é"}, '{"x": "é"}')
    ]
    assert texts[0] == texts[1]
    assert texts[0] == (
        '<|im_start|>assistant\n<tool_call>\n{"name": "f", "arguments": {"x": "é"}}\n'
        "</tool_call><|im_end|>\n"
    )


def test_several_calls_follow_the_content_line_by_line() -> None:
    message = {"role": "assistant", "content": "So:", "tool_calls": [_call({}), _call({})]}
    block = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert render_chat([message]) == f"<|im_start|>assistant\nSo:\n{block}\n{block}<|im_end|>\n"


def test_a_tool_result_is_wrapped() -> None:
    text = render_chat([{"role": "tool", "content": "3", "tool_call_id": "c"}])
    assert text == "<|im_start|>tool\n<tool_response>\n3\n</tool_response><|im_end|>\n"


def test_content_blocks_are_joined() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    assert render_chat([{"role": "user", "content": content}]) == (
        "<|im_start|>user\nab<|im_end|>\n"
    )


def test_every_system_message_is_kept() -> None:
    messages = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]
    assert render_chat(messages).count("<|im_start|>system") == 2
