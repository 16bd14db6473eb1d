"""What a model's file says of it, without loading it. Any thread."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamaherd.chat import ChatFormat
from llamaherd.errors import ModelLoadError
from llamaherd.model.fingerprint import fingerprint
from llamaherd.model.gguf import GGUFFile, read_gguf
from llamaherd.model.source import model_file
from llamaherd.params import POOLINGS
from llamaherd.server.residents import Resident

TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True)
class Facts:
    """Of one model.

    Attributes:
        digest: tells its content from others.
        n_bytes: of its file.
        modified: its last change, in seconds of the Unix epoch.
        quantization: of most of its weights.
        n_ctx: tokens of its context: the loaded one's, else what it will be at most.
        metadata: of the file, without lists.
        capabilities: see ``Llama.capabilities``; of a model that is not loaded some may be missing.
    """

    name: str
    digest: str
    n_bytes: int
    modified: float
    architecture: str
    n_params: int
    quantization: str
    n_ctx: int
    metadata: Mapping[str, Any]
    capabilities: frozenset[str]

    @property
    def template(self) -> str:
        """Its chat template; "" if it has none."""
        return str(self.metadata.get(TEMPLATE, ""))


def is_here(resident: Resident) -> bool:
    """Whether its file lies on this machine: a model of the Hub may not have been fetched yet."""
    try:
        return model_file(resident.settings.file, fetch=False).exists()
    except ModelLoadError:
        return False


def facts(resident: Resident) -> Facts:
    """The facts of a model; from memory if it is loaded, else from its file.

    Raises:
        ModelLoadError: the file cannot be read.
    """
    path = model_file(resident.settings.file, fetch=False)
    stat = path.stat()
    header, digest = _read(path, stat.st_mtime_ns)
    llm = resident.llm
    wanted = resident.settings.options.get("n_ctx")
    return Facts(
        name=resident.name,
        digest=digest,
        n_bytes=stat.st_size,
        modified=stat.st_mtime,
        architecture=header.architecture,
        n_params=header.n_parameters if llm is None else llm.model.n_params,
        quantization=header.file_type or "unknown",
        n_ctx=(wanted or _n_ctx_train(header)) if llm is None else llm.n_ctx(),
        metadata={k: v for k, v in header.metadata.items() if isinstance(v, (str, int, float))},
        capabilities=_capabilities(header) if llm is None else llm.capabilities,
    )


@functools.lru_cache(maxsize=64)
def _read(path: Path, _modified: int) -> tuple[GGUFFile, str]:
    return read_gguf(path), fingerprint(path)


def _n_ctx_train(header: GGUFFile) -> int:
    return header.integer(f"{header.architecture}.context_length") or 0


def _capabilities(header: GGUFFile) -> frozenset[str]:
    pooling = header.integer(f"{header.architecture}.pooling_type") or 0
    if pooling:
        return frozenset({"embedding"} if POOLINGS[pooling] != "rank" else ())
    template = header.text(TEMPLATE)
    if template is None:
        return frozenset({"completion"})
    return ChatFormat({"default": template}, now=lambda: 0.0).capabilities | {"completion"}
