"""What a run takes from outside itself: dates, ids and randomness, each replaceable."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass


def _new_id() -> str:
    return os.urandom(12).hex()


def _new_seed() -> int:
    return int.from_bytes(os.urandom(8), "big") % (2**32 - 1)


@dataclass(frozen=True)
class Ambient:
    """Sources of everything that would make two equal runs differ.

    Attributes:
        now: wall clock in seconds since the epoch (``created``, dates in templates).
        new_id: a fresh identifier for a response, without prefix.
        new_seed: a sampler seed in [0, 2**32 - 2] for requests that name none.
    """

    now: Callable[[], float] = time.time
    new_id: Callable[[], str] = _new_id
    new_seed: Callable[[], int] = _new_seed
