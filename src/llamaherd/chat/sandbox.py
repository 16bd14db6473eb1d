"""A Jinja2 environment in which a hostile template can neither reach out, hang, nor grow.

Jinja2's own sandbox keeps a template away from Python. This one adds bounds that hold on any
thread, without signals: everything a template does pays in steps for the time and memory it may
take (`limits.py`), by filters that are put into its syntax tree before it is compiled
(`metered.py`), and whatever could be huge before it could be measured is refused first
(`risks.py`).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import BuiltinMethodType
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace, missing

from llamaherd.chat.limits import (
    CHARS_A_STEP,
    HOLDERS,
    SMALL,
    Budget,
    LimitError,
    chars_cost,
    cost,
    listed,
    materialised,
    size,
    weight,
)
from llamaherd.chat.metered import Metered
from llamaherd.chat.pure_macros import Memo, pure_macros
from llamaherd.chat.risks import FILTER_CHECKS, check_binop, check_format, check_str_method

_NONE: Mapping[str, Any] = {}


class BoundedEnvironment(SandboxedEnvironment):
    """The sandbox of one chat template. Any thread; compile and render inside :meth:`bounded`."""

    intercepted_binops = frozenset({"*", "**", "%", "-"})  # and "+", as the filter _added

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        self._local = threading.local()
        self.pure: dict[str, frozenset[str]] = {}
        self._memo = Memo()
        for name in _USELESS_FILTERS:
            del self.filters[name]
        del self.globals["lipsum"]
        for name, function in list(self.filters.items()):
            self.add_filter(name, function)
        tests: dict[str, Any] = self.tests
        for name in tests.keys() - _INSTANT_TESTS:
            tests[name] = self._paying(tests[name], None)
        for name in _TESTS_OF_TYPE:
            tests[name] = _by_type(tests[name])
        self.filters.update(
            _paid=self._paid,
            _snapshot=self._snapshot,
            _shown=self._shown,
            _cut=self._made,
            _contains=self._contains,
            _searched=self._searched,
            _key=self._key,
            _concat=self._concat,
            _added=self._added,
        )
        self.concat = self._joined  # type: ignore[method-assign]

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """A filter that pays for what it gets and makes."""
        self.filters[name] = self._paying(
            function, FILTER_CHECKS.get(name), deep=name not in _SHALLOW_FILTERS
        )

    def _paying(
        self,
        function: Callable[..., Any],
        check: Callable[..., None] | None,
        *,
        deep: bool = True,
    ) -> Callable[..., Any]:
        """``function``, for whose arguments and result is paid, if ``check`` lets it run."""
        own = 2 if hasattr(function, "jinja_pass_arg") else 1  # a context, and what is filtered
        measure = weight if deep else size

        @functools.wraps(function)
        def paying(*args: Any, **kwargs: Any) -> Any:
            args = materialised(args)
            self.spend(1 + cost(args, measure) + cost(kwargs.values()))
            if check is not None and (kwargs or len(args) > own):
                check(*args[own - 1 :], **kwargs)
            return self._made(function(*args, **kwargs))

        return paying

    @contextmanager
    def bounded(self, variables: Mapping[str, Any] = _NONE) -> Iterator[None]:
        """The time and the steps of what is done inside, on this thread.

        Args:
            variables: what a template is rendered with.
        """
        self._local.variables = variables
        if getattr(self._local, "budget", None) is not None:
            yield  # it is a part of something that has bounds
            return
        self._local.budget = Budget()
        try:
            yield
        finally:
            self._local.budget, self._local.variables = None, _NONE

    def spend(self, steps: int) -> None:
        """Count what the template does."""
        budget = self._local.budget
        budget.steps -= steps
        if budget.steps < budget.next_look:
            budget.look()

    def _made(self, value: Any) -> Any:
        """A new value, paid for if it is large."""
        if type(value) not in SMALL and (steps := size(value)):
            self.spend(steps)
        return value

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        self.pure = pure_macros(tree, self)
        return Metered().visit(tree)  # type: ignore[return-value]

    def getattr(self, obj: Any, attribute: str) -> Any:
        """As Jinja2 has it, with a short way for plain values, where ``_`` marks the internal."""
        kind = type(obj)
        if kind is dict and attribute not in _DICT_ATTRIBUTES:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if kind in _PLAIN_TYPES and not attribute.startswith("_") and attribute not in _FORMATS:
            try:
                return getattr(obj, attribute)
            except AttributeError:
                pass
        self.spend(_LONG_WAY)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """As Jinja2 has it; what is no item is looked for on a way that takes its time."""
        try:
            return obj[argument]
        except (AttributeError, TypeError, LookupError):
            self.spend(_LONG_WAY)
            return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As Jinja2 has it; of these types only names with an underscore are internal."""
        if type(obj) in _PLAIN_TYPES:
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if type(left) is int and type(right) is int and operator == "-":
            return left - right
        self.spend(1 + weight(left) + weight(right))
        check_binop(operator, left, right)
        return self._made(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        text, function = value.__self__, wrapped

        def checked(*args: Any, **kwargs: Any) -> str:
            check_format(text, "{", [*args, *kwargs.values()])
            return function(*args, **kwargs)

        return functools.update_wrapper(checked, wrapped)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        own = (kwargs.pop("_loop_vars", None), kwargs.pop("_block_vars", None))
        if type(__obj) is Macro:  # pays for itself
            return __self._call_macro(__obj, __context.eval_ctx, args, kwargs)
        args = materialised(args)
        owner = getattr(__obj, "__self__", None)
        if type(__obj) is BuiltinMethodType and type(owner) in _METHOD_OWNERS:
            return __self._call_method(__obj, owner, args, kwargs)
        if isinstance(owner, str):
            check_str_method(owner, __obj.__name__, args, kwargs)
        __self.spend(1 + cost(args) + cost(kwargs.values()))
        kwargs.update(_loop_vars=own[0], _block_vars=own[1])
        return __self._made(super().call(__context, __obj, *args, **kwargs))

    def _call_macro(
        self, macro: Macro, eval_ctx: EvalContext, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        if (names := self.pure.get(macro.name)) is None:
            return _called(macro, eval_ctx, args, kwargs)
        given = self._local.variables
        seen = {name: given[name] for name in names if name in given}
        self.spend(1 + cost(args) + cost(kwargs.values()) + cost(seen.values()))
        if (key := self._memo.key(macro.name, (args, kwargs, seen))) is None:
            return _called(macro, eval_ctx, args, kwargs)
        if (text := self._memo.get(key)) is None:
            text = _called(macro, eval_ctx, args, kwargs)
            self._memo.put(key, text)
        return self._made(text)

    def _call_method(self, method: Any, owner: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """A method of a text, list or dictionary: nothing that a sandbox need ask about."""
        name = method.__name__
        steps = 1
        if type(owner) is str:
            steps += len(owner) // CHARS_A_STEP
            check_str_method(owner, name, args, kwargs)
        elif type(owner) is list:
            steps += weight(owner) if name in _COMPARING_METHODS else size(owner)
        measure = size if name in _STORING_METHODS else weight
        if args:
            steps += cost(args, measure)
        if kwargs:
            steps += cost(kwargs.values(), measure)
        self.spend(steps)
        return self._made(method(*args, **kwargs))

    # What `metered.py` puts into the tree

    @pass_context  # so that Jinja2 does not take it for a constant
    def _paid(self, _: Context, value: Any, steps: int) -> Any:
        """A body that is about to run."""
        if type(steps) is not int or steps < 0:
            raise LimitError("it changes its own bounds")
        self.spend(steps)
        return value

    def _snapshot(self, items: Iterable[Any]) -> Iterable[Any]:
        """What a loop goes over, apart, so that the loop ends although its list may grow."""
        if isinstance(items, (str, range)):
            return items
        self._made(items)
        return list(items) if isinstance(items, HOLDERS) else listed(items)

    def _shown(self, value: Any) -> Any:
        """What is about to be written."""
        if type(value) not in _ATOMS:
            self.spend(weight(value))
        return value

    def _contains(self, container: Any, item: Any) -> bool:
        """``item in container``; nothing takes long to compare with a text."""
        container, item = materialised((container, item))
        if type(item) is str:
            self.spend(1 + size(container))
        else:
            self.spend(1 + weight(container) + weight(item))
        return item in container

    def _searched(self, value: Any) -> Any:
        """What is about to be compared with something."""
        value = materialised((value,))[0]
        if steps := weight(value):
            self.spend(1 + steps)
        return value

    def _key(self, value: Any) -> Any:
        """What is about to be hashed."""
        if isinstance(value, tuple):
            self.spend(1 + weight(value))
        return value

    def _concat(self, parts: list[Any]) -> str:
        for place, part in enumerate(parts):
            if type(part) is not str:
                parts[place] = str(self._shown(part))
        return self._joined(parts)

    def _added(self, terms: list[Any]) -> Any:
        """The sum of ``terms``, from left to right."""
        for term in terms:
            if type(term) is not str:
                return functools.reduce(self._sum, terms)
        return self._joined(terms)

    def _sum(self, left: Any, right: Any) -> Any:
        return self._made(left + right)

    def _joined(self, parts: Iterable[str]) -> str:
        """One text. Of a list it knows the length before."""
        if type(parts) is not list:
            parts = self._gathered(parts)
        if (length := sum(map(len, parts))) >= CHARS_A_STEP:
            self.spend(chars_cost(length))
        return "".join(parts)

    @staticmethod
    def _gathered(parts: Iterable[str]) -> list[str]:
        found, length = [], 0
        for part in parts:
            found.append(part)
            length += len(part)
            chars_cost(length)
        return found


_LONG_WAY = 4  # steps, for exceptions and the sandbox's questions
_DICT_ATTRIBUTES = frozenset(dir(dict))
_PLAIN_TYPES = frozenset({str, list, dict, Namespace, LoopContext})
_FORMATS = frozenset({"format", "format_map"})
_METHOD_OWNERS = frozenset({str, list, dict})
_COMPARING_METHODS = frozenset({"index", "count", "remove", "sort"})
_STORING_METHODS = frozenset({"append", "extend", "insert", "update"})
_USELESS_FILTERS = ("pprint", "urlize", "wordwrap", "xmlattr", "random")
_SHALLOW_FILTERS = frozenset({"count", "d", "default", "first", "items", "last", "length", "list"})
_INSTANT_TESTS = frozenset(
    {
        *("boolean", "false", "true", "float", "integer", "number", "string", "none"),
        *("callable", "iterable", "mapping", "sequence", "sameas", "escaped"),
        *("defined", "undefined", "filter", "test"),
    }
)
_ATOMS = SMALL | {str}


_TESTS_OF_TYPE = ("iterable", "mapping", "number", "sequence")


def _by_type(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A test that an abstract base class decides, without it for values of JSON."""
    samples: tuple[Any, ...] = ("", 0, 0.0, True, None, [], {})
    answers = {type(value): test(value) for value in samples}

    def quick(value: Any) -> bool:
        answer = answers.get(type(value))
        return test(value) if answer is None else answer

    return quick


def _called(macro: Macro, eval_ctx: EvalContext, args: Any, kwargs: dict[str, Any]) -> Any:
    """What the macro writes; the short way where it gets its arguments by place."""
    lacking = macro._argument_count - len(args)
    special = macro.caller or macro.catch_kwargs or macro.catch_varargs or eval_ctx.autoescape
    if kwargs or special or lacking < 0:
        return macro(eval_ctx, *args, **kwargs)
    return macro._func(*args, *[missing] * lacking)


class _Generation(Extension):
    """``{% generation %}``: marks the assistant's text for training, and is nothing here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
