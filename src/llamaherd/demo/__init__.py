"""The bundled toy model: a tiny chat model of our own, and how it was made (see README.md)."""

from __future__ import annotations

from pathlib import Path

from llamaherd.model.source import DEMO, model_file

__all__ = ["model_path"]


def model_path() -> Path:
    """The GGUF file of the demo model that this package carries."""
    return model_file(DEMO)
