"""Every example runs as a program and prints something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
