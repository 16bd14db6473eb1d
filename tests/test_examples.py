"""Every example runs as a program and prints something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_mmproj import png

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))

# An agent of LlamaIndex inspects its own attributes, also those that Pydantic deprecates.
WARNINGS = ("error", "ignore::DeprecationWarning:inspect")
FLAGS = [flag for each in WARNINGS for flag in ("-W", each)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *FLAGS, path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == ""


def test_the_picture_example_asks_about_a_picture(mmproj: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(20, 20))
    (program,) = [path for path in EXAMPLES if path.stem == "images"]
    command = [sys.executable, "-W", "error", *map(str, (program, "demo", mmproj, picture))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
