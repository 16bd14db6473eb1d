"""Fixtures for the LangChain classes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from llamaherd import Llama
from llamaherd.shared import shared_llama


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the official suites fetch from the internet comes from here."""
    from sample_files import pdf, png, wav

    found = {".pdf": pdf("Dummy PDF file"), ".png": png(), ".wav": wav()}

    def get(url: str, **_options: Any) -> httpx.Response:
        kind = next(kind for kind in found if url.endswith(kind))
        return httpx.Response(200, content=found[kind], request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)


@pytest.fixture(scope="module")
def demo() -> Llama:
    """The engine behind ``ChatLlamaCpp(model_path="demo", n_threads=1)``, kept loaded."""
    return shared_llama("demo", n_threads=1, n_parallel=16)
