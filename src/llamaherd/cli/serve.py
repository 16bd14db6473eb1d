"""``llamaherd serve``: models for many clients over HTTP."""

from __future__ import annotations

import functools
import inspect
import logging
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from llamaherd.cli.console import MisuseError
from llamaherd.cli.flags import Assignments, gather
from llamaherd.server.settings import ENVIRONMENT, ServerParams, read_settings

MISSING = "the server needs more packages: pip install 'llamaherd[server]' ({})"


def _takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for each field of ServerParams, as ``flags``: those set only."""
    names = [spec.name for spec in fields(ServerParams)]

    @functools.wraps(command)
    def with_flags(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in names}
        command(**arguments, flags={k: v for k, v in given.items() if v is not None})

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "flags"]
    made = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_flag(name)
        )
        for name in names
    ]
    with_flags.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
    return with_flags


def _flag(name: str) -> Any:
    spec = ServerParams.__dataclass_fields__[name]
    hint = typing.get_type_hints(ServerParams)[name]
    kind = hint if typing.get_origin(hint) is list else (typing.get_args(hint) or (hint,))[0]
    doc = spec.metadata["doc"]
    default = (
        "" if spec.default in (None, False) or kind == list[str] else f" Default: {spec.default}."
    )
    text = f"{doc[0].upper()}{doc[1:]}.{default}"
    return Annotated[kind | None, typer.Option(f"--{name.replace('_', '-')}", help=text)]


@_takes_settings
def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[[NAME=]MODEL]...",
            help="GGUF files, hf:OWNER/REPO or `demo`; NAME: for clients.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar=f"{ENVIRONMENT}CONFIG",
            show_envvar=False,
            help="TOML file with settings and models.",
        ),
    ] = None,
    assignments: Assignments = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Another name for the MODEL; may be repeated.", show_default=False),
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="A LoRA adapter of the MODELs; may be repeated.",
            show_default=False,
        ),
    ] = None,
    on_demand: Annotated[
        bool, typer.Option("--on-demand", help="Load the MODELs with their first requests.")
    ] = False,
    *,
    flags: dict[str, Any],
) -> None:
    """Serve models over HTTP: OpenAI's API and its neighbours (docs/server.md).

    -o, --alias, --lora and --on-demand are for the MODELs named here. What the other flags set can
    come from the environment as well (LLAMAHERD_PORT=8001; LLAMAHERD_MODELS=a=x.gguf,b=y.gguf), and
    from the [server] table of the TOML file. A flag wins, then the environment.
    """
    model = {
        "options": gather({}, assignments or ()),
        "aliases": alias or [],
        "adapters": dict(map(_adapter, lora or ())),
        "preload": not on_demand,
    }
    reread = functools.partial(read_settings, config, models=models or (), model=model, **flags)
    settings = reread()
    try:
        from llamaherd.server.run import Server
    except ImportError as error:
        raise MisuseError(MISSING.format(error)) from None
    _log_to_stderr()
    Server(settings, config=config, reread=reread).run()


def _adapter(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not equals:
        raise MisuseError(f"--lora {text}: expected NAME=FILE")
    return name, file


def _log_to_stderr() -> None:
    """Access lines are JSON as they are; the others say what they are about."""
    access = logging.StreamHandler()
    access.setFormatter(logging.Formatter("%(message)s"))
    told = logging.StreamHandler()
    told.setFormatter(logging.Formatter("llamaherd: %(message)s"))
    for name, handler in (("llamaherd.access", access), ("llamaherd.server", told)):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
