"""Options declared as fields of frozen dataclasses: their documentation, range and checks."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from llamaherd.errors import OptionError, UnknownOptionError


def option(
    default: Any,
    doc: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    gt: float | None = None,
    choices: Sequence[object] | None = None,
    aliases: Sequence[str] = (),
) -> Any:
    """A dataclass field with its documentation, range and other accepted names."""
    meta = {"doc": doc, "ge": ge, "le": le, "gt": gt, "choices": choices, "aliases": aliases}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=meta)
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class Params:
    """Base of the three option sets: checks on construction, lookup by name or alias."""

    _hints: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls._hints = typing.get_type_hints(cls)

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            object.__setattr__(self, spec.name, _checked(spec, self._hints[spec.name], value))

    @classmethod
    def names(cls) -> dict[str, str]:
        """Accepted name -> field name, aliases included."""
        return {
            name: spec.name
            for spec in fields(cls)
            for name in (spec.name, *spec.metadata.get("aliases", ()))
        }


def split_options(
    options: Mapping[str, Any], *kinds: type[Params], also: Sequence[str] = ()
) -> tuple[dict[str, Any], ...]:
    """Sort ``options`` by the class that declares them, one dictionary a class.

    Raises:
        UnknownOptionError: a name that none of ``kinds`` has; ``also`` are names the caller takes
            itself, used for the suggestion only.
        OptionError: an option given twice, once by its alias.
    """
    found: tuple[dict[str, Any], ...] = tuple({} for _ in kinds)
    for name, value in options.items():
        for kind, chosen in zip(kinds, found, strict=True):
            target = kind.names().get(name)
            if target is None:
                continue
            if target in chosen:
                raise OptionError(name, value, f"no second value: it is the same as {target!r}")
            chosen[target] = value
            break
        else:
            raise UnknownOptionError(name, [*also, *(n for kind in kinds for n in kind.names())])
    return found


def _checked(spec: Field[Any], hint: Any, value: Any) -> Any:
    kinds = _kinds(hint)
    if value is None and type(None) in kinds:
        return None
    value = _check_elements(spec.name, hint, _converted(spec.name, kinds, value))
    if not _in_range(spec, value):
        raise OptionError(spec.name, value, _expected(spec, kinds))
    return value


def _kinds(hint: Any) -> tuple[type, ...]:
    """The classes that a (possibly union) annotation admits."""
    parts = typing.get_args(hint) if typing.get_origin(hint) not in (list, dict, tuple) else (hint,)
    return tuple(typing.get_origin(p) or p for p in (parts or (hint,)))


def _converted(name: str, kinds: tuple[type, ...], value: Any) -> Any:
    if isinstance(value, bool) and bool not in kinds:
        raise OptionError(name, value, f"{_words(kinds)}, not a boolean")
    if float in kinds and int not in kinds and isinstance(value, int):
        value = _as_float(name, value)
    if isinstance(value, tuple) and list in kinds:
        value = list(value)
    if not isinstance(value, kinds):
        raise OptionError(name, value, _words(kinds))
    if isinstance(value, float) and not math.isfinite(value):
        raise OptionError(name, value, "a finite number")
    if isinstance(value, str):
        _check_unicode(name, value)
    return value


def _as_float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise OptionError(name, "an integer", "a number that a float can hold") from None


def _check_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OptionError(name, text, "text without lone surrogates") from None


def _check_elements(name: str, hint: Any, value: Any) -> Any:
    """The elements of a list, or keys and values of a dictionary, as annotated."""
    if isinstance(value, dict):
        key_kind, value_kind = _element_kinds(hint, dict, 2)
        return {
            _element(name, key_kind, k): _element(name, value_kind, v) for k, v in value.items()
        }
    if isinstance(value, list):
        (kind,) = _element_kinds(hint, list, 1)
        return [_element(name, kind, v) for v in value]
    return value


def _element_kinds(hint: Any, container: type, n: int) -> tuple[Any, ...]:
    parts = [hint, *typing.get_args(hint)]
    found = next((p for p in parts if typing.get_origin(p) is container), None)
    return typing.get_args(found) if found is not None else (Any,) * n


def _element(name: str, kind: Any, value: Any) -> Any:
    return value if kind is Any else _converted(name, (kind,), value)


def _words(kinds: tuple[type, ...]) -> str:
    names = {int: "an integer", float: "a number", bool: "True or False", str: "a string"}
    return " or ".join(names.get(k, f"a {k.__name__}") for k in kinds if k is not type(None))


def _in_range(spec: Field[Any], value: Any) -> bool:
    meta = spec.metadata
    if meta["choices"] is not None:
        values = value if isinstance(value, list) else [value]
        return all(v in meta["choices"] for v in values)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (
            (meta["ge"] is None or value >= meta["ge"])
            and (meta["le"] is None or value <= meta["le"])
            and (meta["gt"] is None or value > meta["gt"])
        )
    return True


def _expected(spec: Field[Any], kinds: tuple[type, ...]) -> str:
    return f"{_words(kinds)} {range_text(spec)}"


def range_text(spec: Field[Any]) -> str:
    """The admitted range in words, for messages and the options table."""
    meta = spec.metadata
    if meta["choices"] is not None:
        return "among " + ", ".join(map(repr, meta["choices"]))
    low = f"> {meta['gt']}" if meta["gt"] is not None else ""
    low = f">= {meta['ge']}" if meta["ge"] is not None else low
    high = f"<= {meta['le']}" if meta["le"] is not None else ""
    return " and ".join(part for part in (low, high) if part)
