"""``llamaherd tokenize``: the tokens of a text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llamaherd.cli.console import MisuseError, console, on_terminal, plain_table
from llamaherd.cli.flags import ModelArgument
from llamaherd.cli.loading import loading
from llamaherd.params import ModelParams

if TYPE_CHECKING:
    from llamaherd.model import Vocab


def tokenize(
    model: ModelArgument,
    text: Annotated[
        str | None, typer.Argument(help="The text; default: what is piped in, byte for byte.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Only the ids, on one line.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Only how many there are.")] = False,
    special: Annotated[
        bool, typer.Option(help="Read names of special tokens as those tokens.")
    ] = False,
    bos: Annotated[
        bool, typer.Option(help="Begin (and end) with the tokens that the model expects there.")
    ] = True,
) -> None:
    """Show the tokens of a text.

    Ids and pieces: a table on a terminal, else a line for each token: its id, a tab, its
    escaped piece. Loads the vocabulary only.
    """
    from llamaherd.model import Model

    if ids and count:
        raise MisuseError("--ids or --count, not both")
    data = _text(text)
    with loading(model) as progress:
        loaded = Model(model, ModelParams(vocab_only=True), progress=progress)
    with loaded:
        tokens = loaded.vocab.tokenize(data, add_special=bos, parse_special=special)
        if count:
            print(len(tokens))
        elif ids:
            print(" ".join(map(str, tokens)))
        else:
            _show(loaded.vocab, tokens)


def _text(given: str | None) -> bytes:
    if given is not None:
        return given.encode("utf-8", "surrogateescape")  # as the shell gave it
    if on_terminal(sys.stdin):
        raise MisuseError("there is no text: give TEXT, or pipe it in")
    return sys.stdin.buffer.read()


def _show(vocab: Vocab, tokens: list[int]) -> None:
    pieces = [(str(token), escaped(vocab.token_bytes(token, special=True))) for token in tokens]
    if not on_terminal(sys.stdout):
        for token, piece in pieces:
            print(f"{token}\t{piece}")
        return
    from rich.text import Text  # takes 50 ms to import

    table = plain_table("id", "piece", right=(0,))
    for token, piece in pieces:
        table.add_row(token, Text(piece, style="reverse"))
    console().print(table)


def escaped(piece: bytes) -> str:
    r"""A piece on one line: ``\n`` and the like, ``\x80`` for bytes that are half a character."""
    return "".join(map(_escaped, piece.decode("utf-8", "surrogateescape")))


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character == "\\" or not character.isprintable():
        return character.encode("unicode_escape").decode()
    return character
