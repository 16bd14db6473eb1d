"""``llamaherd complete``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_program import ONE_THREAD, Program, program

from llamaherd import Llama

__all__ = ["program"]

GREEDY = ("-t", "0", "-n", "12", *ONE_THREAD)


def test_the_text_goes_on_exactly_as_the_model_writes_it(program: Program, llm: Llama) -> None:
    answer = llm.create_completion("1 + 1", temperature=0.0, max_tokens=12)
    done = program("complete", "-p", "1 + 1", *GREEDY)
    assert (done.code, done.out, done.err) == (0, answer["choices"][0]["text"], "")


def test_echo_puts_a_piped_prompt_first(program: Program) -> None:
    done = program("complete", "--echo", *GREEDY, stdin="1 + 1\n")
    alone = program("complete", *GREEDY, stdin="1 + 1\n")
    assert done.out == "1 + 1" + alone.out


def test_a_grammar_file_is_kept(program: Program, tmp_path: Path) -> None:
    grammar = tmp_path / "yes.gbnf"
    grammar.write_text('root ::= "yes" | "no"', "utf-8")
    assert program("complete", "-p", "x", "--grammar", grammar, *GREEDY).out in ("yes", "no")


def test_a_schema_file_is_kept(program: Program, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"enum": [1, 2]}), "utf-8")
    done = program("complete", "-p", "x", "--json-schema", schema, *GREEDY)
    assert json.loads(done.out) in (1, 2)


@pytest.mark.parametrize("text", ["{", "null", "[1]"])
def test_a_file_that_is_no_schema_is_an_error(program: Program, tmp_path: Path, text: str) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(text, "utf-8")
    done = program("complete", "-p", "x", "--json-schema", schema, *GREEDY)
    assert (done.code, done.out) == (2, "")
    assert "schema.json is not" in done.err


def test_a_grammar_cannot_be_given_twice(program: Program, tmp_path: Path) -> None:
    grammar = tmp_path / "yes.gbnf"
    grammar.write_text('root ::= "yes"', "utf-8")
    done = program("complete", "-p", "x", "--grammar", grammar, "-o", "grammar=x", *GREEDY)
    assert done.code == 2
    assert "a file is given" in done.err


def test_a_gap_is_filled(program: Program) -> None:
    done = program("complete", "-p", "1 + ", "--suffix", " = 2", *GREEDY)
    assert done.code == 0


def test_a_model_that_cannot_fill_a_gap_says_so(program: Program, tiny_model: Path) -> None:
    done = program("complete", tiny_model, "-p", "a", "--suffix", "b", *GREEDY)
    assert done.code == 1
    assert "no fill-in-the-middle tokens" in done.err
