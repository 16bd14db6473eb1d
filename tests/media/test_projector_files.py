"""Files of projectors as strangers send them: refused by name, or loaded; never a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_gguf import Typed
from tiny_mmproj import mmproj_writer, png, tiny_mmproj, wav
from tiny_qwen2vl import tiny_qwen2vl

from llamaherd.errors import MediaError, ModelLoadError, UnsupportedError
from llamaherd.media import MediaPart, Projector, Reader
from llamaherd.model import Model
from llamaherd.model.gguf_projector import check_projector, projector_types, stack_findings
from llamaherd.model.gguf_reader import read_gguf
from llamaherd.params import MediaParams

NOISE = png(30, 20)


def _file(folder: Path, **options: Any) -> Path:
    path = folder / "mmproj.gguf"
    path.write_bytes(tiny_mmproj(256, **options))
    return path


def test_what_a_projector_reads_stands_in_its_header(tmp_path: Path) -> None:
    file = check_projector(_file(tmp_path, audio=True))
    assert projector_types(file) == {"vision": "mlp", "audio": "ultravox"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"general.architecture": "llama"}, "no projector but a model"),
        ({"clip.vision.block_count": 2.0}, "block_count is of type FLOAT32, not UINT32"),
        ({"clip.vision.patch_size": Typed("Q", 7)}, "patch_size is of type UINT64"),
        ({"clip.use_gelu": 1}, "use_gelu is of type UINT32, not BOOL"),
        ({"clip.vision.projector_type": 3}, "projector_type is of type UINT32, not STRING"),
        ({"clip.vision.embedding_length": 2**31}, "embedding_length is 2147483648"),
        ({"clip.vision.block_count": 0}, "no layers"),
        ({"clip.vision.patch_size": 14}, "which v.patch_embd.weight does not fit"),
        ({"clip.vision.image_size": 56}, "which v.position_embd.weight does not fit"),
        ({"clip.vision.attention.layer_norm_epsilon": -1.0}, "layer_norm_epsilon is -1.0"),
        ({"clip.vision.embedding_length": 64}, "has 32 numbers, not 64"),
        ({"clip.audio.num_mel_bins": 128}, "num_mel_bins is 128"),
        ({"clip.audio.projector.stack_factor": 30}, "mm.a do not fit each other"),
        ({"clip.vision.attention.head_count": 0}, "0 heads"),
        ({"clip.vision.attention.head_count": 5}, "5 heads of a width of 32"),
        ({"clip.vision.projector_type": "deepseek4v"}, "deepseek4v"),
        ({"clip.audio.projector.stack_factor": 0}, "stack_factor is missing or 0"),
        ({"clip.audio.projector.stack_factor": 8}, "counts 187 tokens, makes 188"),
        ({"clip.has_vision_encoder": False, "clip.has_audio_encoder": False}, "neither pictures"),
    ],
)
def test_what_would_kill_the_process_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = _file(tmp_path, audio=True, changes=changes)
    with pytest.raises(ModelLoadError, match=words):
        check_projector(path)


def test_a_real_ultravox_stacks_as_llama_cpp_counts(tmp_path: Path) -> None:
    """Width 1280 and 8 frames, as published: its padding is meant for powers of two, and fits."""
    changes = {"clip.audio.projector.stack_factor": 8, "clip.audio.embedding_length": 1280}
    file = read_gguf(_file(tmp_path, audio=True, changes={**changes}))
    assert not list(stack_findings(file))


KINDS: dict[str, dict[str, Any]] = {
    "mlp": {"vision": "mlp"},
    "gemma3": {"vision": "gemma3"},
    "qwen2vl_merger": {"vision": "qwen2vl_merger"},
    "ultravox": {"vision": None, "audio": True},
}
EXTREMES = (0, 1, 2, 3, 7, 8, 31, 33, 64, 255, 256, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
            2**63, 2**64 - 1, 0x7FC00000, 0xBF800000)  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Model]]:
    path = tmp_path_factory.mktemp("qwen2vl") / "model.gguf"
    path.write_bytes(tiny_qwen2vl())
    with Model("demo") as demo, Model(path) as qwen2vl:
        yield {kind: qwen2vl if kind == "qwen2vl_merger" else demo for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_damaged_header_is_refused_or_read(
    models: dict[str, Model], tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    """Nothing guards against a crash: one would take the test process with it."""
    writer = mmproj_writer(models[kind].n_embd, **KINDS[kind])
    damaged = bytearray(writer.data)
    for _ in range(data.draw(st.sampled_from([1, 1, 2]))):
        owner = data.draw(st.sampled_from(sorted({field.owner for field in writer.fields})))
        place = data.draw(st.sampled_from([f for f in writer.fields if f.owner == owner]))
        old = int.from_bytes(damaged[place.offset : place.offset + place.size_bytes], "little")
        value = data.draw(st.sampled_from([*EXTREMES, old + 1, abs(old - 1), 2 * old, old // 2]))
        raw = value.to_bytes(9, "little")[: place.size_bytes]
        damaged[place.offset : place.offset + place.size_bytes] = raw
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(damaged)
    part = MediaPart("audio", "", wav(0.1)) if kind == "ultravox" else MediaPart("image", "", NOISE)
    with suppress(ModelLoadError, MediaError, UnsupportedError):
        projector = Projector(models[kind], path, MediaParams(), 1)
        try:
            assert Reader(projector, 0).read([part], 10**6)
        finally:
            projector.close()
