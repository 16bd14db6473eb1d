"""Where the program starts and ends; what it does is in ``app.py``."""

from __future__ import annotations

import io
import os
import sys


def run() -> None:
    """Entry point of the installed program."""
    try:
        status = _status()
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _status() -> int:
    from llamaherd.cli.app import main  # takes 0.1 s, in which Ctrl-C may come

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal lacks is a "?"
            stream.reconfigure(errors="replace")
    status = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the interpreter's last flush goes nowhere (docs.python.org, SIGPIPE)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
