"""Puts the meter into a template's syntax tree, before it is compiled.

Each turn of a loop and each call of a macro pays for the nodes of its body; beside that, only what
may take long for its values pays for them: writing, comparing, cutting, using as a key. A constant
cannot take long, so nothing is put around what the tree shows to be one.
"""

from __future__ import annotations

from typing import TypeVar, cast

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from llamaherd.chat.limits import MAX_NODES, LimitError

_NODES_A_STEP = 8
_TEXT_FILTERS = frozenset({"join", "lower", "string", "tojson", "trim", "upper"})
_Body = TypeVar("_Body", nodes.Macro, nodes.CallBlock, nodes.Block, nodes.For)


class Metered(NodeTransformer):
    """Of one tree. The filters whose names begin with ``_`` are `sandbox.py`'s."""

    def __init__(self) -> None:
        self._seen = 0

    def visit(self, node: nodes.Node, *args: object, **kwargs: object) -> nodes.Node:
        self._seen += 1
        if self._seen > MAX_NODES:
            raise LimitError(f"it has more than {MAX_NODES} parts")
        return super().visit(node, *args, **kwargs)  # type: ignore[no-any-return]

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        steps = self._pays(node)
        node.iter = _filtered(node.iter, "_snapshot")
        if node.test is not None:
            node.test = _filtered(node.test, "_paid", nodes.Const(steps))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        self._pays(node)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        self._pays(node)
        return node

    def visit_Block(self, node: nodes.Block) -> nodes.Node:  # noqa: N802
        self._pays(node)
        return node

    def _pays(self, node: _Body) -> int:
        """Let the body of ``node`` begin by paying for its nodes."""
        before = self._seen
        self.generic_visit(node)
        steps = 1 + (self._seen - before) // _NODES_A_STEP
        paid = _filtered(nodes.Const(None), "_paid", nodes.Const(steps))
        node.body.insert(0, nodes.ExprStmt(paid, lineno=node.lineno))
        return steps

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        for place, child in enumerate(node.nodes):
            is_text = _is_text(child)
            visited: nodes.Expr = self.visit(child)  # type: ignore[assignment]
            node.nodes[place] = visited if is_text else _filtered(visited, "_shown")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_Add(self, node: nodes.Add) -> nodes.Node:  # noqa: N802
        terms: list[nodes.Expr] = []
        first: nodes.Expr = node
        while isinstance(first, nodes.Add):
            terms.append(first.right)
            first = first.left
        visited = [self.visit(term) for term in (first, *reversed(terms))]
        return _filtered(nodes.List(visited, lineno=node.lineno), "_added")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        first = node.ops[0]
        if len(node.ops) == 1 and first.op in ("in", "notin") and not _is_constant(first.expr):
            found = _filtered(first.expr, "_contains", node.expr)
            return found if first.op == "in" else nodes.Not(found, lineno=node.lineno)
        if len(node.ops) > 1 or not isinstance(node.expr, nodes.Const):
            for operand in node.ops:
                if not _is_constant(operand.expr):
                    operand.expr = _filtered(operand.expr, "_searched")
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _filtered(node, "_cut")
        if not isinstance(node.arg, (nodes.Const, nodes.Sub, nodes.Neg)):
            node.arg = _filtered(node.arg, "_key")
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _filtered(node.key, "_key")
        return node


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(
        cast("nodes.Expr", node), name, list(args), [], None, None, lineno=node.lineno
    )


def _is_constant(node: nodes.Expr) -> bool:
    if isinstance(node, (nodes.List, nodes.Tuple)):
        return all(isinstance(item, nodes.Const) for item in node.items)
    return isinstance(node, nodes.Const)


def _is_text(node: nodes.Node) -> bool:
    """Whether it can be nothing but a text, or an error."""
    if isinstance(node, nodes.Add):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, nodes.Const):
        return isinstance(node.value, str)
    if isinstance(node, nodes.Filter):
        return node.name in _TEXT_FILTERS
    return isinstance(node, (nodes.TemplateData, nodes.Concat))
