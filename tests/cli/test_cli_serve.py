"""``llamaherd serve`` before it listens: what it refuses, and how."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cli_program import run_process


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "at least one model"),
        (["demo", "--host", "0.0.0.0"], "API key"),
        (["no-such-file.gguf"], "a GGUF file that exists"),
        (["demo", "demo"], "names and aliases that differ"),
        (["demo", "--port", "99999"], "<= 65535"),
        (["demo", "--default-model", "x"], "one of ['demo']"),
        (["demo", "-o", "n_ctxx=5"], "did you mean 'n_ctx'"),
        (["demo", "--lora", "x"], "expected NAME=FILE"),
        (["demo", "--api-key", "short"], "at least 8 printable"),
        (["--config", "no-such.toml"], "no-such.toml"),
    ],
)
def test_nonsense_is_named(arguments: list[str], told: str) -> None:
    done = run_process("serve", *arguments)
    assert done.code in (1, 2)
    assert told in done.err


def test_a_broken_model_ends_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    done = run_process("serve", str(broken), "--port", "0")
    assert done.code == 1
    assert "broken.gguf" in done.err


def test_a_mistake_in_the_configuration_is_named(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[models.a]\nfile = "demo"\nalias = ["x"]\n')
    done = run_process("serve", "--config", str(config))
    assert done.code == 2
    assert "did you mean 'models.a.aliases'" in done.err


def test_a_port_that_is_taken_is_told_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_process("serve", "demo", "--port", str(port))
    assert done.code in (1, 2)
    assert f"127.0.0.1:{port}" in done.err
    assert "--port" in done.err
    assert "loading" not in done.err, "before any model"
    assert "Traceback" not in done.err
