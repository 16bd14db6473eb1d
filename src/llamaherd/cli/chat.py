"""``llamaherd chat``: talk with a model, or ask it one thing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from llamaherd.cli.answer import show_statistics
from llamaherd.cli.console import NO_PROMPT, MisuseError, on_terminal, prompt_from
from llamaherd.cli.conversation import Conversation, Part
from llamaherd.cli.flags import FLAGS, OptionalModel, Options, refuse, takes_options
from llamaherd.cli.loading import loading
from llamaherd.errors import UnsupportedError


@takes_options(*FLAGS)
def chat(
    model: OptionalModel = "demo",
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Ask this, show the answer and leave.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", help="System message: how to answer.")
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Show a picture with the first question. Repeatable."),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Play a sound with the first question. Repeatable."),
    ] = None,
    mmproj: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The model's projector, which --image and --audio need."),
    ] = None,
    chat_template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Jinja template instead of the model's own."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show llama.cpp's own log on stderr.")
    ] = False,
    *,
    options: Options,
) -> None:
    """Talk with a model, or ask it one thing.

    With -p or a piped stdin it answers once. Else it is a conversation with history (arrow keys),
    several lines (Alt-Enter, or a backslash at the end), Ctrl-C to stop an answer, Ctrl-D to leave.
    """
    from llamaherd.llama import Llama

    refuse(options, n="a conversation has one answer", n_probs="only text is shown")
    question = prompt_from(prompt)
    if question is not None and not question.strip():
        raise MisuseError(NO_PROMPT)
    with loading(model) as progress:
        llm = Llama(
            model,
            mmproj=mmproj,
            chat_template=chat_template,
            verbose=verbose,
            progress=progress,
            **options,
        )
    with llm:
        if chat_template is None and "default" not in llm.model.chat_templates:
            raise UnsupportedError(
                f"{llm.model_path} has no chat template: pass one by --chat-template, or use "
                f"`llamaherd complete {model}`"
            )
        media = [*_parts("image", image), *_parts("audio", audio)]
        conversation = Conversation(llm, system, media)
        if question is None and on_terminal(sys.stdin):
            _talk(conversation)
        else:
            _answer_once(conversation, question or "")


def _parts(kind: str, paths: list[Path] | None) -> list[Part]:
    return [{"type": kind, kind: path} for path in paths or ()]


def _answer_once(conversation: Conversation, question: str) -> None:
    answer = conversation.ask(question)
    show_statistics(answer)
    if answer.interrupted:
        raise KeyboardInterrupt


def _talk(conversation: Conversation) -> None:
    from llamaherd.cli.terminal import talk  # prompt_toolkit takes 150 ms to import

    talk(conversation)
