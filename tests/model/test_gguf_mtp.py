"""Which multi-token-prediction layers llama.cpp can run: others are refused, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_mtp
from tiny_forgetting import LAYERS
from tiny_gguf import tiny_llama

from llamaherd import Llama, UnsupportedError
from llamaherd.errors import ModelLoadError
from llamaherd.model.gguf import check_model
from llamaherd.model.gguf_mtp import mtp_obstacle
from llamaherd.model.gguf_reader import GGUFFile, Value, read_gguf

EXTRA = f"blk.{LAYERS}."


def _file(path: Path, data: bytes, arch: str | None = None, **values: Value) -> GGUFFile:
    """A header, as one of another architecture, with other values."""
    path.write_bytes(data)
    file = read_gguf(path)
    arch = arch or file.architecture
    moved = {
        key.replace(f"{file.architecture}.", f"{arch}."): v for key, v in file.metadata.items()
    }
    others = {f"{arch}.{key.replace('__', '.')}": value for key, value in values.items()}
    return replace(file, metadata={**moved, "general.architecture": arch, **others})


@pytest.mark.parametrize("make", [tiny_mtp.plain, tiny_mtp.hybrid, tiny_mtp.foreseeing])
def test_whole_layers_can_be_used(tmp_path: Path, make: Callable[[], bytes]) -> None:
    file = _file(tmp_path / "m.gguf", make())
    check_model(file.path)
    assert mtp_obstacle((file,), {}) is None


@pytest.mark.parametrize(
    ("arch", "values", "finding"),
    [
        ("hy_v3", {"nextn_predict_layers": 0}, "it has none"),
        ("exaone4", {}, "does not run those of exaone4"),
        ("qwen35", {"nextn_predict_layers": 2}, "it has 2, and llama.cpp runs one of qwen35"),
        ("deepseek2", {}, "with this kind of attention"),
        ("glm-dsa", {"attention__key_length_mla": 0}, "with this kind of attention"),
        ("glm4moe", {}, f"lacks {EXTRA}ffn_gate_inp.weight"),
        ("mimo2", {}, f"lacks {EXTRA}attn_qkv.weight"),
        ("hy_v3", {"nextn_predict_layers": 2}, "lacks blk.1.nextn.eh_proj.weight"),
    ],
)
def test_what_llama_cpp_does_not_run(
    tmp_path: Path, arch: str, values: dict[str, Value], finding: str
) -> None:
    file = _file(tmp_path / "m.gguf", tiny_mtp.plain(), arch, **values)
    obstacle = mtp_obstacle((file,), {})
    assert obstacle is not None
    assert finding in obstacle


def test_an_ordinary_model_has_none(tmp_path: Path) -> None:
    assert (
        mtp_obstacle((_file(tmp_path / "m.gguf", bytes(tiny_llama().data)),), {}) == "it has none"
    )


def test_a_file_converted_without_them_generates_and_does_not_guess(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny_mtp.plain(holds=lambda name: not name.startswith(EXTRA)))
    with Llama(path, n_ctx=256, n_threads=1) as llm:
        assert len(list(llm.generate([20, 21], max_tokens=4, ignore_eos=True))) == 4
    with pytest.raises(UnsupportedError, match=rf"{EXTRA}nextn\.eh_proj\.weight \(converted"):
        Llama(path, n_ctx=256, draft_model="mtp")


def test_a_file_of_nothing_but_such_layers_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "mtp-m.gguf"
    path.write_bytes(tiny_mtp.plain(holds=lambda name: name[:6] not in ("blk.0.", "blk.1.")))
    with pytest.raises(ModelLoadError, match="holds only multi-token-prediction layers"):
        check_model(path)
