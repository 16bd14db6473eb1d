"""Lets LangChain's ``load(..., allowed_objects="all")`` find the classes here.

LangChain loads only what its table lists, and has no other way for packages to join it. Who names
the classes instead (``allowed_objects=[ChatLlamaCpp]``) needs no table.
"""

from __future__ import annotations

from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS, _default_class_paths_cache
from langchain_core.load.serializable import Serializable

NAMESPACE = ("llamaherd", "langchain")


def register(*classes: type[Serializable]) -> None:
    """Put classes of this package on LangChain's table."""
    for each in classes:
        path = (*NAMESPACE, each.__name__)
        ALL_SERIALIZABLE_MAPPINGS[path] = path
    _default_class_paths_cache.pop("all", None)  # made from the table, maybe before
