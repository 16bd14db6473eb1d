"""Macros that depend on nothing but their arguments, and what they wrote for which.

A template writes the same tools and schemas in each call of a conversation, by macros that walk
through them. The key is the arguments' whole content, so a dictionary that has changed is another.
"""

from __future__ import annotations

import marshal
import threading
from typing import Any

from jinja2 import Environment, meta, nodes

_GLOBALS = frozenset({"namespace", "range", "dict", "raise_exception"})
_METHODS = frozenset(  # that change nothing
    {
        *("get", "items", "keys", "values", "count", "index"),
        *("split", "rsplit", "splitlines", "strip", "lstrip", "rstrip", "startswith", "endswith"),
        *("find", "replace", "join", "format", "lower", "upper", "title", "capitalize"),
    }
)
_STRANGE = (
    nodes.Block,
    nodes.CallBlock,
    nodes.EvalContextModifier,
    nodes.FromImport,
    nodes.Import,
    nodes.Include,
    nodes.Macro,
)
_OF_THE_CALL = frozenset({"caller", "kwargs", "varargs"})
_MAX_ENTRY_BYTES = 500_000
_MAX_BYTES = 4_000_000


def pure_macros(tree: nodes.Template, environment: Environment) -> dict[str, frozenset[str]]:
    """Those of a template, as far as it is plain to see.

    Returns:
        Their names, each with the variables of a rendering that may stand in for names which the
        macro sets itself only on some ways.
    """
    if tree.find(nodes.EvalContextModifier):
        return {}
    defined = [macro.name for macro in tree.find_all(nodes.Macro)]
    given = _GLOBALS - _stored(tree) - set(defined)
    macros = {
        node.name: node
        for node in tree.body
        if isinstance(node, nodes.Macro) and defined.count(node.name) == 1
    }
    others = [node for node in tree.body if node not in macros.values()]
    outside = {*defined, *environment.globals, *(n for node in others for n in _stored(node))}
    found = {
        name: _reads(macro, environment)
        for name, macro in macros.items()
        if name not in _stored(tree) and _is_plain(macro, given | macros.keys())
    }
    own = {name: frozenset(_stored(macros[name]) - outside) for name in found}
    while impure := {
        name for name, reads in found.items() if not reads <= given | found.keys() | own[name]
    }:
        for name in impure:
            del found[name]
    return {name: own[name] & reads for name, reads in found.items()}


def _stored(node: nodes.Node) -> set[str]:
    return {name.name for name in node.find_all(nodes.Name) if name.ctx != "load"}


def _reads(macro: nodes.Macro, environment: Environment) -> set[str]:
    """The names that it takes from outside, if only on some ways."""
    alone = nodes.Template([macro], lineno=macro.lineno)
    alone.set_environment(environment)
    return meta.find_undeclared_variables(alone)


def _is_plain(macro: nodes.Macro, callables: frozenset[str]) -> bool:
    """Whether nothing that it does can be seen from outside, but for the names that it reads."""
    called = [call.node for call in macro.find_all(nodes.Call)]
    names = [name for name in macro.find_all(nodes.Name) if name.name in callables]
    return (
        not any(macro.find_all(_STRANGE))
        and not any(loop.recursive for loop in macro.find_all(nodes.For))
        and not any(name.name in _OF_THE_CALL for name in macro.find_all(nodes.Name))
        and all(_is_known(node, callables) for node in called)
        and all(any(name is node for node in called) for name in names)
    )


def _is_known(called: nodes.Node, callables: frozenset[str]) -> bool:
    if isinstance(called, nodes.Getattr):
        return called.attr in _METHODS
    return isinstance(called, nodes.Name) and called.name in callables


class Memo:
    """What pure macros wrote, up to some megabytes. Any thread."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, bytes], str] = {}
        self._bytes, self._lock = 0, threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    @staticmethod
    def key(name: str, arguments: Any) -> tuple[str, bytes] | None:
        """What stands for a call; None if ``arguments`` are not all plain values."""
        try:
            return name, marshal.dumps(arguments, 2)  # the last version without references
        except ValueError:
            return None

    def get(self, key: tuple[str, bytes]) -> str | None:
        """What it wrote, if that is known."""
        return self._texts.get(key)

    def put(self, key: tuple[str, bytes], text: str) -> None:
        """Remember it; when there is no more room, forget all else."""
        size = len(key[1]) + 4 * len(text)
        if size > _MAX_ENTRY_BYTES:
            return
        with self._lock:
            if self._bytes + size > _MAX_BYTES:
                self._texts, self._bytes = {}, 0
            if key not in self._texts:
                self._texts[key] = text
                self._bytes += size
