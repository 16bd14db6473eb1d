"""From libclang's types to model.CType, and the Python names of structs, enums and handles."""

from __future__ import annotations

from collections.abc import Callable

from clang.cindex import Cursor, CursorKind, Type, TypeKind

from .model import (
    Array,
    CallbackType,
    CType,
    Handle,
    Pointer,
    Record,
    Scalar,
    Text,
    Void,
    VoidPointer,
)

# Typedefs of the C library, by name: what they are made of differs between platforms.
STANDARD = {
    **{
        f"{sign}int{bits}_t": f"c_{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
    },
    "size_t": "c_size_t",
    "ssize_t": "c_ssize_t",
}
BUILTIN = {
    TypeKind.BOOL: ("c_bool", "bool"),
    TypeKind.CHAR_S: ("c_char", "bytes"),
    TypeKind.CHAR_U: ("c_char", "bytes"),
    TypeKind.SCHAR: ("c_byte", "int"),
    TypeKind.UCHAR: ("c_ubyte", "int"),
    TypeKind.SHORT: ("c_short", "int"),
    TypeKind.USHORT: ("c_ushort", "int"),
    TypeKind.INT: ("c_int", "int"),
    TypeKind.UINT: ("c_uint", "int"),
    TypeKind.LONG: ("c_long", "int"),
    TypeKind.ULONG: ("c_ulong", "int"),
    TypeKind.LONGLONG: ("c_longlong", "int"),
    TypeKind.ULONGLONG: ("c_ulonglong", "int"),
    TypeKind.FLOAT: ("c_float", "float"),
    TypeKind.DOUBLE: ("c_double", "float"),
}
RECORDS = (CursorKind.STRUCT_DECL, CursorKind.UNION_DECL)
CHARS = (TypeKind.CHAR_S, TypeKind.CHAR_U)
ARRAYS = (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY)


class Converter:
    """Knows what the headers declare: `cursors`, and by `is_ours` what stands inside those."""

    def __init__(self, cursors: list[Cursor], is_ours: Callable[[Cursor], object]) -> None:
        self.is_ours = is_ours
        self.functions = {
            each.spelling for each in cursors if each.kind == CursorKind.FUNCTION_DECL
        }
        self.typedefs = {each.spelling for each in cursors if each.kind == CursorKind.TYPEDEF_DECL}
        self.handles = dict(_pointer_typedefs(cursors))

    def tag_name(self, cursor: Cursor) -> str:
        """Its name, or `enum_x` where a function `x` exists: only C keeps the two apart."""
        if cursor.spelling not in self.functions:
            return str(cursor.spelling)
        return str(cursor.type.spelling.replace(" ", "_"))

    def handle_name(self, struct: str) -> str:
        """The class of `struct *`: the pointer's typedef where there is one, else `struct_p`."""
        return self.handles.get(struct, f"{struct}_p")

    def convert(self, kind: Type, *, unnamed: str = "") -> CType:
        """`unnamed` is what a struct or function type without a name of its own is called."""
        if kind.kind == TypeKind.ELABORATED:
            return self.convert(kind.get_named_type(), unnamed=unnamed)
        if kind.kind == TypeKind.TYPEDEF:
            return self._typedef(kind, unnamed)
        if kind.kind == TypeKind.POINTER:
            return self._pointer(kind.get_pointee(), unnamed)
        if kind.kind == TypeKind.ENUM:
            return self.convert(kind.get_declaration().enum_type)
        if kind.kind == TypeKind.RECORD:
            declaration = kind.get_declaration()
            return Record(unnamed if declaration.is_anonymous() else self.tag_name(declaration))
        if kind.kind == TypeKind.CONSTANTARRAY:
            return Array(self.convert(kind.element_type, unnamed=unnamed), kind.element_count)
        if kind.kind == TypeKind.VOID:
            return Void()
        return Scalar(*BUILTIN[kind.kind])

    def parameter(self, kind: Type) -> CType:
        """As convert(); an array parameter is a pointer."""
        if kind.kind in ARRAYS:
            return self._pointer(kind.element_type, "")
        return self.convert(kind)

    def _typedef(self, kind: Type, unnamed: str) -> CType:
        declaration = kind.get_declaration()
        name, target = declaration.spelling, declaration.underlying_typedef_type
        if name in STANDARD:
            return Scalar(STANDARD[name], "int")
        if name not in self.typedefs:
            return self.convert(target, unnamed=unnamed)
        converted = self.convert(target, unnamed=name)
        if isinstance(converted, Scalar):
            return Scalar(name, converted.python)
        if isinstance(converted, VoidPointer):
            return VoidPointer(name)
        if isinstance(converted, Array):
            return Array(converted.element, converted.length, name)
        return converted

    def _pointer(self, pointee: Type, unnamed: str) -> CType:
        canonical = pointee.get_canonical()
        if canonical.kind == TypeKind.VOID:
            return VoidPointer()
        if canonical.kind == TypeKind.FUNCTIONPROTO:
            return CallbackType(unnamed)
        if canonical.kind in CHARS and pointee.is_const_qualified():
            return Text()
        if canonical.kind == TypeKind.RECORD:
            return self._record_pointer(canonical.get_declaration(), pointee)
        return Pointer(self.convert(pointee))

    def _record_pointer(self, declaration: Cursor, pointee: Type) -> CType:
        if not self.is_ours(declaration):
            return VoidPointer()
        if declaration.get_definition() is None:
            return Handle(self.handle_name(declaration.spelling))
        return Pointer(self.convert(pointee))


def prototype(kind: Type) -> Type | None:
    """The function type behind a function pointer."""
    canonical = kind.get_canonical()
    if (
        canonical.kind == TypeKind.POINTER
        and canonical.get_pointee().kind == TypeKind.FUNCTIONPROTO
    ):
        return canonical.get_pointee()
    return None


def prototype_as_written(kind: Type) -> Type:
    """The function type behind a function pointer, with the typedefs of its parameters."""
    while kind.kind in (TypeKind.ELABORATED, TypeKind.TYPEDEF):
        named = kind.kind == TypeKind.ELABORATED
        kind = kind.get_named_type() if named else kind.get_declaration().underlying_typedef_type
    return kind.get_pointee()


def _pointer_typedefs(cursors: list[Cursor]) -> list[tuple[str, str]]:
    """(struct, typedef) for each `typedef struct x * x_t` whose struct stays opaque."""
    pairs = []
    for each in cursors:
        if each.kind != CursorKind.TYPEDEF_DECL:
            continue
        kind = each.underlying_typedef_type
        record = kind.get_pointee().get_declaration()
        if (
            kind.kind == TypeKind.POINTER
            and record.kind in RECORDS
            and record.get_definition() is None
        ):
            pairs.append((record.spelling, each.spelling))
    return pairs
