"""Pictures on models whose memory cannot be cut back: saved states know them by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_forgetting import FORGETTING, WIDTH
from tiny_mmproj import VISION, image_part, png, tiny_mmproj

from llamaherd import Llama

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
QUESTION = "What is this, and what is it for, if it is for anything?"


def _answer(llm: Llama, messages: list[Any]) -> Any:
    return llm.create_chat_completion(
        messages, temperature=0, max_tokens=8, ignore_eos=True, logit_bias={"256": False}
    )


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("kind", FORGETTING)
def test_a_next_turn_and_a_parting_go_on_from_saved_states(
    tmp_path: Path, kind: str, vision: str
) -> None:
    model, mmproj = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    model.write_bytes(FORGETTING[kind]())
    mmproj.write_bytes(tiny_mmproj(WIDTH, vision=vision))
    with Llama(model, mmproj=mmproj, chat_template=TEMPLATE, n_ctx=1024, n_threads=1) as llm:
        first = {
            "role": "user",
            "content": [image_part(png(20, 20)), {"type": "text", "text": QUESTION}],
        }
        said = _answer(llm, [first])["choices"][0]["message"]
        talks = [
            [first],
            [first, said, {"role": "user", "content": "Why?"}],
            [{"role": "user", "content": [image_part(png(20, 20, 1)), first["content"][1]]}],
        ]
        warm = [_answer(llm, talk) for talk in talks]
        llm._engine._worker.check_integrity()
        for talk, found in zip(talks, warm, strict=True):
            llm.reset()
            cold = _answer(llm, talk)
            assert cold["choices"][0]["message"] == found["choices"][0]["message"]
        cached = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in warm]
        assert cached[1] > VISION[vision]
