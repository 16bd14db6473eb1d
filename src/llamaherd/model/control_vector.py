"""Control vectors: directions that are added to a model's hidden states.

A GGUF file of architecture ``controlvector`` has a float32 tensor ``direction.N`` of the model's
width for each layer N from 1 on (the format of llama.cpp's ``cvector-generator``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llamaherd.errors import ModelLoadError
from llamaherd.model.gguf import read_gguf
from llamaherd.model.gguf_reader import GGUFFile, TensorInfo

F32 = 0
_NAME = re.compile(r"direction\.(\d+)")
_REMEDY = "Use a control vector made for this model"


def combined(vectors: Mapping[str, float], n_layer: int, n_embd: int) -> npt.NDArray[np.float32]:
    """The sum of several control vectors, each times its scale.

    Args:
        vectors: path of a file -> its scale.

    Returns:
        Shape (n_layer - 1, n_embd): layers 1 to n_layer - 1, zeros where no file says anything.

    Raises:
        ModelLoadError: a file is damaged, no control vector, or made for another model.
    """
    total = np.zeros((n_layer - 1, n_embd), dtype=np.float32)
    for path, scale in vectors.items():
        file = read_gguf(Path(path).expanduser())
        for tensor in file.tensors:
            total[_layer(file, tensor, total.shape) - 1] += scale * _values(file, tensor)
    return total


def _layer(file: GGUFFile, tensor: TensorInfo, shape: tuple[int, ...]) -> int:
    name = _NAME.fullmatch(tensor.name)
    layer = int(name[1]) if name else 0
    if not 1 <= layer <= shape[0] or tensor.type != F32 or tensor.shape != shape[1:]:
        finding = (
            f"{tensor.name!r} of shape {tensor.shape} is no float32 direction of {shape[1]} values "
            f"for a layer from 1 to {shape[0]}"
        )
        raise ModelLoadError(file.path, finding, _REMEDY)
    return layer


def _values(file: GGUFFile, tensor: TensorInfo) -> npt.NDArray[np.float32]:
    with file.path.open("rb") as data:
        data.seek(file.data_offset + tensor.offset)
        return np.frombuffer(data.read(4 * tensor.shape[0]), dtype="<f4")
