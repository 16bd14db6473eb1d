"""How the plugin gets into a process, and when it stays out. Each case is its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STATUS = "from llamaherd.native import kernels; print(kernels.status())"


def run(code: str, plugin: Path | None, **environment: str) -> str:
    """What a fresh Python prints, warnings included."""
    chosen = {"LLAMAHERD_KERNELS": str(plugin)} if plugin else {}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **chosen, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_status_names_the_instruction_set(plugin: Path) -> None:
    assert run(STATUS, plugin).startswith("AVX")


def test_a_cpu_without_kernels_is_told_so_and_llama_cpp_goes_on(plugin: Path) -> None:
    code = (
        STATUS + "\nfrom llamaherd import Llama\nprint(Llama('demo').create_completion('a')['id'])"
    )
    said = run(code, plugin, LLAMAHERD_KERNELS_ISA="none")
    assert "no kernels for this CPU" in said
    assert "cmpl" in said


@pytest.mark.parametrize("name", ["Q6_K", "F16"])
def test_a_failed_self_test_leaves_its_type_to_ggml(plugin: Path, name: str) -> None:
    said = run(STATUS, plugin, LLAMAHERD_KERNELS_BREAK=name)
    assert f"failed the self-test and left to llama.cpp: {name}" in said
    assert "AVX" in said


def test_the_environment_can_turn_it_off() -> None:
    assert "LLAMAHERD_KERNELS=off" in run(STATUS, None, LLAMAHERD_KERNELS="off")


def test_a_missing_file_is_an_explanation_not_an_error() -> None:
    assert "does not load" in run(STATUS, Path("/nowhere/plugin.so"))


def test_any_program_loads_it_through_ggml_backend_path(plugin: Path) -> None:
    code = """
from llamaherd.native import bindings as c
c.ggml_backend_load_all()
devices = map(c.ggml_backend_dev_get, range(c.ggml_backend_dev_count()))
print(b"Herd" in [c.ggml_backend_dev_name(device) for device in devices])
"""
    assert "True" in run(code, None, GGML_BACKEND_PATH=str(plugin), LLAMAHERD_KERNELS="off")


def test_loading_twice_changes_nothing(plugin: Path) -> None:
    code = """
from llamaherd.native import bindings as c, kernels
kernels.status()
before = c.ggml_backend_dev_count()
c.ggml_backend_load(str(kernels.status().path).encode())
print(c.ggml_backend_dev_count() == before)
"""
    assert "True" in run(code, plugin)
