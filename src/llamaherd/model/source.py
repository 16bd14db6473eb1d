"""Where a model's file is, from what a user wrote."""

from __future__ import annotations

import os
from pathlib import Path

from llamaherd.errors import OptionError

DEMO = "demo"
"""The name of the bundled model."""


def model_file(model: str | os.PathLike[str]) -> Path:
    """The path that ``model`` means: the bundled model for ``"demo"``, else a path.

    A file called ``demo`` in the working folder is reached as ``./demo``.
    """
    if not isinstance(model, (str, os.PathLike)):
        raise OptionError("model", model, 'a path to a GGUF file, or "demo"')
    if model == DEMO:
        return Path(__file__).parents[1] / "demo" / "llamaherd-demo.gguf"
    return Path(model).expanduser()
