"""Files of projectors as strangers send them: refused by name, or loaded; never a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_gguf import Typed
from tiny_mmproj import tiny_mmproj

from llamaherd.errors import ModelLoadError
from llamaherd.model.gguf_projector import check_projector, projector_types


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
    check_projector(
        _file(tmp_path, audio=True, changes={**changes, "clip.audio.attention.head_count": 20})
    )


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=4))
def test_a_damaged_header_is_refused_or_sound(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(tiny_mmproj(256))
    for place, value in changes:
        data[place] = value
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(data)
    try:
        found = check_projector(path)
    except ModelLoadError:
        return
    assert projector_types(found)
