"""Fixtures that every test may use, and a header that says which llama.cpp is tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import F32, WIDTH, Tensor, tiny_llama, write
from tiny_mmproj import tiny_mmproj

from llamaherd import Ambient, Llama
from llamaherd.model.native_params import device_names
from llamaherd.native.library import library

pytest_plugins = ["server_fixtures", "langchain_fixtures"]


def pytest_report_header() -> list[str]:
    loaded = library()
    return [
        f"llama.cpp: {loaded.version} at {loaded.path}",
        f"devices: {', '.join(device_names())}",
    ]


@pytest.fixture(scope="session")
def llm() -> Iterator[Llama]:
    """The bundled model with a clock and ids that repeat."""
    ambient = Ambient(now=lambda: 1_700_000_000.0, new_id=lambda: "id", new_seed=lambda: 7)
    with Llama("demo", ambient=ambient, n_threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def mmproj(llm: Llama, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-weight projector by which the bundled model sees and hears (tiny_mmproj.py)."""
    path = tmp_path_factory.mktemp("projectors") / "mmproj.gguf"
    path.write_bytes(tiny_mmproj(llm.n_embd(), audio=True))
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-weight model of a few hundred kB, without chat template or infill tokens."""
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    path.write_bytes(tiny_llama().data)
    return path


@pytest.fixture(scope="session")
def adapter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of rank 4 for the tiny model, for the first layer's query projection."""
    random = np.random.default_rng(5)

    def weights(name: str, *shape: int) -> Tensor:
        values = random.normal(0, 1, shape[::-1]).astype("<f4")
        return Tensor(f"blk.0.attn_q.weight.{name}", shape, F32, values.tobytes())

    metadata = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    path = tmp_path_factory.mktemp("adapters") / "adapter.gguf"
    tensors = [weights("lora_a", WIDTH, 4), weights("lora_b", 4, WIDTH)]
    path.write_bytes(write(metadata, tensors).data)
    return path
