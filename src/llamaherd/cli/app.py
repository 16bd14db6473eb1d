"""The program's commands, its exit codes, and how errors look.

Exit codes: 0 done, 1 it failed (or the reader of a pipe went away, which is silent), 2 it was asked
for something that makes no sense, 130 interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import llamaherd
from llamaherd.cli.bench import bench
from llamaherd.cli.chat import chat
from llamaherd.cli.complete import complete
from llamaherd.cli.console import MisuseError, complain
from llamaherd.cli.doctor import doctor
from llamaherd.cli.info import info
from llamaherd.cli.serve import serve
from llamaherd.cli.tokenize import tokenize
from llamaherd.errors import LlamaHerdError, OptionError, UnknownOptionError

TRACEBACK = "LLAMAHERD_TRACEBACK"
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

# Click's exceptions, or those of Typer's own copy of Click: only BadParameter is public in both.
_UsageError: type[Exception]
_ClickError: type[Exception]
_UsageError, _ClickError = typer.BadParameter.__mro__[1:3]

app = typer.Typer(
    name="llamaherd",
    help="Run GGUF models with llama.cpp. MODEL is a path, or `demo` for the bundled one.",
    rich_markup_mode=None,  # plain help: it pipes, and takes no time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (chat, complete, serve, info, tokenize, bench, doctor):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llamaherd {llamaherd.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options before the command."""


def main(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code and raises nothing that a user can cause."""
    try:
        words = list(arguments) or ["--help"]
        return app(args=words, prog_name="llamaherd", standalone_mode=False) or 0
    except (MisuseError, OptionError, UnknownOptionError) as error:
        complain(str(error))
        return MISUSED
    except LlamaHerdError as error:
        complain(str(error))
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return FAILED
    except _ClickError as error:
        return _misused(error)
    except Exception as error:  # a bug of ours: not the user's to read, unless they want to
        if os.environ.get(TRACEBACK):
            raise
        complain(f"unexpected {type(error).__name__}: {error} ({TRACEBACK}=1 shows where)")
        return FAILED


def _misused(error: BaseException) -> int:
    """Click's message on one line, and where the right usage is written down."""
    context = getattr(error, "ctx", None)
    message = getattr(error, "format_message", error.__str__)().rstrip(".")
    path = context.command_path if context else "llamaherd"
    if "unexpected extra argument" in message and _takes_prompt(context):
        message += ": a prompt comes after -p"
    complain(f"{' '.join(message.split())} (see `{path} --help`)")
    return MISUSED if isinstance(error, _UsageError) else FAILED


def _takes_prompt(context: Any) -> bool:
    return context is not None and any(each.name == "prompt" for each in context.command.params)
