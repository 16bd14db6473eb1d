"""Model files in another type of weights."""

from __future__ import annotations

import os
from pathlib import Path

from llamaherd.native import bindings as c


def quantise_file(source: Path, target: Path, name: str) -> Path:
    """``name`` as in ``LLAMA_FTYPE_...``; returns the target."""
    params = c.llama_model_quantize_default_params()
    params.ftype = getattr(c, f"LLAMA_FTYPE_{name}")
    params.allow_requantize = True
    assert c.llama_model_quantize(os.fsencode(source), os.fsencode(target), params) == 0
    return target
