"""``llamaherd info``: what a GGUF file is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llamaherd.cli.console import console, human_bytes, plain_table, print_json
from llamaherd.cli.flags import ModelArgument

if TYPE_CHECKING:
    from rich.table import Table

    from llamaherd.cli.model_report import Report


def info(
    model: ModelArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show what a GGUF file is and what it needs.

    Also what its chat template can do. Reads and checks the header; loads no weights. Memory is
    that of the weights and of a cache with f16 numbers; buffers to compute in come on top.
    """
    from llamaherd.cli.model_report import describe
    from llamaherd.model.gguf import check_model
    from llamaherd.model.source import model_file

    report = describe(check_model(model_file(model)))
    if as_json:
        print_json(report)
        return
    screen = console()
    for title, table in _tables(report):
        if table.row_count:
            screen.print(f"[bold]{title}[/bold]" if title else "")
            screen.print(table)


def _tables(report: Report) -> list[tuple[str, Table]]:
    return [
        ("Model", _pairs(_identity(report))),
        ("\nTensors", _tensors(report)),
        ("\nTokenizer", _pairs(_tokenizer(report["tokenizer"]))),
        ("\nChat template", _pairs(_templates(report["chat_templates"]))),
        ("\nRecommended sampling", _pairs(report["sampling"])),
        ("\nMemory", _memory(report["memory"])),
        ("", _pairs(_packed(report["memory"]))),
    ]


def _pairs(rows: dict[str, Any]) -> Table:
    """Names and values; what a file does not say is left out."""
    from rich.text import Text  # takes 50 ms to import

    table = plain_table("", "")
    for name, value in rows.items():
        if value not in (None, "", [], {}):
            # what a file says is shown as it stands: no markup, no control characters
            said = f"{value:.6g}" if isinstance(value, float) else str(value)  # as 32 bits hold it
            text = "".join(ch if ch.isprintable() else "?" for ch in said)
            table.add_row(Text(f"  {name}", style="dim"), Text(text))
    return table


def _identity(report: Report) -> dict[str, Any]:
    files = report["files"]
    return {
        "file": files[0]["path"],
        "parts": len(files) if len(files) > 1 else None,
        "size": human_bytes(report["size_bytes"]),
        "kind": report["kind"] if report["kind"] != "model" else None,
        "name": report["name"],
        "license": report["license"],
        "architecture": report["architecture"],
        "reads": _projectors(report["projectors"]),
        "parameters": human_count(report["n_parameters"]),
        "quantisation": report["file_type"],
        "context": _tokens(report["n_ctx_train"]),
        "layers": report["n_layer"],
        "heads": _heads(report),
        "embedding": report["n_embd"],
        "experts": _experts(report),
        "sliding window": _tokens(report["sliding_window"]),
    }


def _projectors(found: dict[str, str]) -> str:
    """What a multimodal projector reads, each with the type of its projector."""
    words = {"vision": "pictures", "audio": "sounds"}
    return ", ".join(f"{words[kind]} ({name})" for kind, name in found.items())


def _heads(report: Report) -> str:
    heads, key_value = (" to ".join(map(str, _ends(report[k]))) for k in ("n_head", "n_head_kv"))
    return f"{heads} ({key_value} for keys and values)" if heads else ""


def _ends(numbers: list[int]) -> list[int]:
    return sorted({numbers[0], numbers[-1]}) if numbers else []


def _experts(report: Report) -> str:
    used = report["n_expert_used"]
    return f"{report['n_expert']} ({used} at a time)" if report["n_expert"] else ""


def _tokens(count: int | None) -> str:
    return f"{count} tokens" if count else ""


def human_count(number: int) -> str:
    """A number of weights as people say it: 8.03 B."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.2f} {letter}"
    return str(number)


def _tensors(report: Report) -> Table:
    table = plain_table("  type", "tensors", "size", "share", right=(1, 2, 3))
    whole = sum(entry["size_bytes"] for entry in report["tensor_types"]) or 1
    for entry in report["tensor_types"]:
        size = entry["size_bytes"]
        share = f"{size / whole:.1%}"
        table.add_row(f"  {entry['type']}", str(entry["tensors"]), human_bytes(size), share)
    return table


def _tokenizer(found: Report) -> dict[str, Any]:
    kind = found["model"] and f"{found['model']} ({found['pre'] or 'default'})"
    special = {role: f"{t['id']} {t['text'] or ''}" for role, t in found["special"].items()}
    return {"kind": kind, "vocabulary": _tokens(found["n_vocab"]), **special}


def _templates(found: dict[str, dict[str, bool]]) -> dict[str, str]:
    rows = {}
    for name, abilities in found.items():
        if not abilities["renders"]:
            rows[name] = "broken: it does not render a question"
            continue
        words = {word: has for word, has in abilities.items() if word != "renders"}
        rows[name] = ", ".join(word for word, has in words.items() if has)
        rows[f"{name}, lacks"] = ", ".join(word for word, has in words.items() if not has)
    return rows


def _packed(found: Report) -> dict[str, str]:
    """Weights that the kernels repack: they fill memory of their own; the file's pages can go."""
    size = found["packed_bytes"]
    return {"packed by the kernels": f"{human_bytes(size)} of weights"} if size else {}


def _memory(found: Report) -> Table:
    table = plain_table("  context", "weights", "cache", "together", right=(0, 1, 2, 3))
    for context in found["contexts"]:
        sizes = found["weights_bytes"], context["cache_bytes"], context["total_bytes"]
        table.add_row(f"  {context['n_ctx']}", *map(human_bytes, sizes))
    return table
