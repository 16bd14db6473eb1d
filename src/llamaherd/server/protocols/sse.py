"""Server-sent events. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

dump: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False
).encode
"""JSON without spaces."""


def event(data: Any) -> bytes:
    """An event without a name."""
    return f"data: {dump(data)}\n\n".encode("utf-8", "replace")


def named_event(name: str, data: Any) -> bytes:
    """An event with a name."""
    return f"event: {name}\ndata: {dump(data)}\n\n".encode("utf-8", "replace")
