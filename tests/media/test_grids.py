"""Pictures in two dimensions (M-RoPE), on a random Qwen2-VL: as llama.cpp itself reads them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import MARKER, reference_logits
from tiny_mmproj import audio_part, image_part, png, tiny_mmproj, wav
from tiny_qwen2vl import WIDTH, tiny_qwen2vl

from llamaherd import Llama

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
PICTURES = [png(56, 28, seed) for seed in range(4)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("qwen2vl")
    model, mmproj = folder / "model.gguf", folder / "mmproj.gguf"
    model.write_bytes(tiny_qwen2vl())
    mmproj.write_bytes(tiny_mmproj(WIDTH, vision="qwen2vl_merger", audio=True))
    return model, mmproj


def _load(files: tuple[Path, Path], **options: Any) -> Llama:
    model, mmproj = files
    return Llama(model, mmproj=mmproj, chat_template=TEMPLATE, n_threads=1, **options)


@pytest.fixture
def llm(files: tuple[Path, Path]) -> Iterator[Llama]:
    with _load(files, n_ctx=1024, n_parallel=3) as loaded:
        yield loaded


def _user(*parts: Any) -> dict[str, Any]:
    made = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
    return {"role": "user", "content": made}


def _ask(llm: Llama, *messages: Any, **options: Any) -> Any:
    options = {"temperature": 0, "max_tokens": 6, "ignore_eos": True, **options}
    return llm.create_chat_completion(messages, **options)


@pytest.mark.parametrize("n_batch", [2048, 3])
def test_answers_are_those_of_llama_cpp_itself(files: tuple[Path, Path], n_batch: int) -> None:
    drawn: list[Any] = []

    def watch(ids: Any, logits: Any) -> None:
        drawn.append(logits.copy())

    with _load(files, n_ctx=512, n_batch=n_batch, n_parallel=1) as llm:
        rendered = llm.apply_chat_template([_user(f"a{MARKER}b {MARKER} c{MARKER}d")])
        media = [PICTURES[0], wav(), PICTURES[1]]
        expected = reference_logits(llm.model, files[1], rendered, media, 5)
        first, second = (image_part(picture) for picture in PICTURES[:2])
        message = _user("a", first, "b ", audio_part(wav()), " c", second, "d")
        _ask(llm, message, max_tokens=5, logits_processor=[watch])
        llm._engine._worker.check_integrity()
    for ours, theirs in zip(drawn, expected, strict=True):
        assert np.abs(ours - theirs).max() < 2e-2
        assert ours.argmax() == theirs.argmax()


def test_what_lies_in_memory_answers_like_what_is_read_anew(llm: Llama) -> None:
    first = _user("What is this?", image_part(PICTURES[0]), " Say.")
    said = _ask(llm, first)["choices"][0]["message"]
    talks = [
        [first],
        [first, said, _user("And this?", image_part(PICTURES[1]))],
        [_user("What is this?", image_part(PICTURES[0]), " Tell.")],
        [_user("What is this?", image_part(PICTURES[2]), " Say.")],
        [_user("What is this?", image_part(PICTURES[0]))],
    ]
    warm = [_ask(llm, *talk) for talk in talks]
    llm._engine._worker.check_integrity()
    for talk, found in zip(talks, warm, strict=True):
        llm.reset()
        cold = _ask(llm, *talk)
        assert cold["choices"][0]["message"] == found["choices"][0]["message"]
    cached = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in warm]
    assert cached[1] > cached[2] > cached[3] + 8


def test_many_callers_in_little_memory_get_their_own_answers(files: tuple[Path, Path]) -> None:
    talks = [_user(f"{n} is?", image_part(PICTURES[n % 4]), "Why?") for n in range(12)]
    with _load(files, n_ctx=256, n_parallel=4) as llm:
        alone = []
        for talk in talks:
            llm.reset()
            alone.append(_ask(llm, talk, max_tokens=50)["choices"][0]["message"])
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(lambda talk: _ask(llm, talk, max_tokens=50), talks * 2))
        stats = llm.stats()
        llm._engine._worker.check_integrity()
    assert [answer["choices"][0]["message"] for answer in together] == alone * 2
    assert stats.cache.evicted > 0
