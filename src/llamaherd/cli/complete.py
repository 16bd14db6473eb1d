"""``llamaherd complete``: go on from a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from llamaherd.cli.answer import show_answer, show_statistics
from llamaherd.cli.console import NO_PROMPT, MisuseError, prompt_from
from llamaherd.cli.flags import FLAGS, OptionalModel, Options, refuse, takes_options
from llamaherd.cli.loading import loading


@takes_options(*FLAGS)
def complete(
    model: OptionalModel = "demo",
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="The text; default: what is piped in.")
    ] = None,
    suffix: Annotated[
        str | None, typer.Option(help="Text behind the gap, for models that fill in the middle.")
    ] = None,
    echo: Annotated[bool, typer.Option("--echo", help="Show the prompt before its end.")] = False,
    grammar: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Grammar (GBNF or Lark) it must match.")
    ] = None,
    json_schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON schema it must be an instance of.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show llama.cpp's own log on stderr.")
    ] = False,
    *,
    options: Options,
) -> None:
    """Go on from a text, without a chat template.

    The prompt may name special tokens. One newline at the end of a piped prompt is dropped.
    """
    from llamaherd.llama import Llama

    refuse(options, n="one text is shown", n_probs="only text is shown")
    text = prompt_from(prompt)
    if text is None:
        raise MisuseError(NO_PROMPT)
    options = {**options, **_constraints(grammar, json_schema, options)}
    with loading(model) as progress:
        llm = Llama(model, verbose=verbose, progress=progress, **options)
    with llm:
        stream = llm.create_completion(text, suffix, echo=echo, stream=True)
        answer = show_answer(stream, end_line=False)
    show_statistics(answer)
    if answer.interrupted:
        raise KeyboardInterrupt


def _constraints(grammar: Path | None, json_schema: Path | None, options: Options) -> Options:
    """What the files demand, as options."""
    found: Options = {}
    if grammar is not None:
        found["grammar"] = grammar.read_text("utf-8")
    if json_schema is not None:
        found["json_schema"] = _json(json_schema)
    refuse(options, **dict.fromkeys(found, "a file is given"))
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise MisuseError(f"{path} is not JSON: {error}") from None
    if not isinstance(schema, dict):  # null would mean "no constraint" further down
        raise MisuseError(f"{path} is not a JSON schema: expected an object")
    return schema
