"""Finding and refusing libraries, in fresh processes: a loaded library cannot be unloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llamaherd.native import library

LOAD = """
from llamaherd.errors import NativeLibraryError
from llamaherd.native.library import library
try:
    print("loaded", library().path)
except NativeLibraryError as error:
    print("refused", error)
"""


def _run(chosen: str, code: str = LOAD) -> str:
    environment = {**os.environ, library.ENV: chosen}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def _compiled(folder: Path, source: str) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build a false library with")
    (folder / "false.c").write_text(source)
    target = folder / "libllama.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", target, folder / "false.c"], check=True)
    return target


def test_a_folder_or_a_file_can_be_named() -> None:
    found = library.library().path
    assert _run(str(found)) == f"loaded {found}\n"
    assert _run(str(found.parent)) == f"loaded {found}\n"


def test_the_installed_library_is_found_by_its_soname() -> None:
    assert library.find().name != "libllama.so", "a copy beside the soname is a second llama.cpp"


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = _run(str(tmp_path / "nowhere"))
    assert message.startswith("refused")
    assert "nowhere" in message
    assert library.ENV in message


def test_a_file_that_is_no_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "libllama.so").write_text("not a library")
    message = _run(str(tmp_path))
    assert message.startswith("refused")
    assert str(tmp_path) in message


def test_another_version_is_refused_with_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    _compiled(tmp_path, 'const char * llama_version(void) { return "0.9.1"; }')
    message = _run(str(tmp_path))
    assert "llama.cpp 0.9.1" in message
    assert str(tmp_path) in message
    assert ">= 0.5, < 0.6" in message
    assert "pip install" in message


def test_a_library_without_a_version_is_called_old(tmp_path: Path) -> None:
    _compiled(tmp_path, "int nothing(void) { return 0; }")
    assert "older than 0.5" in _run(str(tmp_path))


def test_nothing_is_written_to_the_screen_while_a_model_loads_and_runs() -> None:
    code = 'from llamaherd import Llama\nLlama("demo")("hi", max_tokens=2)'
    assert _run(str(library.library().path), code) == ""
