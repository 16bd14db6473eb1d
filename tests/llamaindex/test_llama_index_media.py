"""Pictures and sounds in messages, read by a random projector: other media, other answers."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from index_fixtures import demo_llm
from llama_index.core.base.llms.types import AudioBlock, ImageBlock, TextBlock
from llama_index.core.llms import ChatMessage
from tiny_mmproj import IMAGE_TOKENS, SOUND_TOKENS, image_part, png, wav

from llamaherd import UnsupportedError
from llamaherd.llama_index import LlamaCppLLM


@pytest.fixture(scope="module")
def seeing(mmproj: Path) -> LlamaCppLLM:
    return demo_llm(mmproj=str(mmproj), max_tokens=6)


def _n_read(seeing: LlamaCppLLM, *blocks: TextBlock | ImageBlock | AudioBlock) -> int:
    response = seeing.chat([ChatMessage(blocks=[*blocks])])
    assert response.raw is not None
    return int(response.raw["usage"]["prompt_tokens"])


def test_pictures_and_sounds_are_read(seeing: LlamaCppLLM) -> None:
    text = TextBlock(text="what is this?")
    n_text = _n_read(seeing, text)
    assert _n_read(seeing, text, ImageBlock(image=png(30, 20))) == n_text + IMAGE_TOKENS
    assert _n_read(seeing, text, AudioBlock(audio=wav())) == n_text + SOUND_TOKENS


async def test_a_picture_is_the_one_that_llama_reads(seeing: LlamaCppLLM) -> None:
    picture = png(30, 20, seed=3)
    expected = seeing.load().create_chat_completion(
        [{"role": "user", "content": [image_part(picture)]}], temperature=0, max_tokens=6
    )["choices"][0]["message"]["content"]
    block = ImageBlock(image=base64.b64encode(picture))
    assert seeing.chat([ChatMessage(blocks=[block])]).message.content == expected
    assert (await seeing.achat([ChatMessage(blocks=[block])])).message.content == expected


def test_a_model_without_projector_says_what_is_missing() -> None:
    with pytest.raises(UnsupportedError, match="mmproj="):
        demo_llm().chat([ChatMessage(blocks=[ImageBlock(image=png(8, 8))])])
