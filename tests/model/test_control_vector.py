"""Control vectors, on the real library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import F32, LAYERS, WIDTH, Tensor, write

from llamaherd import Llama, ModelLoadError, OptionError
from llamaherd.model.control_vector import combined


@pytest.fixture
def vector_file(tmp_path: Path) -> Path:
    return _write(tmp_path / "vector.gguf", {f"direction.{at}": WIDTH for at in range(1, LAYERS)})


def _write(path: Path, widths: dict[str, int]) -> Path:
    random = np.random.default_rng(1)
    tensors = [
        Tensor(name, (n,), F32, random.normal(0, 1, n).astype("<f4").tobytes())
        for name, n in widths.items()
    ]
    path.write_bytes(write({"general.architecture": "controlvector"}, tensors).data)
    return path


def _logprobs(model: Path, **options: Any) -> list[float]:
    with Llama(model, n_threads=1, **options) as llm:
        done = llm([5, 6, 7, 8, 9], max_tokens=0, echo=True, logprobs=0)
    return [float(each) for each in done["choices"][0]["logprobs"]["token_logprobs"][1:]]


def test_a_direction_changes_answers_by_its_scale(tiny_model: Path, vector_file: Path) -> None:
    plain = _logprobs(tiny_model)
    assert _logprobs(tiny_model, control_vectors={str(vector_file): 0.0}) == plain
    pushed = _logprobs(tiny_model, control_vectors={str(vector_file): 5.0})
    assert pushed != pytest.approx(plain, abs=1e-2)


def test_several_are_added_up(vector_file: Path, tmp_path: Path) -> None:
    other = _write(tmp_path / "other.gguf", {"direction.1": WIDTH})
    one = combined({str(vector_file): 1.0}, LAYERS, WIDTH)
    assert combined({str(vector_file): 2.0, str(other): 0.5}, LAYERS, WIDTH) == pytest.approx(
        2.5 * one
    )


@pytest.mark.parametrize(
    "widths", [{"direction.1": WIDTH - 1}, {"direction.9": WIDTH}, {"direction.0": WIDTH}, {"x": 4}]
)
def test_a_vector_for_another_model_is_refused(
    tiny_model: Path, tmp_path: Path, widths: dict[str, int]
) -> None:
    path = _write(tmp_path / "bad.gguf", widths)
    with pytest.raises(ModelLoadError, match="direction"):
        Llama(tiny_model, control_vectors={str(path): 1.0})


def test_layers_outside_the_model_are_refused(tiny_model: Path, vector_file: Path) -> None:
    with pytest.raises(OptionError, match="control_vector_layers"):
        Llama(tiny_model, control_vectors={str(vector_file): 1.0}, control_vector_layers=[1, 9])
