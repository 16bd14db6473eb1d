"""Where a model's file is, from what a user wrote."""

from __future__ import annotations

import os
from pathlib import Path

from llamaherd.errors import OptionError
from llamaherd.hub import PREFIX, hub_file

DEMO = "demo"
"""The name of the bundled model."""


def model_file(model: str | os.PathLike[str], *, fetch: bool = True) -> Path:
    """The path that ``model`` means: the bundled one for ``"demo"``, one of the Hub, else a path.

    A file called ``demo`` in the working folder is reached as ``./demo``.

    Args:
        fetch: whether a model of the Hub may be fetched (``hub.py``) where it is not in its cache.

    Raises:
        ModelLoadError: the Hub does not give the model, or it was not to be fetched.
    """
    if not isinstance(model, (str, os.PathLike)):
        raise OptionError("model", model, 'a path to a GGUF file, hf:OWNER/REPO, or "demo"')
    if model == DEMO:
        return Path(__file__).parents[1] / "demo" / "llamaherd-demo.gguf"
    if isinstance(model, str) and model.startswith(PREFIX):
        return hub_file(model, fetch=fetch)
    return Path(model).expanduser()
