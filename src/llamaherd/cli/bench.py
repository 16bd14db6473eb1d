"""``llamaherd bench``: how fast a model is on this machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llamaherd.cli.bench_case import BenchCase, BenchResult
from llamaherd.cli.console import (
    MisuseError,
    console,
    human_bytes,
    on_terminal,
    plain_table,
    print_json,
)
from llamaherd.cli.flags import (
    LOADING,
    ModelArgument,
    Options,
    refuse,
    takes_options,
)
from llamaherd.cli.loading import loading
from llamaherd.declared import split_options
from llamaherd.params import (
    ContextParams,
    ModelParams,
)

if TYPE_CHECKING:
    from llamaherd.model import Model


@takes_options(*LOADING)
def bench(
    model: ModelArgument,
    prompt_tokens: Annotated[
        int, typer.Option(min=0, help="Length of the prompt that is read; 0: leave it out.")
    ] = 512,
    gen_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens that are generated; 0: leave it out.")
    ] = 128,
    batches: Annotated[
        str, typer.Option(help="Sequences generated side by side; empty: leave it out.")
    ] = "1,2,4,8",
    repetitions: Annotated[
        int, typer.Option("--repetitions", "-r", min=1, help="How often each is measured.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    *,
    options: Options,
) -> None:
    """Measure how fast a model is here.

    That is: reading a prompt, generating, and generating several texts side by side. Rates are
    tokens a second, of all sequences together. Tokens are random ones of a fixed seed, each
    case begins with an empty cache and follows one run that does not count, as in llama-bench.
    """
    from llamaherd.cli.bench_runner import BenchRunner
    from llamaherd.model import Model

    refuse(options, n_ctx="each case makes the context it needs")
    for_model, for_context = split_options(options, ModelParams, ContextParams)
    cases = list(_cases(prompt_tokens, gen_tokens, _numbers(batches)))
    context_params = ContextParams(**for_context)
    with loading(model) as progress:
        loaded = Model(model, ModelParams(**for_model), progress=progress)
    with loaded:
        runner = BenchRunner(loaded, context_params)
        with _progress(len(cases) * (repetitions + 1)) as advance:
            results = [runner.measure(case, repetitions, advance) for case in cases]
        about = _about(loaded, context_params)
    if as_json:
        print_json({**about, "results": [_plain(result) for result in results]})
    else:
        _show(about, results)


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        numbers = [0]
    if not all(1 <= number <= 256 for number in numbers):
        raise MisuseError(
            f"--batches {text}: expected numbers from 1 to 256 with commas between them"
        )
    return numbers


def _cases(n_prompt: int, n_generated: int, batches: list[int]) -> Iterator[BenchCase]:
    if n_prompt:
        yield BenchCase(f"pp{n_prompt}", n_prompt, 0, 1)
    if not n_generated:
        return
    yield BenchCase(f"tg{n_generated}", 0, n_generated, 1)
    for n_seq in batches:
        if n_seq > 1:  # one sequence is the case before
            yield BenchCase(f"tg{n_generated} x {n_seq}", 0, n_generated, n_seq)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on a terminal, silence elsewhere; yields a function to call after each run."""
    if not on_terminal(sys.stderr):
        yield lambda _case: None
        return
    from rich.console import Console  # takes 50 ms to import
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda case: bar.update(task, advance=1, description=case)


def _about(model: Model, params: ContextParams) -> dict[str, Any]:
    """What the figures depend on."""
    from llamaherd.cli.system import device_names

    return {
        "file": model.path.name,
        "model": model.description,
        "size_bytes": model.size_bytes,
        "n_params": model.n_params,
        "library": model.runtime,
        "machine": f"{platform.system()} {platform.machine()}",
        "devices": device_names(),
        "threads": model.n_threads_for(params),
    }


def _plain(result: BenchResult) -> dict[str, Any]:
    return {
        "test": result.case.name,
        "n_prompt": result.case.n_prompt,
        "n_gen": result.case.n_generated,
        "n_seq": result.case.n_seq,
        "tokens_per_second": result.mean,
        "stddev": result.spread,
        "samples": result.rates,
    }


def _show(about: dict[str, Any], results: list[BenchResult]) -> None:
    screen = console()
    size = human_bytes(about["size_bytes"])
    screen.print(f"{about['file']}: {about['model']}, {size}", markup=False)
    devices = ", ".join(about["devices"])
    screen.print(
        f"{about['library']}, {about['machine']}, {devices}, {about['threads']} threads\n",
        markup=False,
    )
    table = plain_table("test", "tokens/s", "spread", "for each", right=(1, 2, 3))
    for result in results:
        each = result.mean / result.case.n_seq
        table.add_row(
            result.case.name, f"{result.mean:.2f}", f"± {result.spread:.2f}", f"{each:.2f}"
        )
    screen.print(table)
