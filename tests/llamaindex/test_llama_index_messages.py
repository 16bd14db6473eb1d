"""LlamaIndex's messages and blocks as OpenAI's."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from pdf_file import pdf_with_text, pdf_without_text

from llamaherd import UnsupportedError
from llamaherd.llama_index.messages import openai_messages

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = (
    b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0"
    b"data\4\0\0\0\0\0\0\0"
)


def _content(*blocks: Any) -> Any:
    (message,) = openai_messages([ChatMessage(blocks=list(blocks))])
    return message["content"]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "developer"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_every_role_has_openais_name(role: MessageRole, expected: str) -> None:
    assert openai_messages([ChatMessage("a", role=role)]) == [{"role": expected, "content": "a"}]


def test_texts_are_joined_as_llama_index_shows_them() -> None:
    message = ChatMessage(blocks=[TextBlock(text="a"), TextBlock(text="b")])
    assert openai_messages([message])[0]["content"] == message.content == "a\nb"


def test_an_image_becomes_a_data_url_or_stays_an_address(tmp_path: Path) -> None:
    file = tmp_path / "dot.png"
    file.write_bytes(PNG)
    inline = "data:image/png;base64," + base64.b64encode(PNG).decode()
    for block in (ImageBlock(image=PNG), ImageBlock(path=file), ImageBlock(url=inline)):
        text, image = _content(TextBlock(text="what is it?"), block)
        assert text == {"type": "text", "text": "what is it?"}
        assert image == {"type": "image_url", "image_url": {"url": inline}}
    address = ImageBlock(url="https://example.com/dot.png", detail="low")
    assert _content(address) == [
        {
            "type": "image_url",
            "image_url": {"url": "https://example.com/dot.png", "detail": "low"},
        }
    ]


def test_audio_becomes_data_with_its_format(tmp_path: Path) -> None:
    file = tmp_path / "silence.wav"
    file.write_bytes(WAV)
    data = base64.b64encode(WAV).decode()
    expected = [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]
    assert _content(AudioBlock(audio=WAV)) == expected
    assert _content(AudioBlock(path=file)) == expected
    with pytest.raises(UnsupportedError, match="audio by address"):
        _content(AudioBlock(url="https://example.com/silence.wav"))


def test_a_document_becomes_its_text(tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf_with_text("All is well"))
    assert _content(DocumentBlock(data=b"plain text")) == "plain text"
    assert _content(DocumentBlock(path=file)).strip() == "All is well"
    assert _content(
        TextBlock(text="Read:"), DocumentBlock(data=file.read_bytes())
    ).splitlines() == [
        "Read:",
        "All is well",
    ]


def test_a_document_without_text_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"'scan.*no text"):
        _content(DocumentBlock(data=pdf_without_text(), title="scan"))
    with pytest.raises(UnsupportedError, match="'archive' of type application/zip is not text"):
        _content(
            DocumentBlock(
                data=b"PK\3\4\xff\xfe", title="archive", document_mimetype="application/zip"
            )
        )
    with pytest.raises(UnsupportedError, match="document by address"):
        _content(DocumentBlock(url="https://example.com/a.pdf"))


def test_citations_are_text_and_cache_points_are_kept_anyway() -> None:
    citable = CitableBlock(title="Birds", source="book", content=[TextBlock(text="They fly.")])
    cited = CitationBlock(
        cited_content=TextBlock(text="They fly."),
        source="book",
        title="Birds",
        additional_location_info={},
    )
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    assert _content(citable, point) == "Birds (book):\nThey fly."
    assert _content(cited) == "They fly."


def test_what_no_model_here_reads_is_refused_by_type() -> None:
    with pytest.raises(UnsupportedError, match="'video'"):
        _content(VideoBlock(video=b"\0\0"))


def test_thoughts_calls_and_results_keep_their_places() -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1, "b": "ü"})
    said = ChatMessage(
        role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="Let me add."), call]
    )
    result = ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "c1", "other": 1})
    assert openai_messages([said, result]) == [
        {
            "role": "assistant",
            "content": "Let me add.",
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 1, "b": "ü"}'},
                }
            ],
        },
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
    ]


def test_calls_that_another_class_left_in_additional_kwargs_are_found() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}

    class OfOpenAI:
        def model_dump(self) -> dict[str, Any]:
            return call

    for kept in (call, OfOpenAI()):
        message = ChatMessage(role="assistant", blocks=[], additional_kwargs={"tool_calls": [kept]})
        assert openai_messages([message]) == [
            {"role": "assistant", "content": None, "tool_calls": [call]}
        ]
