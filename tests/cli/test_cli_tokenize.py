"""``llamaherd tokenize``."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_program import Program, program

from llamaherd import Llama
from llamaherd.cli.tokenize import escaped

__all__ = ["program"]


def test_a_line_a_token_when_piped(program: Program, llm: Llama) -> None:
    done = program("tokenize", "demo", "Hello you\n")
    assert (done.code, done.err) == (0, "")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [int(row[0]) for row in rows] == llm.tokenize("Hello you\n")
    assert "".join(row[1] for row in rows if row[1][0] != "<") == "Hello you\\n"


def test_stdin_is_taken_byte_for_byte(program: Program, llm: Llama) -> None:
    data = b"a\xff\n"
    done = program("tokenize", "demo", "--ids", "--no-bos", stdin=data)
    assert [int(word) for word in done.out.split()] == llm.tokenize(data, add_bos=False)


def test_only_the_count(program: Program, llm: Llama) -> None:
    assert program("tokenize", "demo", "a b c", "--count").out == f"{len(llm.tokenize('a b c'))}\n"


def test_names_of_special_tokens_are_text_unless_wanted(program: Program, llm: Llama) -> None:
    plain = program("tokenize", "demo", "<|im_end|>", "--ids", "--no-bos").out.split()
    special = program("tokenize", "demo", "<|im_end|>", "--ids", "--no-bos", "--special").out
    assert len(plain) > 1
    assert special == f"{llm.token_eos()}\n"


def test_an_empty_text_has_no_tokens(program: Program, tiny_model: Path) -> None:
    assert program("tokenize", tiny_model, "", "--no-bos").out == ""
    assert program("tokenize", tiny_model, "", "--no-bos", "--count").out == "0\n"


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" a", " a"),
        (b"\n\t\\", "\\n\\t\\\\"),
        ("ä€".encode(), "ä€"),
        (b"\xe2\x82", "\\xe2\\x82"),
        (b"\x1b[31m", "\\x1b[31m"),
        ("\u200b".encode(), "\\u200b"),
    ],
)
def test_pieces_are_escaped_onto_one_line(piece: bytes, shown: str) -> None:
    assert escaped(piece) == shown
