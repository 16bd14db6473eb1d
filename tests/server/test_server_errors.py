"""Every exception has a status."""

from __future__ import annotations

import llamaherd.errors
from llamaherd.errors import LlamaHerdError
from llamaherd.server.errors import STATUS


def test_every_exception_has_a_status() -> None:
    kinds = {
        kind
        for kind in vars(llamaherd.errors).values()
        if isinstance(kind, type) and issubclass(kind, LlamaHerdError)
    }
    assert kinds == set(STATUS)
