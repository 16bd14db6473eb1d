"""LangChain's messages as OpenAI's: roles, calls, thoughts, content blocks of three dialects."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from sample_files import pdf, png, wav

from llamaherd import OptionError, UnsupportedError
from llamaherd.langchain.messages import as_openai

PNG, WAV = (base64.b64encode(data).decode() for data in (png(), wav()))
PDF = base64.b64encode(pdf("A dummy file")).decode()
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
SOUND = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}


def parts(*blocks: Any) -> Any:
    """The content that blocks become."""
    (found,) = as_openai([HumanMessage(list(blocks))])
    return found["content"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HumanMessage("hi"), {"role": "user", "content": "hi"}),
        (HumanMessage("hi", name="ada"), {"role": "user", "content": "hi", "name": "ada"}),
        (SystemMessage("be"), {"role": "system", "content": "be"}),
        (
            SystemMessage("be", additional_kwargs={"__openai_role__": "developer"}),
            {"role": "developer", "content": "be"},
        ),
        (AIMessage("yes"), {"role": "assistant", "content": "yes"}),
        (ChatMessage(content="hm", role="critic"), {"role": "critic", "content": "hm"}),
        (
            FunctionMessage(content="5", name="add"),
            {"role": "function", "content": "5", "name": "add"},
        ),
        (
            ToolMessage("5", tool_call_id="c", name="add"),
            {"role": "tool", "tool_call_id": "c", "content": "5", "name": "add"},
        ),
    ],
)
def test_roles(message: BaseMessage, expected: dict[str, Any]) -> None:
    assert as_openai([message]) == [expected]


def test_calls_and_their_results() -> None:
    call = {"name": "add", "args": {"a": 1, "名": "ü"}, "id": "c1", "type": "tool_call"}
    (found,) = as_openai([AIMessage("", tool_calls=[call])])
    assert found["tool_calls"] == [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "add", "arguments": '{"a": 1, "名": "ü"}'},
        }
    ]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("yes", additional_kwargs={"reasoning_content": "hm"}),
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "x"}, "yes"]),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "yes"}]),
    ],
)
def test_thoughts_are_kept(message: AIMessage) -> None:
    expected = {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    assert as_openai([message]) == [expected]


def test_blocks_that_tool_calls_say_again_are_no_text() -> None:
    content: list[Any] = [
        {"type": "text", "text": "I see"},
        {"type": "tool_use", "id": "c", "name": "add", "input": {}},
    ]
    calls = [{"name": "add", "args": {}, "id": "c", "type": "tool_call"}]
    (found,) = as_openai([AIMessage(content, tool_calls=calls)])
    assert found["content"] == "I see"
    assert len(found["tool_calls"]) == 1


def test_texts_become_one() -> None:
    assert parts("a", {"type": "text", "text": "b", "cache_control": {"type": "x"}}) == "a\n\nb"


@pytest.mark.parametrize(
    "block",
    [
        PICTURE,
        {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
        {"type": "image", "url": f"data:image/png;base64,{PNG}"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        },
        {"type": "file", "base64": PNG, "mime_type": "image/png"},
    ],
)
def test_pictures_of_all_dialects(block: dict[str, Any]) -> None:
    text = {"type": "text", "text": "look"}
    assert parts("look", block) == [text, PICTURE]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
    ],
)
def test_addresses_of_pictures_are_passed_on(block: dict[str, Any]) -> None:
    (found,) = parts(block)
    assert found == {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    "block",
    [
        SOUND,
        {"type": "audio", "base64": WAV, "mime_type": "audio/wav"},
        {"type": "audio", "base64": WAV, "mime_type": "audio/x-wav"},
        {"type": "audio", "url": f"data:audio/wav;base64,{WAV}"},
        {"type": "file", "base64": WAV, "mime_type": "audio/wav"},
    ],
)
def test_sounds_of_all_dialects(block: dict[str, Any]) -> None:
    assert parts(block) == [SOUND]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
        {"type": "file", "source_type": "base64", "data": PDF, "mime_type": "application/pdf"},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        },
    ],
)
def test_the_text_of_a_pdf_is_read(block: dict[str, Any]) -> None:
    assert parts("Summarize:", block) == "Summarize:\n\nA dummy file"


def test_documents_have_names() -> None:
    block = {"type": "file", "base64": PDF, "mime_type": "application/pdf", "filename": "a.pdf"}
    assert parts(block) == "[a.pdf]\nA dummy file"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text-plain", "text": "words", "mime_type": "text/plain"},
        {"type": "text-plain", "base64": "d29yZHM=", "mime_type": "text/plain"},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        },
        {"type": "file", "base64": "d29yZHM=", "mime_type": "text/markdown"},
    ],
)
def test_plain_files(block: dict[str, Any]) -> None:
    assert parts(block) == "words"


def test_results_with_pictures() -> None:
    (found,) = as_openai([ToolMessage([{"type": "image", "base64": PNG}], tool_call_id="c")])
    assert found == {"role": "tool", "tool_call_id": "c", "content": [PICTURE]}


def test_results_in_the_users_message_become_their_own() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "5"}]}
    assert as_openai([HumanMessage([result, "and now?"])]) == [
        {"role": "tool", "tool_call_id": "c", "content": "5"},
        {"role": "user", "content": "and now?"},
    ]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}, "video"),
        ({"type": "file", "url": "https://example.org/a.pdf"}, "not fetched"),
        ({"type": "file", "file_id": "f1"}, "base64"),
        ({"type": "file", "base64": "!", "mime_type": "application/pdf"}, "base64"),
        ({"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}, "PDF"),
        ({"type": "file", "base64": "AAAA", "mime_type": "application/zip"}, "zip"),
        ({"type": "image"}, "image"),
        ({"type": "audio", "url": "https://example.org/a.wav"}, "audio"),
        ({"kind": "text"}, "messages"),
    ],
)
def test_what_no_model_can_read_is_refused_by_place(block: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        as_openai([SystemMessage("x"), HumanMessage(["look", block])])
    assert "messages[1].content[1]" in str(caught.value)


def test_a_pdf_without_text_tells_the_remedy() -> None:
    data = base64.b64encode(pdf("")).decode()
    with pytest.raises(UnsupportedError, match="images"):
        parts({"type": "file", "base64": data, "mime_type": "application/pdf"})


def test_messages_that_are_none_are_refused() -> None:
    with pytest.raises(OptionError, match=r"messages\[0\]"):
        as_openai([RemoveMessage(id="x")])
