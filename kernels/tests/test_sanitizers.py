"""The plugin's code under the address, undefined-behaviour and thread sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llamaherd.native.library import library

SOURCE = Path(__file__).parents[1]
SLOW = "LLAMAHERD_SANITIZERS"


@pytest.mark.skipif(SLOW not in os.environ, reason=f"{SLOW}=1 builds and runs it, some minutes")
@pytest.mark.parametrize("sanitizer", ["address", "undefined", "thread"])
@pytest.mark.timeout(1200)
def test_products_and_packing_are_clean(plugin: Path, tmp_path: Path, sanitizer: str) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    options = [f"-DHERD_SANITIZE={sanitizer}", "-DHERD_TESTS=ON"]
    subprocess.run(["cmake", "-S", str(SOURCE), "-B", str(tmp_path), *options], check=True)
    build = ["cmake", "--build", str(tmp_path), "--target", "herd_stress"]
    subprocess.run(build, check=True)
    ggml = next(library().path.parent.glob("libggml.so.0"))
    # ggml and its OpenMP are not built with the sanitizer and leak their own thread pools.
    for key in (None, "avx2"):  # None: the best that this CPU has
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        if key is not None:
            environment["LLAMAHERD_KERNELS_ISA"] = key
        done = subprocess.run(
            [tmp_path / "herd_stress", ggml], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "good" in done.stdout
        assert "ERROR" not in done.stderr
        assert "WARNING" not in done.stderr
