"""The plugin is an extra: found or not, llamaherd works, and says which."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from llamaherd.native import kernels
from llamaherd.native.kernels import Kernels
from llamaherd.params import ModelParams


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_the_package_everything_works() -> None:
    said = python(
        "import sys; sys.modules['llamaherd_kernels'] = None\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from llamaherd.native import kernels; print(kernels.status())\n"
        "from llamaherd import Llama; llm = Llama('demo'); print(llm.model.n_layer > 0)",
        LLAMAHERD_KERNELS="",
    )
    assert "not used: llamaherd-kernels is not installed" in said
    assert "True" in said


def test_off_before_anything_was_loaded_loads_nothing() -> None:
    said = python(
        "from llamaherd import Llama\nfrom llamaherd.native import kernels\n"
        "Llama('demo', kernels='off'); print(kernels.loaded(), kernels.packed_bytes())"
    )
    assert said == "False 0\n"


def test_a_status_reads_as_a_sentence() -> None:
    assert str(Kernels(None, reason="it is not there")) == "not used: it is not there"
    assert str(Kernels(None, "AVX-512 VNNI")) == "AVX-512 VNNI"
    broken = Kernels(None, "AVX-512 VNNI", failed=("Q4_K", "Q6_K"))
    assert str(broken).endswith("failed the self-test and left to llama.cpp: Q4_K, Q6_K")


def test_the_option_takes_auto_and_off_alone() -> None:
    assert ModelParams().kernels == "auto"
    with pytest.raises(ValueError, match="kernels"):
        ModelParams(kernels="on")


def test_a_choice_is_undone_afterwards() -> None:
    with kernels.choice("off"), kernels.choice("auto"):
        pass
    with kernels.choice("auto"):
        assert kernels.status().active or kernels.status().reason
