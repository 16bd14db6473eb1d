"""The set-up script explains what a machine lacks before it starts anything."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "tools" / "setup_environment.py"


def test_a_missing_compiler_is_explained_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    script = shutil.copy(SCRIPT, tmp_path / "tools")
    done = subprocess.run(
        [sys.executable, script], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "apt-get install g++" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_cpu_without_avx2_gets_no_kernels_and_is_told_why() -> None:
    spec = importlib.util.spec_from_file_location("setup_environment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.no_kernels("flags : avx fma f16c")
    if sys.platform == "linux":
        assert not script.no_kernels("flags : fma f16c avx2") or "x86-64" in script.no_kernels()
