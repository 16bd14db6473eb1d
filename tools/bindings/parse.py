"""The headers, read by libclang, as a model.Api."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from pathlib import Path

from clang.cindex import Cursor, CursorKind, Index, LinkageKind, TranslationUnit, Type

from . import evaluate, installed
from .ctype import RECORDS, Converter, prototype, prototype_as_written
from .model import (
    Alias,
    Api,
    Array,
    Callback,
    Constant,
    CType,
    Declaration,
    Enum,
    Field,
    Function,
    Handle,
    Opaque,
    Parameter,
    Pointer,
    Record,
    Scalar,
    Struct,
    VoidPointer,
)

OPTIONS = (
    TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD | TranslationUnit.PARSE_SKIP_FUNCTION_BODIES
)
INCLUDES = "".join(f'#include "{name}"\n' for name in installed.HEADERS)
ERROR = 3  # CXDiagnostic_Error
# `const char *` that points to bytes with zeros among them: c_char_p would cut them short.
BINARY = dict.fromkeys(
    ("mtmd_gen_inp.state_data", "mtmd_gen_out.state_data"), Pointer(Scalar("c_char", "bytes"))
)


def parse(include: Path) -> Api:
    """Everything that the headers in `include` declare, header by header."""
    unit = Index.create().parse("api.c", arguments(include), [("api.c", INCLUDES)], OPTIONS)
    errors = [str(each) for each in unit.diagnostics if each.severity >= ERROR]
    if errors:
        raise installed.NotFoundError("the headers do not parse:\n" + "\n".join(errors))
    return _Parser(unit, include).run()


def arguments(include: Path) -> list[str]:
    """libclang's command line: C11, these headers first, then the compiler's own folders."""
    system = [
        argument for folder in installed.system_includes() for argument in ("-isystem", folder)
    ]
    return ["-x", "c", "-std=gnu11", f"-I{include}", *system]


class _Parser:
    def __init__(self, unit: TranslationUnit, include: Path) -> None:
        self.include = include
        self.cursors = [each for each in unit.cursor.get_children() if self.header_of(each)]
        self.types = Converter(self.cursors, self.header_of)
        self.declarations: dict[str, Declaration] = {}
        self.skipped: dict[str, str] = {}

    def run(self) -> Api:
        for cursor in self.cursors:
            for declaration in self.declared(cursor):
                key = declaration.name or f"anonymous {len(self.declarations)}"
                self.declarations.setdefault(key, declaration)
        self.add_constants()
        order = {name: index for index, name in enumerate(installed.HEADERS)}
        in_order = sorted(self.declarations.values(), key=lambda each: order[each.header])
        return Api(in_order, self.skipped)

    def header_of(self, cursor: Cursor) -> str:
        """The base name of the header that declares it; empty for the system's headers."""
        file = cursor.location.file
        if file is None or Path(file.name).parent != self.include:
            return ""
        name = Path(file.name).name
        return name if name in installed.HEADERS else ""

    def declared(self, cursor: Cursor) -> Iterator[Declaration]:
        if cursor.kind == CursorKind.ENUM_DECL:
            yield self.enum(cursor)
        elif cursor.kind in RECORDS and not cursor.is_anonymous():
            yield from self.record(cursor)
        elif cursor.kind == CursorKind.TYPEDEF_DECL:
            yield from self.typedef(cursor)
        elif cursor.kind == CursorKind.FUNCTION_DECL:
            yield from self.function(cursor)

    def enum(self, cursor: Cursor) -> Enum:
        members = tuple((each.spelling, each.enum_value) for each in cursor.get_children())
        name = "" if cursor.is_anonymous() else self.types.tag_name(cursor)
        return Enum(name, self.header_of(cursor), members)

    def record(self, cursor: Cursor) -> Iterator[Declaration]:
        if cursor.get_definition() is None:
            name = self.types.handle_name(cursor.spelling)
            yield Opaque(name, self.header_of(cursor), cursor.spelling)
        elif cursor.is_definition():
            yield from self.struct(cursor, self.types.tag_name(cursor), cursor.type.spelling)

    def struct(self, cursor: Cursor, name: str, c_name: str) -> Iterator[Declaration]:
        """The struct, after the unnamed structs and callback types that its fields need."""
        fields: list[Field] = []
        hidden: list[str] = []
        for index, each in enumerate(cursor.type.get_fields()):
            if each.is_bitfield():
                raise NotImplementedError(f"{c_name}.{each.spelling} is a bit field")
            nameless = not each.spelling.isidentifier()
            spelling = f"anonymous_{index}" if nameless else each.spelling
            kind = self.types.convert(each.type, unnamed=f"{name}_{spelling}")
            c_member = "" if nameless else f"__typeof__((({c_name} *) 0)->{spelling})"
            yield from self.nested(each, kind, f"{name}_{spelling}", c_member)
            fields.append(Field(_writable(spelling), BINARY.get(f"{name}.{spelling}", kind)))
            hidden += [spelling] if nameless else []
        union = cursor.kind == CursorKind.UNION_DECL
        yield Struct(name, self.header_of(cursor), c_name, tuple(fields), tuple(hidden), union)

    def nested(self, field: Cursor, kind: CType, name: str, c_name: str) -> Iterator[Declaration]:
        """What a field declares beside itself."""
        if kind == Record(name):
            yield from self.struct(field.type.get_declaration(), name, c_name)
        elif prototype(field.type) is not None and kind.expression() == name:
            yield self.callback(name, field, field.type)

    def typedef(self, cursor: Cursor) -> Iterator[Declaration]:
        name, header = cursor.spelling, self.header_of(cursor)
        target = cursor.underlying_typedef_type
        if prototype(target) is not None:
            yield self.callback(name, cursor, target)
            return
        kind = self.types.convert(target)
        if isinstance(kind, Handle):
            yield Opaque(kind.name, header, target.get_pointee().get_declaration().spelling)
        elif isinstance(kind, Scalar | VoidPointer | Array) or kind.is_pointer():
            yield Alias(name, header, kind)

    def callback(self, name: str, cursor: Cursor, pointer: Type) -> Callback:
        kind = prototype_as_written(pointer)
        names = [
            each.spelling for each in cursor.get_children() if each.kind == CursorKind.PARM_DECL
        ]
        result = self.types.convert(kind.get_result())
        return Callback(name, self.header_of(cursor), result, self.parameters(names, kind))

    def function(self, cursor: Cursor) -> Iterator[Function]:
        if cursor.linkage != LinkageKind.EXTERNAL:
            self.skipped[cursor.spelling] = "static: the library exports no such symbol"
            return
        names = [each.spelling for each in cursor.get_arguments()]
        yield Function(
            cursor.spelling,
            self.header_of(cursor),
            self.types.convert(cursor.result_type),
            self.parameters(names, cursor.type),
            cursor.type.is_function_variadic(),
            evaluate.deprecation(cursor),
        )

    def parameters(self, names: list[str], kind: Type) -> tuple[Parameter, ...]:
        types = [self.types.parameter(each) for each in kind.argument_types()]
        names = names or [""] * len(types)
        pairs = zip(names, types, strict=True)
        return tuple(
            Parameter(_writable(name) or f"arg{index}", each)
            for index, (name, each) in enumerate(pairs)
        )

    def add_constants(self) -> None:
        """Macros and `static const` variables whose value is a number or a string."""
        places = {
            each.spelling: self.header_of(each)
            for each in self.cursors
            if evaluate.is_constant(each)
        }
        for name, value in evaluate.constants(places, INCLUDES, arguments(self.include)).items():
            self.declarations.setdefault(name, Constant(name, places[name], value))


def _writable(spelling: str) -> str:
    """A C name as Python can write it: keywords get an underscore."""
    return spelling + "_" if keyword.iskeyword(spelling) else spelling
