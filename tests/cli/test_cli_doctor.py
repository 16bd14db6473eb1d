"""``llamaherd doctor``: what is there, and what to do about what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_program import Program, program, run_process

from llamaherd.cli import diagnosis
from llamaherd.cli.system import Device
from llamaherd.native.library import ENV, library

__all__ = ["program"]


def test_a_sound_installation_is_all_well(program: Program) -> None:
    done = program("doctor")
    assert done.code == 0
    assert done.out.endswith("all well\n")
    names = {line.split("  ")[0] for line in done.out.splitlines()}
    assert {"Python", "llama.cpp", "device", "CPU features", "threads", "demo model"} <= names
    assert library().version in done.out


def test_a_missing_library_is_reported_with_its_remedy() -> None:
    done = run_process("doctor", LLAMAHERD_LIBLLAMA="/nowhere")
    assert done.code == 1
    assert "LLAMAHERD_LIBLLAMA=/nowhere is neither libllama nor" in done.out
    assert f"-> unset {ENV}, or" in done.out
    assert "1 not working" in done.out
    assert done.err == ""


def test_a_missing_demo_model_is_wrong(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(diagnosis, "model_file", lambda _name: tmp_path / "gone.gguf")
    done = program("doctor")
    assert done.code == 1
    assert "gone.gguf is missing" in done.out.replace("\n", "")


def test_a_gpu_that_the_library_cannot_use_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "devices", lambda: [Device("CPU", "", "CPU", 0, 0)])
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0")
    (finding,) = diagnosis._gpu_advice()
    assert not finding.wrong
    assert finding.remedy is not None
    assert 'CMAKE_ARGS="-DGGML_CUDA=on" pip install' in finding.remedy


def test_extras_come_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "numpy>=1",
        "pytest>=8; extra == 'dev'",
        "pytest>=8; extra == 'testing'",
        'no-such-thing>=1; python_version >= "3" and extra == "server"',
        'not-for-us>=1; python_version < "3.10" and extra == "server"',
    ]
    monkeypatch.setattr(diagnosis, "_requirements", lambda: requirements)
    testing, server = diagnosis._extras()
    assert (testing.name, testing.value, testing.remedy) == ("extra testing", "installed", None)
    assert server.value == "not installed: no-such-thing"
    assert server.remedy == "pip install 'llamaherd[server]'"
    assert not server.wrong
