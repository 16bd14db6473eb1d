"""Ways to run the program: inside the test, as a process, and on a pseudo-terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pytest

from llamaherd.cli.app import main

ONE_THREAD = ("--threads", "1")  # tests share the machine
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    code: int
    out: str
    err: str


class Program:
    """Runs command lines in this process: no start-up to wait for."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    def __call__(self, *arguments: str | Path, stdin: str | bytes = "") -> Outcome:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs a command line and returns what came of it."""
    return Program(capsys, monkeypatch)


def run_process(*arguments: str | Path, stdin: str = "", **env: str) -> Outcome:
    """Run the program as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "llamaherd", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **env},
        timeout=PATIENCE_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class Terminal:
    """The program on a pseudo-terminal, with keys to press and a screen to read."""

    def __init__(self, *arguments: str | Path, state: Path) -> None:
        self.screen, self._read = "", 0
        env = {
            **os.environ,
            "XDG_STATE_HOME": str(state),
            "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody answers questions about the cursor here
            "TERM": "xterm",
        }
        leader, follower = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llamaherd", *map(str, arguments)],
            stdin=follower, stdout=follower, stderr=follower, env=env,
            start_new_session=True, preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(follower)
        self._leader = leader

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._leader, keys.encode())

    def wait_for(self, text: str) -> str:
        """Wait until the text is on the screen behind what was waited for before.

        Returns:
            What was written up to it since then, without colours and cursor movements.
        """
        until = time.monotonic() + PATIENCE_S
        while True:
            fresh = plain(self.screen)[self._read :]
            before, found, _ = fresh.partition(text)
            if found:
                self._read += len(before + found)
                return before + found
            if time.monotonic() > until or not self._more():
                raise AssertionError(f"{text!r} did not appear; the screen has {fresh!r}")

    def wait_for_characters(self, count: int) -> None:
        """Wait until so many more are on the screen."""
        until = time.monotonic() + PATIENCE_S
        wanted = len(self.screen) + count
        while len(self.screen) < wanted:
            assert time.monotonic() < until
            assert self._more()

    def leave(self) -> int:
        """Wait for the end; returns the exit code."""
        while self._more():
            pass
        return self._process.wait(PATIENCE_S)

    def _more(self) -> bool:
        """Read what there is; False at the end of the program."""
        if not select.select([self._leader], [], [], PATIENCE_S)[0]:
            return False
        try:
            data = os.read(self._leader, 65536)
        except OSError:  # Linux reports the end of a terminal as an error
            return False
        self.screen += data.decode("utf-8", "replace")
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._leader)


def _own_terminal() -> None:
    """Make the pseudo-terminal the child's own, so that Ctrl-C reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def plain(text: str) -> str:
    """A screen's text without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[>=]|\r", "", text)
