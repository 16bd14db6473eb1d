"""Fixtures that every test may use, and a header that says which llama.cpp is tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_gguf import tiny_llama

from llamaherd import Ambient, Llama
from llamaherd.model.native_params import device_names
from llamaherd.native.library import library


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
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-weight model of a few hundred kB, without chat template or infill tokens."""
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    path.write_bytes(tiny_llama().data)
    return path
