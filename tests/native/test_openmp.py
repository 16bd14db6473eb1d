"""Who computes has a team of threads; who rests has none. Each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import os, time

def n_threads():
    return len(os.listdir("/proc/self/task"))

def falls_to(n):
    until = time.monotonic() + 20
    while n_threads() > n and time.monotonic() < until:
        time.sleep(0.01)
    return n_threads() <= n
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="threads are counted by /proc"
)


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COUNT + code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_loading_leaves_no_threads_behind(tmp_path: Path) -> None:
    said = python(
        "import os\n"
        "from llamaherd.demo import model_path\n"
        "from llamaherd.model import Model\n"
        "from llamaherd.native import bindings as c\n"
        "before = n_threads()\n"
        "params = c.llama_model_quantize_default_params()\n"
        "params.ftype, params.nthread = c.LLAMA_FTYPE_MOSTLY_Q8_0, 1\n"
        f"target = {str(tmp_path / 'demo-q8_0.gguf')!r}\n"
        "assert not c.llama_model_quantize(os.fsencode(model_path()), target.encode(), params)\n"
        "model = Model(target)\n"  # where the plugin is used it packs the weights, on all cores
        "print(falls_to(before))"
    )
    assert said.split() == ["True"]


def test_an_engine_lets_its_threads_go_when_it_rests_and_has_them_again() -> None:
    said = python(
        "from llamaherd import Llama\n"
        "llm = Llama('demo', n_ctx=512, n_threads=3)\n"
        "at_rest = n_threads()\n"
        "for _ in range(2):\n"
        "    for _ in llm('Hello', max_tokens=40, ignore_eos=True, stream=True):\n"
        "        most = n_threads()\n"
        "    print(most - at_rest, falls_to(at_rest))"
    )
    assert said.splitlines() == ["2 True", "2 True"]


def test_an_embedder_lets_its_threads_go() -> None:
    said = python(
        "from llamaherd import Llama\n"
        "llm = Llama('demo', n_ctx=512, n_threads=3, n_threads_batch=3)\n"
        "at_rest = n_threads()\n"
        "llm.embed('Hello')\n"
        "print(n_threads() > at_rest, falls_to(at_rest + 1))"  # one is the embedder's own
    )
    assert said.split() == ["True", "True"]
