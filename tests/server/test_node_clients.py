"""openai-node and LangChain.js drive the server, from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from serving import Running, wait_until

FOLDER = Path(__file__).parent / "node"
INSTALL = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, with the clients installed beside the scripts."""
    program = shutil.which("node")
    if program is None or shutil.which("npm") is None:
        pytest.skip("there is no Node.js")
    if not (FOLDER / "node_modules" / "openai").is_dir():
        done = subprocess.run(INSTALL, cwd=FOLDER, capture_output=True, text=True, timeout=240)
        if done.returncode:
            pytest.skip(f"npm cannot install the clients: {done.stderr[-300:]}")
    return program


def _said(node: str, script: str, server: Running) -> dict[str, Any]:
    done = subprocess.run(
        [node, script, server.url], cwd=FOLDER, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_openai_node(node: str, server: Running) -> None:
    said = _said(node, "openai.mjs", server)
    assert "7" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["usage"]["completion_tokens"] > 0
    assert said["call"] == {"name": "get_weather", "arguments": {"location": "Paris"}}
    assert set(said["parsed"]) == {"number", "correct"}
    assert said["dimensions"] == [server.llm.n_embd()] * 2
    assert "7" in said["response"]
    assert said["missing"] == {"status": 404, "code": "model_not_found"}
    wait_until(lambda: server.llm.stats().running == 0)


def test_langchain_js(node: str, server: Running) -> None:
    said = _said(node, "langchain.mjs", server)
    assert "7" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["calls"] == [{"name": "get_weather", "args": {"location": "Paris"}}]
    assert "sunny" in said["final"]
    assert set(said["structured"]) == {"number", "correct"}
    assert said["dimensions"] == [server.llm.n_embd()] * 2
