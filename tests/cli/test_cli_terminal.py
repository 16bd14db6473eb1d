"""``llamaherd chat`` as a conversation, on a pseudo-terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

from cli_program import ONE_THREAD, Terminal

CTRL_C, CTRL_D, ALT_ENTER, ENTER = "\x03", "\x04", "\x1b\r", "\r"
PROMPT = "Ask something"  # shown in the empty line behind >>>
SHORT = ("chat", "demo", "-t", "0", "-n", "8", *ONE_THREAD)
ENDLESS = ("chat", "demo", "-o", "ignore_eos=true", "-c", "2048", *ONE_THREAD)


def questions(state: Path) -> list[str]:
    """The history file's entries (a comment line each, then lines that begin with +)."""
    blocks = (state / "llamaherd" / "history").read_text("utf-8").split("\n# ")[1:]
    entries = [[line[1:] for line in b.splitlines() if line.startswith("+")] for b in blocks]
    return ["\n".join(lines) for lines in entries]


def test_two_turns_are_answered_and_remembered(tmp_path: Path) -> None:
    with Terminal(*SHORT, state=tmp_path) as terminal:
        terminal.wait_for(PROMPT)
        terminal.press("Hello!" + ENTER)
        terminal.wait_for("[prompt ")
        terminal.wait_for(PROMPT)
        terminal.press("And now?" + ENTER)
        terminal.wait_for(" kept tokens at ")  # the first turn is part of the second prompt
        terminal.wait_for(PROMPT)
        terminal.press(CTRL_D)
        assert terminal.leave() == 0
    assert questions(tmp_path) == ["Hello!", "And now?"]


def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    with Terminal(*ENDLESS, state=tmp_path) as terminal:
        terminal.wait_for(PROMPT)
        terminal.press("Tell me a long story" + ENTER)
        terminal.wait_for("story\n")
        terminal.wait_for_characters(200)
        terminal.press(CTRL_C)
        terminal.wait_for("interrupted]")
        terminal.wait_for(PROMPT)
        terminal.press("half a line")
        terminal.wait_for("half a line")
        terminal.press(CTRL_C)  # at the prompt it clears the line
        terminal.wait_for(PROMPT)
        terminal.press("/help" + ENTER)
        terminal.wait_for("leave (also Ctrl-D)")
        terminal.wait_for(PROMPT)
        terminal.press(CTRL_D)
        assert terminal.leave() == 0


def test_a_question_may_have_several_lines(tmp_path: Path) -> None:
    with Terminal(*SHORT, state=tmp_path) as terminal:
        terminal.wait_for(PROMPT)
        terminal.press("one" + ALT_ENTER)
        terminal.wait_for("...")
        terminal.press("two\\" + ENTER)
        terminal.wait_for("...")
        terminal.press("three" + ENTER)
        terminal.wait_for("[prompt ")
        terminal.wait_for(PROMPT)
        terminal.press("/exit" + ENTER)
        assert terminal.leave() == 0
    assert questions(tmp_path)[0] == "one\ntwo\nthree"


def test_commands_and_errors_leave_the_conversation_alive(tmp_path: Path) -> None:
    with Terminal(*SHORT, "-c", "256", state=tmp_path) as terminal:
        terminal.wait_for(PROMPT)
        terminal.press("/bla" + ENTER)
        terminal.wait_for("there is no command /bla")
        terminal.wait_for(PROMPT)
        terminal.press("/reset" + ENTER)
        terminal.wait_for("starts anew")
        terminal.wait_for(PROMPT)
        terminal.press("word " * 400 + ENTER)
        terminal.wait_for("the context holds 256")
        terminal.wait_for(PROMPT)
        terminal.press("Hello!" + ENTER)
        terminal.wait_for("[prompt ")
        terminal.wait_for(PROMPT)
        terminal.press(CTRL_D)
        assert terminal.leave() == 0


def test_one_answer_on_a_terminal_ends_with_statistics(tmp_path: Path) -> None:
    with Terminal(*SHORT, "-p", "Hello!", state=tmp_path) as terminal:
        assert terminal.leave() == 0
        assert "[prompt" in terminal.screen
    assert not (tmp_path / "llamaherd").exists()


def test_long_work_shows_a_bar_and_leaves_the_result(tmp_path: Path) -> None:
    small = ("--prompt-tokens", "8", "--gen-tokens", "2", "--batches", "", "-r", "1")
    with Terminal("bench", "demo", *small, *ONE_THREAD, state=tmp_path) as terminal:
        assert terminal.leave() == 0
        assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in terminal.screen
        assert "tokens/s" in terminal.screen


def test_tokens_are_a_table_on_a_terminal(tmp_path: Path) -> None:
    with Terminal("tokenize", "demo", "Hello", state=tmp_path) as terminal:
        assert terminal.leave() == 0
        assert "piece" in terminal.screen
        assert "\t" not in terminal.screen


def test_ctrl_c_ends_a_single_answer_with_130(tmp_path: Path) -> None:
    with Terminal(*ENDLESS, "-p", "Hello!", state=tmp_path) as terminal:
        terminal.wait_for_characters(100)
        terminal.press(CTRL_C)
        assert terminal.leave() == 130
        assert "interrupted]" in terminal.screen
        assert "Traceback" not in terminal.screen
