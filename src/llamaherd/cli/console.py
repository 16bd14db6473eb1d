"""What goes to the screen, and how: answers on stdout, remarks on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NO_PROMPT = "there is no prompt: give one by -p or on stdin (the argument is the model)"
PIPE_WIDTH = 120  # columns of a table that goes to a file

# What a model writes is not to be trusted with the terminal: no escape sequences, no carriage
# returns that overwrite what was written before.
_UNSAFE = dict.fromkeys((*range(0x20), 0x7F, *range(0x80, 0xA0)), "\N{REPLACEMENT CHARACTER}")
_SAFE = {**_UNSAFE, ord("\n"): "\n", ord("\t"): "\t", ord("\r"): ""}


class MisuseError(Exception):
    """A command line that makes no sense; the program says so and ends with exit code 2."""


def on_terminal(stream: IO[str]) -> bool:
    """Whether a person sees what is written there."""
    return not stream.closed and stream.isatty()


class AnswerWriter:
    """Writes pieces of an answer to stdout as they come."""

    def __init__(self) -> None:
        self._terminal = on_terminal(sys.stdout)
        self._last = "\n"

    def write(self, text: str) -> None:
        """Show a piece now; a terminal gets no control characters."""
        if text:
            sys.stdout.write(text.translate(_SAFE) if self._terminal else text)
            sys.stdout.flush()
            self._last = text[-1]

    def end(self, *, always: bool) -> None:
        """End the line if it is open: on a terminal, or ``always``."""
        if self._last != "\n" and (always or self._terminal):
            self.write("\n")


def complain(message: str) -> None:
    """An error, on one line."""
    print(f"llamaherd: {' '.join(message.split())}", file=sys.stderr)


def remark(message: str) -> None:
    """A dim line on stderr, for people: a terminal only."""
    if on_terminal(sys.stderr):
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        print(message if plain else f"\x1b[2m{message}\x1b[0m", file=sys.stderr, flush=True)


def prompt_from(given: str | None) -> str | None:
    """The prompt given, else what is piped in, less one newline at its end; None: neither.

    Raises:
        MisuseError: nothing is piped in, or no UTF-8 text.
    """
    if given is not None or on_terminal(sys.stdin):
        return given
    text = piped_text().removesuffix("\n")
    if not text:
        raise MisuseError(NO_PROMPT)
    return text


def piped_text() -> str:
    """All of stdin.

    Raises:
        MisuseError: it is not UTF-8.
    """
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise MisuseError(f"stdin is not UTF-8 text: {error.reason}") from None


def console() -> Console:
    """Rich on stdout; wide where there is no terminal to fit."""
    from rich.console import Console  # takes 50 ms to import

    return Console(highlight=False, width=None if on_terminal(sys.stdout) else PIPE_WIDTH)


def plain_table(*columns: str, right: tuple[int, ...] = ()) -> Table:
    """A table without lines. ``right`` are the numbers of columns with figures."""
    from rich.table import Table  # takes 50 ms to import

    table = Table(box=None, show_header=any(columns), pad_edge=False, header_style="dim")
    for number, title in enumerate(columns):
        table.add_column(title, justify="right" if number in right else "left", overflow="fold")
    return table


def print_json(value: Any) -> None:
    """A result for machines."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def human_bytes(size: float) -> str:
    """A size as people read it: 1.5 GiB."""
    if size < 1024:
        return f"{size:.0f} bytes"
    power = min(int(math.log(size, 1024)), 4)
    return f"{size / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"
