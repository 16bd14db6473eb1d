"""A Jinja2 environment in which a hostile template can neither reach out, hang, nor grow.

Jinja2's own sandbox keeps a template away from Python. This one adds bounds that hold on any
thread, without signals: loops, calls and filters are counted, texts and containers are measured
where they are made, and whatever could be huge before it could be measured (``'x' * 10**10``,
format widths) is refused first. The template's syntax tree is changed before it is compiled, so
that no loop, literal or ``~`` escapes the count.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import GeneratorType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_SECONDS = 3.0
MAX_STEPS = 1_000_000  # loop turns, calls and filters
MAX_CHARS = 16_000_000  # of any text
MAX_ITEMS = 500_000  # of any container, and of all it holds
MAX_NUMBER = 10_000  # as an argument of a filter or method: a width, a count
MAX_BITS = 4096  # of an integer
_STEPS_BETWEEN_LOOKS = 32  # none takes longer than some tens of milliseconds
MAX_SOURCE_CHARS = 2_000_000


class LimitError(jinja2.TemplateRuntimeError):
    """A template did more than a template needs to."""


class _Budget:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self.steps, self.ends_at = MAX_STEPS, time.monotonic() + MAX_SECONDS
        self.next_look = self.steps

    def look(self) -> None:
        """Whether there is any left; the clock is looked at every few steps."""
        self.next_look = self.steps - _STEPS_BETWEEN_LOOKS
        if self.steps < 0:
            raise LimitError(f"it takes more than {MAX_STEPS} steps")
        if time.monotonic() > self.ends_at:
            raise LimitError(f"it takes more than {MAX_SECONDS:g} s")


class BoundedEnvironment(SandboxedEnvironment):
    """The sandbox of chat templates. Any thread; compile and render inside :meth:`bounded`."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        self._local = threading.local()
        for name in _USELESS_FILTERS:
            del self.filters[name]
        del self.globals["lipsum"]
        for name, function in list(self.filters.items()):
            self.add_filter(name, function)
        self.filters.update(_counted=self._counted, _sized=self._sized, _concat=self._concat)
        self.concat = self._joined  # type: ignore[method-assign]

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """A filter whose use counts and whose result is measured."""

        risky = name in _RISKY_FILTERS

        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.spend(1)
            args = _materialised(args)
            if risky:
                _check_filter(name, args, kwargs)
            return _measured(function(*args, **kwargs))

        self.filters[name] = counted

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """The time and the steps of one compilation or rendering, on this thread."""
        before = getattr(self._local, "budget", None)
        self._local.budget = _Budget()
        try:
            yield
        finally:
            self._local.budget = before

    def spend(self, steps: int) -> None:
        """Count what the template does."""
        budget = self._local.budget
        budget.steps -= steps
        if budget.steps < budget.next_look:
            budget.look()

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        return _Bound().visit(tree)  # type: ignore[no-any-return]

    def getattr(self, obj: Any, attribute: str) -> Any:
        """As Jinja2 has it, without an exception for every field of a message."""
        if type(obj) is dict and attribute not in _DICT_ATTRIBUTES:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As Jinja2 has it; of these types only names with an underscore are internal."""
        if type(obj) in _PLAIN_TYPES:
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.spend(1)
        if operator == "+" and isinstance(left, (str, int)) and isinstance(right, (str, int)):
            return _measured(left + right)  # type: ignore[operator]
        _check_binop(operator, left, right)
        return _weighed(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        if type(__obj) is Macro:  # most calls are of these, and all they do is bounded inside
            __self.spend(1)
            return __context.call(__obj, *args, **kwargs)
        args = _materialised(args)
        __self.spend(1 + sum(len(a) for a in args if isinstance(a, (list, tuple))))
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, (str, list, dict)):
            _check_method(owner, __obj.__name__, args, kwargs)
        result = _measured(super().call(__context, __obj, *args, **kwargs))
        if isinstance(owner, (list, dict)):
            _weighed(owner)
        return result

    def _counted(self, items: Iterable[Any]) -> Iterable[Any]:
        """What a loop goes over: a snapshot, so that it ends although its list may grow."""
        snapshot = items if isinstance(items, (str, range)) else _listed(items)
        self.spend(len(snapshot))
        return snapshot

    @staticmethod
    def _sized(value: Any) -> Any:
        return _weighed(value)

    def _concat(self, parts: Iterable[Any]) -> str:
        return self._joined(map(str, parts))

    def _joined(self, parts: Iterable[str]) -> str:
        found, length = [], 0
        for part in parts:
            found.append(part)
            length += len(part)
            if length > MAX_CHARS:
                raise LimitError(f"its text is longer than {MAX_CHARS} characters")
        return "".join(found)


_DICT_ATTRIBUTES = frozenset(dir(dict))
_PLAIN_TYPES = frozenset({str, list, dict, Namespace, LoopContext})
_USELESS_FILTERS = ("pprint", "urlize", "wordwrap", "xmlattr", "random")


class _Bound(NodeTransformer):
    """Puts the checks into a template's syntax tree."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted")  # type: ignore[arg-type]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        return self._literal(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        return self._literal(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        return self._literal(node) if node.ctx == "load" else node

    def _literal(self, node: nodes.Expr) -> nodes.Expr:
        self.generic_visit(node)
        constant = all(isinstance(n, (nodes.Const, nodes.Pair)) for n in node.iter_child_nodes())
        return node if constant and not isinstance(node, nodes.Dict) else _filtered(node, "_sized")


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Generation(Extension):
    """``{% generation %}``: marks the assistant's text for training, and is nothing here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _listed(items: Iterable[Any]) -> list[Any]:
    found = []
    for item in items:
        found.append(item)
        if len(found) > MAX_ITEMS:
            raise LimitError(f"a loop goes over more than {MAX_ITEMS} items")
    return found


def _materialised(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same values, generators as lists: what is not made yet cannot be measured."""
    for value in values:
        if type(value) is GeneratorType:
            return tuple(_listed(v) if isinstance(v, GeneratorType) else v for v in values)
    return values


