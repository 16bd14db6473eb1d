"""Telling files apart by their content without reading all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLES, SAMPLE_BYTES = 64, 1 << 16


def fingerprint(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's size and of 64 blocks of 64 KiB spread over it.

    Smaller files are read whole. Enough to tell models and quantisations apart, which differ
    everywhere; not meant against forgery.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size}\n".encode())
    stride = max(SAMPLE_BYTES, (size - SAMPLE_BYTES) // (SAMPLES - 1))
    with path.open("rb") as file:
        for start in range(0, size, stride):
            file.seek(start)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
