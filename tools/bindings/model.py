"""What the headers say, in plain Python: no libclang object leaves the parser.

A C type becomes one of the CType classes; each knows the ctypes expression that stands for it.
How the same type reads in the stub is stub.py's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(frozen=True)
class CType:
    """One C type as ctypes sees it."""

    def expression(self) -> str:
        """The ctypes expression, valid in the generated module."""
        raise NotImplementedError

    def is_pointer(self) -> bool:
        return False


@dataclass(frozen=True)
class Void(CType):
    def expression(self) -> str:
        return "None"


@dataclass(frozen=True)
class Scalar(CType):
    """A number or bool: `name` may be a typedef, `python` is what ctypes makes of it."""

    name: str
    python: str

    def expression(self) -> str:
        return self.name


@dataclass(frozen=True)
class VoidPointer(CType):
    """`void *`, a typedef of it, or a pointer to a type of the system's headers (`FILE *`)."""

    name: str = "c_void_p"

    def expression(self) -> str:
        return self.name

    def is_pointer(self) -> bool:
        return True


@dataclass(frozen=True)
class Text(CType):
    """`const char *`."""

    def expression(self) -> str:
        return "c_char_p"

    def is_pointer(self) -> bool:
        return True


@dataclass(frozen=True)
class Handle(CType):
    """A pointer to an opaque struct: a class of its own."""

    name: str

    def expression(self) -> str:
        return self.name

    def is_pointer(self) -> bool:
        return True


@dataclass(frozen=True)
class Record(CType):
    """A struct or union whose fields the headers define."""

    name: str

    def expression(self) -> str:
        return self.name


@dataclass(frozen=True)
class Pointer(CType):
    target: CType

    def expression(self) -> str:
        return f"POINTER({self.target.expression()})"

    def is_pointer(self) -> bool:
        return True


@dataclass(frozen=True)
class Array(CType):
    """A fixed array; `name` when it has a typedef of its own."""

    element: CType
    length: int
    name: str = ""

    def expression(self) -> str:
        return self.name or f"{self.element.expression()} * {self.length}"


@dataclass(frozen=True)
class CallbackType(CType):
    """A function pointer, named by its typedef or by the struct field that holds it."""

    name: str

    def expression(self) -> str:
        return self.name

    def is_pointer(self) -> bool:
        return True


@dataclass(frozen=True)
class Parameter:
    name: str
    type: CType


@dataclass(frozen=True)
class Declaration:
    """A name that the headers declare; `header` is the file's base name."""

    name: str
    header: str


@dataclass(frozen=True)
class Enum(Declaration):
    """`name` is empty for an anonymous enum."""

    members: tuple[tuple[str, int], ...]

    def is_mask(self) -> bool:
        """Whether the values are bits to be or-ed: three at least, so that 0, 1, 2 is no mask."""
        bits = {value for _, value in self.members if value}
        single = all(value > 0 and value & (value - 1) == 0 for value in bits)
        return single and len(bits) >= 3


@dataclass(frozen=True)
class Opaque(Declaration):
    """The class of a Handle; `c_name` is the struct behind it."""

    c_name: str


@dataclass(frozen=True)
class Alias(Declaration):
    """A typedef of a scalar, `void *` or array."""

    target: CType


@dataclass(frozen=True)
class Callback(Declaration):
    result: CType
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Field:
    name: str
    type: CType


@dataclass(frozen=True)
class Struct(Declaration):
    """A struct or union; `anonymous` names the fields whose own fields show through.

    `c_name` is a C expression for the type (`struct llama_batch`), empty for an anonymous member.
    """

    c_name: str
    fields: tuple[Field, ...]
    anonymous: tuple[str, ...] = ()
    is_union: bool = False


@dataclass(frozen=True)
class Constant(Declaration):
    value: int | bytes | float


@dataclass(frozen=True)
class Function(Declaration):
    result: CType
    parameters: tuple[Parameter, ...]
    variadic: bool = False
    deprecated: str = ""


D = TypeVar("D", bound=Declaration)


@dataclass
class Api:
    """Everything the headers declare, in the order of the headers."""

    declarations: list[Declaration] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def of(self, header: str, kind: type[D]) -> list[D]:
        """The declarations of one kind in one header."""
        return [each for each in self.all(kind) if each.header == header]

    def all(self, kind: type[D]) -> list[D]:
        return [each for each in self.declarations if isinstance(each, kind)]
