"""``llamaherd chat`` for one answer."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from cli_program import ONE_THREAD, Program, program, run_process
from tiny_mmproj import png, wav

from llamaherd import Llama
from llamaherd.cli.console import AnswerWriter

__all__ = ["program"]

GREEDY = ("-t", "0", "-n", "12", *ONE_THREAD)
HOT = ("--top-k", "0", "--top-p", "1", "--min-p", "0")  # then heat alone decides


def expected(llm: Llama, *messages: tuple[str, str]) -> str:
    said = [{"role": role, "content": content} for role, content in messages]
    answer = llm.create_chat_completion(said, temperature=0.0, max_tokens=12)
    return str(answer["choices"][0]["message"]["content"])


def test_a_prompt_is_answered_on_stdout_and_nothing_else_is_shown(llm: Llama) -> None:
    done = run_process("chat", "demo", "-p", "Hello!", *GREEDY)
    assert done.code == 0
    assert done.out == expected(llm, ("user", "Hello!")).rstrip("\n") + "\n"
    assert done.err == ""


def test_a_piped_prompt_is_answered_without_its_last_newline(program: Program, llm: Llama) -> None:
    done = program("chat", *GREEDY, stdin="Hello!\n")
    assert done.out.rstrip("\n") == expected(llm, ("user", "Hello!")).rstrip("\n")


def test_a_system_message_comes_first(program: Program, llm: Llama) -> None:
    done = program("chat", "-s", "Be brief.", "-p", "Hello!", *GREEDY)
    wanted = expected(llm, ("system", "Be brief."), ("user", "Hello!"))
    assert done.out.rstrip("\n") == wanted.rstrip("\n")


def test_options_reach_the_sampler(program: Program) -> None:
    wild = ("chat", "-p", "Hello!", "-n", "12", "-o", "ignore_eos=true", *ONE_THREAD)
    first = program(*wild, *HOT, "-t", "50", "--seed", "1")
    assert first.out == program(*wild, *HOT, "-o", "temperature=50", "-o", "seed=1").out
    assert first.out != program(*wild, *HOT, "-t", "50", "--seed", "2").out


def test_a_stop_string_may_be_given_as_a_word(program: Program) -> None:
    done = program("chat", "-p", "Hello!", *GREEDY, "-o", "stop=nothing-like-this")
    assert done.code == 0


def test_a_model_without_template_names_the_way_out(program: Program, tiny_model: Path) -> None:
    done = program("chat", tiny_model, "-p", "hi", "-n", "4")
    assert done.code == 1
    assert "has no chat template" in done.err
    assert f"`llamaherd complete {tiny_model}`" in done.err


def test_a_template_may_be_given(program: Program, tiny_model: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.jinja"
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}", "utf-8")
    done = program("chat", tiny_model, "-p", "the", "-n", "4", "--chat-template", template)
    assert (done.code, done.err) == (0, "")


def test_a_prompt_beyond_the_context_is_one_line(program: Program) -> None:
    done = program("chat", "-p", "word " * 600, "-c", "256", *ONE_THREAD)
    assert done.code == 1
    assert "tokens and the context holds 256" in done.err


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    writer = AnswerWriter()
    writer.write("red \x1b[31m\tä\r\x07")
    writer.end(always=False)
    assert screen.getvalue() == "red \ufffd[31m\tä\ufffd\n"


def test_a_pipe_gets_the_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    writer = AnswerWriter()
    writer.write("a\x1b\r")
    writer.end(always=False)
    assert pipe.getvalue() == "a\x1b\r"


def test_pictures_and_sounds_come_with_the_first_question(
    program: Program, llm: Llama, mmproj: Path, tmp_path: Path
) -> None:
    picture, sound = tmp_path / "picture.png", tmp_path / "sound.wav"
    picture.write_bytes(png(20, 20))
    sound.write_bytes(wav())
    media = ("--mmproj", mmproj, "--image", picture, "--audio", sound)
    done = program("chat", "demo", "-p", "Hello!", *GREEDY, *media)
    assert (done.code, done.err) == (0, "")
    with Llama("demo", mmproj=mmproj, n_threads=1) as seeing:
        message = {
            "role": "user",
            "content": [
                {"type": "image", "image": picture},
                {"type": "audio", "audio": sound},
                {"type": "text", "text": "Hello!"},
            ],
        }
        answer = seeing.create_chat_completion([message], temperature=0.0, max_tokens=12)
    assert done.out.rstrip("\n") == answer["choices"][0]["message"]["content"].rstrip("\n")


def test_a_picture_without_a_projector_names_the_remedy(program: Program, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(png(20, 20))
    done = program("chat", "demo", "-p", "Hello!", "--image", tmp_path / "picture.png")
    assert done.code == 1
    assert "mmproj" in done.err
