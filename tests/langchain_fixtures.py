"""Fixtures for the LangChain classes."""

from __future__ import annotations

import base64
from pathlib import Path
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

    async def fetch_picture(_place: str, url: str, **_limits: Any) -> str:
        return f"data:image/png;base64,{base64.b64encode(get(url).content).decode()}"

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setattr("llamaherd.langchain.pictures.fetch_picture", fetch_picture)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "llamaherd's tests")


@pytest.fixture(scope="module")
def sensing(mmproj: Path) -> Llama:
    """The engine of the official suites: the demo model with a projector, kept loaded."""
    from chat_suite import Projector

    Projector.path = str(mmproj)
    return shared_llama("demo", n_threads=1, n_parallel=16, mmproj=mmproj)


@pytest.fixture(scope="module")
def demo() -> Llama:
    """The engine behind ``ChatLlamaCpp(model_path="demo", n_threads=1)``, kept loaded."""
    return shared_llama("demo", n_threads=1, n_parallel=16)
