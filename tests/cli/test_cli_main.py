"""The program as such: help, exit codes, and how errors look."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_program import ONE_THREAD, Program, program, run_process

import llamaherd
from llamaherd.model import gguf

__all__ = ["program"]

COMMANDS = ("chat", "complete", "info", "tokenize", "bench", "doctor")


def test_help_lists_every_command(program: Program) -> None:
    done = program("--help")
    assert done.code == 0
    assert all(f"\n  {command} " in done.out for command in COMMANDS)
    assert program().out == done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(program: Program, command: str) -> None:
    done = program(command, "-h")
    assert done.code == 0
    assert f"Usage: llamaherd {command} " in done.out


def test_the_version_is_shown(program: Program) -> None:
    assert program("--version").out == f"llamaherd {llamaherd.__version__}\n"


MISTAKES = [
    (["bla"], 2, "No such command 'bla'"),
    (["chat", "--bla"], 2, "No such option: --bla"),
    (["info"], 2, "Missing argument"),
    (["chat", "-p", "hi", "-t", "warm"], 2, "'--temperature'"),
    (["chat", "-p", "hi", "-t", "-1"], 2, "temperature=-1.0: expected a number >= 0.0"),
    (["chat", "-p", "hi", "-o", "temprature=1"], 2, "did you mean 'temperature'?"),
    (["chat", "-p", "hi", "-o", "stream=true"], 2, "unknown option 'stream'"),
    (["chat", "-p", "hi", "-o", "mirostat"], 2, "expected NAME=VALUE"),
    (["chat", "-p", "hi", "-t", "1", "-o", "temperature=1"], 2, "no second value"),
    (["chat", "-p", "hi", "-n", "1", "-o", "n_predict=1"], 2, "no second value"),
    (["chat", "-p", "hi", "-o", "n=2"], 2, "one answer"),
    (["chat", "demo", "hi"], 2, "a prompt comes after -p"),
    (["info", "llama3"], 1, "Give the path of a .gguf file"),
    (["chat", "-p", " "], 2, "there is no prompt"),
    (["chat"], 2, "there is no prompt"),
    (["complete"], 2, "there is no prompt"),
    (["chat", "missing.gguf", "-p", "hi"], 1, "missing.gguf: does not exist"),
    (["info", "missing.gguf"], 1, "missing.gguf: does not exist"),
    (["chat", "-p", "hi", "--chat-template", "missing.jinja"], 2, "(No such file"),
    (["chat", "-p", "hi", "-c", "0", "-o", "n_batch=0"], 2, "n_batch=0: expected"),
    (["tokenize", "demo", "a", "--ids", "--count"], 2, "not both"),
    (["bench", "demo", "--batches", "1,x"], 2, "--batches 1,x"),
    (["bench", "demo", "-o", "temperature=1"], 2, "temperature"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_a_mistake_is_one_clear_line(
    program: Program, arguments: list[str], code: int, message: str
) -> None:
    done = program(*arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("llamaherd: ")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_stdin_that_is_no_text_is_a_clear_error(program: Program) -> None:
    done = program("chat", stdin=b"\xff\xfe")
    assert done.code == 2
    assert "stdin is not UTF-8" in done.err


def test_a_bug_is_one_line_too_unless_its_place_is_wanted(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(gguf, "check_model", broken)
    done = program("info", "demo")
    assert (done.code, done.out) == (1, "")
    assert "unexpected ZeroDivisionError: oops (LLAMAHERD_TRACEBACK=1" in done.err
    monkeypatch.setenv("LLAMAHERD_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        program("info", "demo")


def test_a_missing_library_is_one_line_and_no_traceback() -> None:
    done = run_process("chat", "-p", "hi", LLAMAHERD_LIBLLAMA="/nowhere")
    assert done.code == 1
    assert done.err.startswith("llamaherd: LLAMAHERD_LIBLLAMA=/nowhere")
    assert done.err.count("\n") == 1


def test_a_reader_that_leaves_a_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "llamaherd", "complete", "-p", "1", "-n", "400",
               "-o", "ignore_eos=true", *ONE_THREAD]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_waits_for_no_heavy_import() -> None:
    heavy = ("numpy", "jinja2", "prompt_toolkit", "llguidance", "llamaherd.native")
    code = f"import sys, llamaherd.cli.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_installed_program_runs() -> None:
    script = Path(sys.executable).with_name("llamaherd")
    if not script.exists():
        pytest.skip("the package is not installed as a program")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"llamaherd {llamaherd.__version__}\n"
