"""``llamaherd doctor``: is everything there, and what to do if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from llamaherd.cli.console import console, plain_table

if TYPE_CHECKING:
    from llamaherd.cli.diagnosis import Finding


def doctor() -> None:
    """Look for what is missing, and say what to do.

    Looks at the library, devices, CPU features, extras and the demo model. Exit code 1 if
    something does not work; advice alone leaves it 0.
    """
    from llamaherd.cli.diagnosis import diagnose

    findings = list(diagnose())
    _show(findings)
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    from rich.text import Text  # takes 50 ms to import

    table = plain_table("", "")
    for finding in findings:
        style = "bold red" if finding.wrong else "yellow" if finding.remedy else ""
        table.add_row(Text(finding.name, style="dim"), Text(finding.value, style=style))
        if finding.remedy:
            table.add_row("", Text(f"-> {finding.remedy}", style=style))
    screen = console()
    screen.print(table)
    wrong = sum(finding.wrong for finding in findings)
    verdict = f"[bold red]{wrong} not working[/]" if wrong else "[green]all well[/]"
    screen.print(f"\n{verdict}")