def _measured(value: Any) -> Any:
    """``value``, if what is known without looking inside is not too large."""
    if isinstance(value, str):
        if len(value) > MAX_CHARS:
            raise LimitError(f"a text is longer than {MAX_CHARS} characters")
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise LimitError(f"a number has more than {MAX_BITS} bits")
    elif isinstance(value, (list, tuple, dict)) and len(value) > MAX_ITEMS:
        raise LimitError(f"a list has more than {MAX_ITEMS} items")
    return value


def _weighed(value: Any) -> Any:
    """``value``, if it is not too large with all it holds, what it holds twice counted twice."""
    if not isinstance(value, (list, tuple, dict)):
        return _measured(value)
    items, chars, todo = 0, 0, [value]
    while todo:
        container = todo.pop()
        items += len(container)
        if items > MAX_ITEMS or chars > MAX_CHARS:
            raise LimitError(f"a list holds more than {MAX_ITEMS} items or too much text")
        for item in container.values() if isinstance(container, dict) else container:
            if isinstance(item, str):
                chars += len(item)
            elif isinstance(item, (list, tuple, dict)):
                todo.append(item)
    return value


def _check_binop(operator: str, left: Any, right: Any) -> None:
    if operator == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, (str, bytes, list, tuple)) and isinstance(other, int):
                _check_size(len(one) * other)
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            _check_size(left.bit_length() * abs(right), MAX_BITS)
    elif operator == "%" and isinstance(left, str):
        _check_format(left)


def _check_size(size: int, limit: int = MAX_CHARS) -> None:
    if size > limit:
        raise LimitError("it makes something huge")


_WIDE = re.compile(r"\d{5}")
_NESTED_SPEC = re.compile(r"[:!][^{}]*\{|%[^a-zA-Z%]*\*")


def _check_format(text: str) -> None:
    """Widths and precisions in a format string, of either kind."""
    if _WIDE.search(text) or _NESTED_SPEC.search(text):
        raise LimitError("a format has a huge or computed width")


def _check_numbers(values: Iterable[Any]) -> None:
    if any(isinstance(v, int) and abs(v) > MAX_NUMBER for v in values):
        raise LimitError(f"a width or count is larger than {MAX_NUMBER}")


def _check_filter(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if name in _WIDTH_FILTERS and (len(args) > 1 or kwargs):
        _check_numbers([*args[1:], *kwargs.values()])
    if name in _WIDTH_FILTERS and name != "indent":
        return
    subject = next((a for a in args if not isinstance(a, (Context, jinja2.Environment))), None)
    if name == "format" and isinstance(subject, str):
        _check_format(subject)
    elif name == "replace":
        texts = [str(a) for a in args if isinstance(a, (str, int))]
        _check_replace(str(subject), texts[1:])
    elif name == "indent":
        _check_size(str(subject).count("\n") * MAX_NUMBER, MAX_CHARS * 10)
    elif name == "join":
        _check_join(subject, [*args, *kwargs.values()])


_WIDTH_FILTERS = frozenset(
    {"center", "indent", "batch", "slice", "tojson", "round", "truncate", "filesizeformat"}
)


_RISKY_FILTERS = _WIDTH_FILTERS | {"format", "replace", "join"}


def _check_replace(text: str, arguments: list[str]) -> None:
    if len(arguments) >= 2:
        old, new = arguments[:2]
        _check_size(len(text) + (text.count(old)) * len(new))


def _check_join(items: Any, arguments: Iterable[Any]) -> None:
    separator = max((len(a) for a in arguments if isinstance(a, str)), default=0)
    if isinstance(items, (list, tuple, dict, str)):
        _weighed(items)
        _check_size(len(items) * separator)


_HARMFUL_METHODS = frozenset({"expandtabs", "translate", "maketrans", "encode", "__format__"})


def _check_method(
    owner: str | list[Any] | dict[Any, Any],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    if not isinstance(owner, str):
        return
    if name in _HARMFUL_METHODS:
        raise LimitError(f"it calls {name} of a text")
    if name in ("ljust", "rjust", "center", "zfill"):
        _check_numbers([*args, *kwargs.values()])
    elif name in ("format", "format_map"):
        _check_format(owner)
    elif name == "replace":
        _check_replace(owner, [a for a in args if isinstance(a, str)])
    elif name == "join":
        _check_join(args[0] if args else [], [owner])
