"""What goes to the screen, and how: answers on stdout, remarks on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import IO, TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH = 120  # columns of a table that goes to a file

# What a model writes is not to be trusted with the terminal: no escape sequences, no carriage
# returns that overwrite what was written before.
_UNSAFE = {i: "\N{REPLACEMENT CHARACTER}" for i in (*range(0x20), 0x7F, *range(0x80, 0xA0))}
_SAFE = {**_UNSAFE, ord("\n"): "\n", ord("\t"): "\t", ord("\r"): ""}


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
    """The prompt given, else what is piped in, less one newline at its end; None: neither."""
    if given is not None:
        return given
    return None if on_terminal(sys.stdin) else piped_text().removesuffix("\n")


def piped_text() -> str:
    """All of stdin.

    Raises:
        typer.BadParameter: it is not UTF-8.
    """
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"stdin is not UTF-8 text: {error.reason}") from None


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
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size /= 1024
    else:
        unit = "TiB"
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
