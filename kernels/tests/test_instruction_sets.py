"""Other instruction sets than this CPU's best, in a process each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = "every_number_of_tokens or rows_that_fill or every_value or adversarial or extreme or parts"


@pytest.mark.parametrize("key", ["avxvnni", "avx2"])
def test_products_agree(plugin: Path, key: str) -> None:
    """Sets that this CPU has but would not choose."""
    environment = {**os.environ, "LLAMAHERD_KERNELS": str(plugin), "LLAMAHERD_KERNELS_ISA": key}
    here = Path(__file__).parent
    files = (str(here / "test_products.py"), str(here / "test_repacking.py"))
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-rs", "-k", TESTS, *files]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "no kernels for this CPU" in done.stdout:
        pytest.skip(f"this CPU lacks {key}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


START = """
import ctypes, sys
plugin = ctypes.CDLL(sys.argv[1])
plugin.llamaherd_kernels_instructions.restype = ctypes.c_char_p
plugin.llamaherd_kernels_refusal.restype = ctypes.c_char_p
plugin.ggml_backend_init.restype = ctypes.c_void_p
print(plugin.ggml_backend_score(), plugin.ggml_backend_init())
print(plugin.llamaherd_kernels_instructions(), plugin.llamaherd_kernels_refusal())
"""


@pytest.mark.parametrize(
    ("cpu_model", "told"),
    [
        ("qemu64", "no kernels for this CPU"),
        ("Nehalem", "no kernels for this CPU"),
        ("IvyBridge", "no kernels for this CPU"),
        ("Haswell", "b'AVX2' b'this ggml lacks"),  # there is none in the process
    ],
)
def test_old_cpus_meet_no_instruction_that_they_lack(
    plugin: Path, cpu_model: str, told: str
) -> None:
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("no QEMU to emulate other CPUs")
    command = [emulator, "-cpu", cpu_model, sys.executable, "-c", START, str(plugin)]
    environment = {k: v for k, v in os.environ.items() if k != "LLAMAHERD_KERNELS_ISA"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
