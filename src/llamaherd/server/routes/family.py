"""Paths that belong together, and how errors look there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter

from llamaherd.server.errors import Renderer


@dataclass(frozen=True)
class Family:
    """A protocol's paths.

    Attributes:
        router: with its routes.
        prefixes: of the paths whose errors it writes; the longest match wins, "" is for the rest.
        error: writes an error down as its clients expect it.
    """

    router: APIRouter
    prefixes: Sequence[str]
    error: Renderer


def renderer_for(path: str, families: Sequence[Family]) -> Renderer:
    """Who writes down an error at a path."""
    found = [
        (len(prefix), family.error)
        for family in families
        for prefix in family.prefixes
        if path.startswith(prefix)
    ]
    return max(found, key=lambda pair: pair[0])[1]
