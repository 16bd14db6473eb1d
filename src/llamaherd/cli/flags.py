"""Options of a load and of sampling as flags, made from their declarations in ``params.py``.

The common ones have a flag; all others go through ``-o name=value``.
"""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Annotated, Any

import typer

from llamaherd.cli.console import MisuseError
from llamaherd.declared import Params, split_options
from llamaherd.errors import OptionError
from llamaherd.params import (
    ContextParams,
    MediaParams,
    ModelParams,
    SamplingParams,
)

Options = dict[str, Any]

FLAGS: dict[str, tuple[str, ...]] = {
    "max_tokens": ("--max-tokens", "-n"),
    "temperature": ("--temperature", "-t"),
    "top_k": ("--top-k",),
    "top_p": ("--top-p",),
    "min_p": ("--min-p",),
    "seed": ("--seed",),
    "n_ctx": ("--n-ctx", "-c"),
    "n_threads": ("--threads",),
    "n_gpu_layers": ("--gpu-layers",),
}
LOADING = ("n_threads", "n_gpu_layers")
KINDS: tuple[type[Params], ...] = (ModelParams, ContextParams, MediaParams, SamplingParams)

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A GGUF file, or `demo`.", show_default=False)
]
OptionalModel = Annotated[str, typer.Argument(metavar="MODEL", help="A GGUF file, or `demo`.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="Any other option of docs/options.md; the value as JSON. May be repeated.",
        show_default=False,
    ),
]


def takes_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags ``names`` and ``-o``; it gets them as ``options``, those set only.

    Raises:
        OptionError, UnknownOptionError: when the command is called, of a bad ``-o``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_options(**arguments: Any) -> None:
            flags = {name: arguments.pop(name) for name in names}
            assignments = arguments.pop("assignments")
            command(**arguments, options=gather(flags, assignments or ()))

        with_options.__signature__ = _signature(command, names)  # type: ignore[attr-defined]
        return with_options

    return decorate


def gather(flags: Options, assignments: Sequence[str]) -> Options:
    """Flags that were set and ``name=value`` pairs as one set of options, names checked."""
    options = {name: value for name, value in flags.items() if value is not None}
    for name, value in map(_assignment, assignments):
        if name in options:
            raise OptionError(name, value, "no second value")
        options[name] = value
    split_options(options, *KINDS)
    return options


def refuse(options: Options, **why: str) -> None:
    """Refuse options that a command could not honour.

    Raises:
        OptionError: one of them is set; ``why`` says what holds instead.
    """
    for name, reason in why.items():
        if name in options:
            raise OptionError(name, options[name], f"no value here: {reason}")


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise MisuseError(f"-o {text}: expected NAME=VALUE")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value  # a word without quotes


def _signature(command: Callable[..., None], names: Sequence[str]) -> inspect.Signature:
    """That of ``command`` with one parameter a flag instead of ``options``."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "options"]
    flags = [_parameter(name, _flag(_declaration(name))) for name in names]
    return signature.replace(parameters=[*own, *flags, _parameter("assignments", Assignments)])


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _declaration(name: str) -> tuple[Field[Any], Any]:
    """Where ``params.py`` declares an option, and its type."""
    for kind in KINDS:
        for spec in fields(kind):
            if spec.name == name:
                return spec, typing.get_type_hints(kind)[name]
    raise KeyError(name)


def _flag(declared: tuple[Field[Any], Any]) -> Any:
    spec, hint = declared
    number = (typing.get_args(hint) or (hint,))[0]
    default = "" if spec.default is None else f" Default: {spec.default}."
    doc = spec.metadata["doc"].replace("None or ", "").replace("None:", "default:")
    text = f"{doc[0].upper()}{doc[1:]}.{default}"
    return Annotated[number | None, typer.Option(*FLAGS[spec.name], help=text)]
