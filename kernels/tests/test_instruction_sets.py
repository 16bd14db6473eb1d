"""Instruction sets that this CPU has but would not choose: the same products, in a process each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = "every_number_of_tokens or rows_that_fill or every_value or adversarial or extreme or parts"


@pytest.mark.parametrize("key", ["avxvnni", "avx2"])
def test_products_agree(plugin: Path, key: str) -> None:
    environment = {**os.environ, "LLAMAHERD_KERNELS": str(plugin), "LLAMAHERD_KERNELS_ISA": key}
    here = Path(__file__).parent
    files = (str(here / "test_products.py"), str(here / "test_repacking.py"))
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-rs", "-k", TESTS, *files]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "no kernels for this CPU" in done.stdout:
        pytest.skip(f"this CPU lacks {key}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
