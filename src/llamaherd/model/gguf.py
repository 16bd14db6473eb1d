"""Check a GGUF file before native code sees it.

:func:`read_gguf` reads one file's header and checks its structure. :func:`check_model` does so for
all parts of a model, and refuses what would kill the process inside llama.cpp. Neither reads
tensor data; both take well under 0.3 s for a vocabulary of 128k tokens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from llamaherd.errors import ModelLoadError
from llamaherd.model.gguf_reader import (
    GGUFFile,
    NumberArray,
    StringArray,
    TensorInfo,
    Value,
    ValueType,
    read_gguf,
)
from llamaherd.model.gguf_rules import MODEL_RULES, Facts
from llamaherd.model.gguf_vocab_rules import VOCABULARY_RULES

__all__ = [
    "GGUFFile",
    "NumberArray",
    "StringArray",
    "TensorInfo",
    "Value",
    "ValueType",
    "check_adapter",
    "check_model",
    "read_gguf",
]

PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
FETCH_ALL = "Fetch all parts of the model into one folder."


def check_model(
    path: str | os.PathLike[str], overrides: Mapping[str, Value] | None = None
) -> tuple[GGUFFile, ...]:
    """The parts of the model at `path`, in order and checked; most models have one.

    Of adapters and multimodal projectors only the structure is checked.

    Args:
        path: the model; of a split one, its first part.
        overrides: metadata that will replace the file's (``kv_overrides``).

    Raises:
        ModelLoadError: naming the file, what is wrong with it, and what to do.
    """
    first = read_gguf(path)
    parts = (first, *_other_parts(first))
    if not _is_language_model(first):
        return parts
    facts = Facts(parts, overrides or {})
    for rule in (*MODEL_RULES, *VOCABULARY_RULES):
        finding = rule.find(facts)
        if finding:
            raise ModelLoadError(first.path, finding, rule.remedy)
    return parts


def check_adapter(path: str | os.PathLike[str]) -> GGUFFile:
    """The LoRA adapter at `path`, its structure checked."""
    file = read_gguf(path)
    if file.kind != "adapter":
        raise ModelLoadError(
            file.path, f"is not an adapter but of type {file.kind!r}", "Name a LoRA adapter."
        )
    return file


def _is_language_model(file: GGUFFile) -> bool:
    return file.architecture != "clip" and file.kind not in ("adapter", "mmproj")


def _other_parts(first: GGUFFile) -> list[GGUFFile]:
    """Parts 2, 3, ... of the split model that `first` belongs to."""
    count = first.split_count
    if count <= 1:
        return []
    paths = _part_paths(first, count)
    missing = [part.name for part in paths if not part.exists()]
    if missing:
        names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        finding = f"is part 1 of {count}; {len(missing)} of the parts are missing: {names}"
        raise ModelLoadError(first.path, finding, FETCH_ALL)
    parts = [read_gguf(part) for part in paths[1:]]
    for number, part in enumerate(parts, start=2):
        _check_part(part, number, count)
    return parts


def _part_paths(first: GGUFFile, count: int) -> list[Path]:
    name = PART_NAME.fullmatch(first.path.name)
    if first.split_no != 0:
        # The name may have been changed; what the file says of itself counts.
        hint = f"{name['stem']}-00001-of-{count:05d}.gguf" if name else "its first part"
        finding = f"is part {first.split_no + 1} of a model split in {count}"
        raise ModelLoadError(first.path, finding, f"Give the first part: {hint}.")
    if name is None or (name["number"], name["count"]) != ("00001", f"{count:05d}"):
        wanted = f"<name>-00001-of-{count:05d}.gguf"
        raise ModelLoadError(
            first.path,
            f"is part 1 of a model split in {count}, but is not called {wanted}",
            "Give all parts their original names again.",
        )
    return [
        first.path.with_name(f"{name['stem']}-{number:05d}-of-{count:05d}.gguf")
        for number in range(1, count + 1)
    ]


def _check_part(part: GGUFFile, number: int, count: int) -> None:
    if part.types.get("split.no") is not ValueType.UINT16:
        # llama_model_loader: gguf_get_val_u16 asserts this
        raise ModelLoadError(part.path, "does not say which part it is", FETCH_ALL)
    if part.split_no != number - 1 or part.split_count != count:
        says = f"part {part.split_no + 1} of {part.split_count}"
        finding = f"says it is {says}, where part {number} of {count} belongs"
        raise ModelLoadError(part.path, finding, FETCH_ALL)
