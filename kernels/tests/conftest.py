"""The plugin, loaded once; without kernels for this CPU or without a build, tests are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ggml_products import TYPES, Place, place, type_number

from llamaherd.native import kernels


def pytest_report_header() -> str:
    return f"kernels: {kernels.status()}"


@pytest.fixture(autouse=True)
def packed(request: pytest.FixtureRequest) -> None:
    """Tests of a type are skipped where the instruction set has no kernels for it."""
    call = getattr(request.node, "callspec", None)
    name = call.params.get("name") if call else None
    if name not in TYPES:
        return
    if kernels.status().active and not kernels.packed_size("", type_number(name), (256, 1)):
        pytest.skip(f"{name} is left to llama.cpp with {kernels.status().instructions}")


@pytest.fixture(scope="session")
def plugin() -> Path:
    """Where the loaded plugin is."""
    status = kernels.status()
    if not status.active:
        pytest.skip(f"no kernels: {status.reason}")
    assert status.path is not None
    return status.path


@pytest.fixture(scope="session")
def cpu() -> Iterator[Place]:
    """ggml's own CPU backend, the reference."""
    with place("CPU", 2) as found:
        yield found


@pytest.fixture(scope="session", params=[1, 3])
def herd(plugin: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """The plugin on one thread, and on more than most test machines have cores for."""
    with place("Herd", request.param) as found:
        yield found
