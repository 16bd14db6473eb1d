"""Chats about pictures and sounds, with random projectors: whatever they say, they say it alike."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import MARKER, reference_logits
from tiny_gguf import Typed
from tiny_mmproj import (
    IMAGE_TOKENS,
    SOUND_TOKENS,
    audio_part,
    image_part,
    png,
    tiny_mmproj,
    wav,
)

from llamaherd import Ambient, Llama
from llamaherd.errors import (
    ChatTemplateError,
    ClosedError,
    ContextLengthError,
    MediaError,
    ModelLoadError,
    OptionError,
    QueueFullError,
    UnsupportedError,
)

PICTURE, OTHER = png(30, 20), png(30, 20, seed=1)


@pytest.fixture(scope="module")
def seeing(mmproj: Path) -> Iterator[Llama]:
    ambient = Ambient(now=lambda: 1_700_000_000.0, new_id=lambda: "id", new_seed=lambda: 7)
    with Llama("demo", mmproj=mmproj, ambient=ambient, n_threads=1) as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def forgetful(seeing: Llama) -> None:
    seeing.reset()


def _user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [_text(p) if isinstance(p, str) else p for p in parts]}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _ask(llm: Llama, *messages: Any, **options: Any) -> Any:
    options = {"max_tokens": 6, "temperature": 0.0, **options}
    return llm.create_chat_completion(messages, **options)


def _logprob(answer: Any) -> float:
    found: float = answer["choices"][0]["logprobs"]["content"][0]["logprob"]
    return found


TILES: dict[str, object] = {
    "clip.vision.mm_patch_merge_type": "spatial_unpad",
    "clip.vision.image_grid_pinpoints": [Typed("i", n) for n in (28, 56, 56, 28, 56, 56)],
}
"""As llava-1.6 reads large pictures: in tiles, each a stretch of its own."""


@pytest.mark.parametrize(
    ("vision", "changes"), [("mlp", {}), ("gemma3", {}), ("mlp", TILES)], ids=str
)
@pytest.mark.parametrize("seed", range(3))
def test_answers_are_those_of_llama_cpp_itself(
    vision: str, changes: dict[str, object], seed: int, tmp_path: Path
) -> None:
    path = tmp_path / "mmproj.gguf"
    pictures = [png(40 + seed, 25, seed), png(9, 9, seed)]
    drawn: list[Any] = []

    def watch(ids: Any, logits: Any) -> None:
        drawn.append(logits.copy())

    with Llama("demo", n_threads=1) as llm:
        data = tiny_mmproj(llm.n_embd(), vision=vision, audio=True, seed=seed, changes=changes)
        path.write_bytes(data)
        rendered = llm.apply_chat_template([_user(f"a{MARKER}b {MARKER} c{MARKER}")])
        media = [pictures[0], wav(), pictures[1]]
        expected = reference_logits(llm.model, path, rendered, media, 5)
    with Llama("demo", mmproj=path, n_threads=1) as llm:
        message = _user(
            "a", image_part(pictures[0]), "b ", audio_part(wav()), " c", image_part(pictures[1])
        )
        _ask(llm, message, max_tokens=5, ignore_eos=True, logits_processor=[watch])
    assert len(drawn) == 5
    eos = [row.argmax() for row in expected]
    for ours, theirs in zip(drawn, expected, strict=True):
        close = np.abs(ours - theirs) < 2e-2
        assert close.mean() > 0.99, (np.abs(ours - theirs).max(), eos)
        assert ours.argmax() == theirs.argmax()


def test_the_same_picture_says_the_same_and_another_one_something_else(seeing: Llama) -> None:
    said = []
    for picture in (PICTURE, PICTURE, OTHER):
        seeing.reset()
        said.append(_logprob(_ask(seeing, _user("What?", image_part(picture)), logprobs=True)))
    assert said[0] == said[1]
    assert abs(said[0] - said[2]) > 1e-3


def test_usage_counts_the_places_of_a_picture(seeing: Llama) -> None:
    plain = _ask(seeing, _user("Hi"))["usage"]["prompt_tokens"]
    both = _ask(seeing, _user("Hi", image_part(PICTURE), audio_part(wav())))["usage"]
    assert both["prompt_tokens"] == plain + IMAGE_TOKENS + SOUND_TOKENS


def test_a_second_turn_reads_only_what_is_new(seeing: Llama) -> None:
    first = _user("What is this?", image_part(PICTURE))
    answer = _ask(seeing, first)
    before = seeing.stats()
    second = _ask(seeing, first, answer["choices"][0]["message"], _user("And why?"))
    usage, cached = second["usage"], second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= answer["usage"]["prompt_tokens"]
    read = seeing.stats().prompt_tokens - before.prompt_tokens
    assert read == usage["prompt_tokens"] - cached


def test_a_picture_is_computed_once(mmproj: Path) -> None:
    with Llama("demo", mmproj=mmproj, n_threads=1) as llm:
        for question in ("What?", "Who?", "Where?"):
            _ask(llm, _user(question, image_part(PICTURE)), max_tokens=1)
        assert llm._reader is not None
        assert (llm._reader.n_computed, llm._reader.n_reused) == (1, 2)


def test_without_a_media_cache_nothing_is_kept(mmproj: Path) -> None:
    with Llama("demo", mmproj=mmproj, media_cache_mib=0, n_threads=1) as llm:
        answers = [_ask(llm, _user("What?", image_part(PICTURE))) for _ in range(2)]
        assert llm._reader is not None
        assert llm._reader.n_computed == 2
    texts = {answer["choices"][0]["message"]["content"] for answer in answers}
    assert len(texts) == 1, "what lies in memory goes by content"


def test_streamed_awaited_and_plain_answers_agree(seeing: Llama) -> None:
    message = _user(image_part(PICTURE), "What is it?", image_part(OTHER))
    plain = _ask(seeing, message)["choices"][0]["message"]["content"]
    chunks = _ask(seeing, message, stream=True)
    streamed = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)

    async def awaited() -> tuple[str, str]:
        options: dict[str, Any] = {"max_tokens": 6, "temperature": 0.0}
        whole = await seeing.acreate_chat_completion([message], **options)
        pieces = await seeing.acreate_chat_completion([message], stream=True, **options)
        deltas = [chunk["choices"][0]["delta"].get("content") or "" async for chunk in pieces]
        return whole["choices"][0]["message"]["content"], "".join(deltas)

    assert {plain, streamed, *asyncio.run(awaited())} == {plain}


def test_callers_with_pictures_and_without_share_the_engine(seeing: Llama) -> None:
    messages = [
        _user(f"What is {i}?", *([image_part(png(12, 12, i % 3))] if i % 2 else []))
        for i in range(8)
    ]
    alone = [_ask(seeing, message)["choices"][0]["message"]["content"] for message in messages]
    together: dict[int, str] = {}

    def ask(at: int) -> None:
        together[at] = _ask(seeing, messages[at])["choices"][0]["message"]["content"]

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(messages))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[at] for at in range(len(messages))] == alone


def test_texts_do_not_wait_for_pictures(seeing: Llama) -> None:
    assert seeing._reader is not None
    busy = seeing._reader._computing

    async def many() -> list[str]:
        busy.acquire()  # somebody computes a large picture
        pictures = [
            asyncio.ensure_future(
                seeing.acreate_chat_completion(
                    [_user("What?", image_part(png(8, 8, 100 + i)))], max_tokens=2
                )
            )
            for i in range(40)
        ]
        try:
            await asyncio.sleep(0)
            said = await asyncio.wait_for(
                seeing.acreate_chat_completion([_user("Hello!")], max_tokens=2), 60
            )
            assert not any(picture.done() for picture in pictures)
        finally:
            busy.release()
        return [answer["object"] for answer in (said, *await asyncio.gather(*pictures))]

    assert asyncio.run(many()) == ["chat.completion"] * 41


def test_a_full_queue_refuses_a_picture_before_it_is_computed(mmproj: Path) -> None:
    with Llama("demo", mmproj=mmproj, n_parallel=1, max_queue=0, n_threads=1) as llm:
        running = llm("Hello", stream=True, max_tokens=1000, ignore_eos=True)
        assert next(running)
        with pytest.raises(QueueFullError):
            _ask(llm, _user(image_part(PICTURE)))
        running.close()
        assert llm._reader is not None
        assert llm._reader.n_computed == 0


def test_closing_waits_for_the_picture_that_is_computed(mmproj: Path) -> None:
    found: list[BaseException | str] = []
    with Llama("demo", mmproj=mmproj, n_threads=1) as llm:

        def ask() -> None:
            try:
                for i in itertools.count():
                    _ask(llm, _user(image_part(png(8, 8, i))), max_tokens=1)
            except ClosedError as error:
                found.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not llm.stats().generated_tokens:
            time.sleep(0.001)
    thread.join()
    assert len(found) == 1
    with pytest.raises(ClosedError):
        asyncio.run(llm.acreate_chat_completion([_user(image_part(PICTURE))]))


def test_a_picture_that_nothing_follows_is_refused(seeing: Llama) -> None:
    answer = {"role": "assistant", "content": [image_part(PICTURE)]}
    with pytest.raises(MediaError, match="nothing follows"):
        _ask(seeing, _user("What?"), answer)


def test_penalties_schemas_and_processors_never_see_a_picture(seeing: Llama) -> None:
    seen: list[int] = []

    def watch(ids: Any, logits: Any) -> None:
        seen.extend(ids)

    answer = _ask(
        seeing,
        _user("What?", image_part(PICTURE)),
        repeat_penalty=1.3,
        dry_multiplier=0.8,
        temperature=0.7,
        max_tokens=40,
        response_format={"type": "json_object", "schema": {"type": "object", "maxProperties": 1}},
        logits_processor=[watch],
    )
    assert answer["choices"][0]["message"]["content"].startswith("{")
    assert min(seen) >= 0


@pytest.mark.parametrize("draft_model", ["prompt_lookup", "demo"])
def test_guessing_leaves_answers_about_pictures_what_they_are(
    seeing: Llama, mmproj: Path, draft_model: str
) -> None:
    message = _user("one two one two one two", image_part(PICTURE), "one two one two one two")
    with Llama("demo", mmproj=mmproj, draft_model=draft_model, n_threads=1) as llm:
        guessed = _ask(llm, message, max_tokens=24, ignore_eos=True)
    plain = _ask(seeing, message, max_tokens=24, ignore_eos=True)
    assert guessed["choices"][0]["message"] == plain["choices"][0]["message"]


def test_a_crowded_context_reads_pictures_again_after_a_step_back(mmproj: Path) -> None:
    messages = [_user(f"{i}: tell me", image_part(png(12, 12, i))) for i in range(4)]
    with Llama("demo", mmproj=mmproj, n_threads=1) as roomy:
        expected = [_ask(roomy, m, max_tokens=60, ignore_eos=True) for m in messages]
    texts = [answer["choices"][0]["message"]["content"] for answer in expected]
    with Llama("demo", mmproj=mmproj, n_ctx=256, n_threads=1) as tight:
        found: dict[int, str] = {}

        def ask(at: int) -> None:
            answer = _ask(tight, messages[at], max_tokens=60, ignore_eos=True)
            found[at] = answer["choices"][0]["message"]["content"]

        threads = [threading.Thread(target=ask, args=(at,)) for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tight.stats().preempted > 0
    assert [found[at] for at in range(4)] == texts


def test_files_and_bytes_of_this_process_are_read(seeing: Llama, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(PICTURE)
    parts: list[dict[str, Any]] = [
        image_part(PICTURE),
        {"type": "image_url", "image_url": image_part(PICTURE)["image_url"]["url"]},
        {"type": "image", "image": PICTURE},
        {"type": "image", "image": path},
    ]
    said = {_ask(seeing, _user("What?", p))["choices"][0]["message"]["content"] for p in parts}
    assert len(said) == 1


def test_text_that_spells_a_marker_is_text(seeing: Llama) -> None:
    spelled = "<__media__>\U00100000\U0010aaaa<image>"
    plain = _ask(seeing, _user(spelled))["usage"]["prompt_tokens"]
    both = _ask(seeing, _user(spelled, image_part(PICTURE)))["usage"]["prompt_tokens"]
    assert both == plain + IMAGE_TOKENS


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "http://x.y/z.png"}}, "'http' is not fetched"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/hosts"}}, "'file' is not fetched"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,abc"}}, "without base64"),
        ({"type": "image_url", "image_url": {"url": "data:;base64,a!b"}}, "is not base64"),
        ({"type": "image_url", "image_url": {}}, "has no url"),
        ({"type": "image_url"}, "has no url"),
        ({"type": "input_audio", "input_audio": "abc"}, "has no data"),
        ({"type": "image", "image": "/etc/hosts"}, "has no bytes or path"),
        ({"type": "image", "image": Path("/nowhere.png")}, "No such file"),
        ({"type": "image", "image": b""}, "is empty"),
        ({"type": "image", "image": b"RIFF....WEBPVP8 "}, "not a PNG, JPEG, GIF or BMP"),
        ({"type": "audio", "audio": b"OggS" + bytes(40)}, "not a WAV, MP3 or FLAC"),
        ({"type": "image", "image": wav()}, "not a PNG, JPEG, GIF or BMP"),
        ({"type": "audio", "audio": PICTURE}, "not a WAV, MP3 or FLAC"),
        ({"type": "image", "image": png(300, 1)}, "is a strip"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(
    seeing: Llama, part: dict[str, Any], words: str
) -> None:
    with pytest.raises(MediaError, match=words) as found:
        _ask(seeing, {"role": "system", "content": "Hi"}, _user("What?", part))
    assert found.value.place == "messages[1].content[1]"


def test_media_without_a_projector_are_refused(llm: Llama) -> None:
    with pytest.raises(UnsupportedError, match="mmproj="):
        _ask(llm, _user("What?", image_part(PICTURE)))


def test_a_projector_that_does_not_hear_refuses_sounds(tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(tiny_mmproj(256))
    with (
        Llama("demo", clip_model_path=path) as llm,
        pytest.raises(UnsupportedError, match="reads no sounds"),
    ):
        _ask(llm, _user(audio_part(wav())))


def test_parts_that_nobody_reads_are_refused(seeing: Llama) -> None:
    with pytest.raises(ChatTemplateError, match=r"messages\[0\].content\[1\].*'video_url'"):
        _ask(seeing, _user("What?", {"type": "video_url", "video_url": {"url": "data:"}}))
    with pytest.raises(ChatTemplateError, match="'image_url'"):
        seeing.apply_chat_template([_user(image_part(PICTURE))])
    with pytest.raises(ChatTemplateError, match="'image_url'"):
        seeing.save_prompt([_user(image_part(PICTURE))], "nowhere")


def test_more_pictures_than_the_context_holds_are_not_computed(mmproj: Path) -> None:
    with Llama("demo", mmproj=mmproj, n_ctx=64, n_threads=1) as llm:
        with pytest.raises(ContextLengthError):
            _ask(llm, _user(*(image_part(png(9, 9, i)) for i in range(8))))
        assert llm._reader is not None
        assert llm._reader.n_computed == 3


def test_a_picture_that_must_be_read_at_once_needs_a_large_enough_batch(tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(tiny_mmproj(256, vision="gemma3"))
    with (
        Llama("demo", mmproj=path, n_ubatch=3, n_threads=1) as llm,
        pytest.raises(UnsupportedError, match="n_ubatch=4"),
    ):
        _ask(llm, _user(image_part(PICTURE)))


def test_a_projector_for_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(tiny_mmproj(128))
    with pytest.raises(ModelLoadError, match="made for llamaherd-demo"):
        Llama("demo", mmproj=path)


def test_a_model_is_no_projector(tiny_model: Path) -> None:
    with pytest.raises(ModelLoadError, match="no projector"):
        Llama("demo", mmproj=tiny_model)


def test_one_projector_is_named_once(mmproj: Path) -> None:
    with pytest.raises(OptionError, match="mmproj"):
        Llama("demo", mmproj=mmproj, clip_model_path=mmproj)


def test_what_a_projector_reads_is_a_capability(seeing: Llama, llm: Llama) -> None:
    assert seeing.capabilities - llm.capabilities == {"vision", "audio"}
