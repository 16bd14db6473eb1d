"""What libclang knows but its Python package does not offer: constants and deprecations."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

from clang.cindex import (
    Cursor,
    CursorKind,
    Index,
    StorageClass,
    TokenKind,
    _CXString,
    conf,
)

PROBE = "llamaherd_probe_"
# CXEvalResultKind in clang-c/Index.h.
INTEGER, FLOAT, STRING = 1, 2, 4


def is_constant(cursor: Cursor) -> bool:
    """Whether it may have a value: a macro like a constant, or a `static const` variable."""
    if cursor.kind == CursorKind.VAR_DECL:
        return bool(
            cursor.storage_class == StorageClass.STATIC and cursor.type.is_const_qualified()
        )
    if cursor.kind != CursorKind.MACRO_DEFINITION or conf.lib.clang_Cursor_isMacroFunctionLike(
        cursor
    ):
        return False
    body = list(cursor.get_tokens())[1:]
    return bool(body) and all(token.kind != TokenKind.KEYWORD for token in body)


def constants(
    names: Iterable[str], includes: str, arguments: list[str]
) -> dict[str, int | float | bytes]:
    """The values of those names that have one, in the compiler's own arithmetic."""
    probes = [f"static const __typeof__({name}) {PROBE}{name} = {name};\n" for name in names]
    source = includes + "".join(probes)
    unit = Index.create().parse("probe.c", arguments, [("probe.c", source)])
    wrong = {each.location.line for each in unit.diagnostics if each.severity >= 3}
    found = {}
    for cursor in unit.cursor.get_children():
        if cursor.spelling.startswith(PROBE) and cursor.location.line not in wrong:
            value = _value(cursor)
            if value is not None:
                found[cursor.spelling.removeprefix(PROBE)] = value
    return found


def deprecation(cursor: Cursor) -> str:
    """The text of a deprecated attribute; empty when the function is not deprecated."""
    library = conf.lib
    always, message = ctypes.c_int(), _CXString()
    library.clang_getCursorPlatformAvailability(
        cursor, ctypes.byref(always), ctypes.byref(message), None, None, None, 0
    )
    if not always.value:
        return ""
    text = library.clang_getCString(message)
    return (text.decode() if isinstance(text, bytes) else text) or "deprecated by llama.cpp"


def _value(cursor: Cursor) -> int | float | bytes | None:
    library = _evaluator()
    result = ctypes.c_void_p(library.clang_Cursor_Evaluate(cursor))
    if not result:
        return None
    try:
        kind = library.clang_EvalResult_getKind(result)
        if kind == INTEGER and library.clang_EvalResult_isUnsignedInt(result):
            return int(library.clang_EvalResult_getAsUnsigned(result))
        if kind == INTEGER:
            return int(library.clang_EvalResult_getAsLongLong(result))
        if kind == FLOAT:
            return float(library.clang_EvalResult_getAsDouble(result))
        return bytes(library.clang_EvalResult_getAsStr(result)) if kind == STRING else None
    finally:
        library.clang_EvalResult_dispose(result)


def _evaluator() -> Any:
    """libclang with the signatures that clang.cindex leaves out."""
    library = conf.lib
    library.clang_Cursor_Evaluate.argtypes = [Cursor]
    library.clang_Cursor_Evaluate.restype = ctypes.c_void_p
    for name, result in (
        ("getKind", ctypes.c_int),
        ("isUnsignedInt", ctypes.c_uint),
        ("getAsUnsigned", ctypes.c_ulonglong),
        ("getAsLongLong", ctypes.c_longlong),
        ("getAsDouble", ctypes.c_double),
        ("getAsStr", ctypes.c_char_p),
        ("dispose", None),
    ):
        function = getattr(library, f"clang_EvalResult_{name}")
        function.argtypes, function.restype = [ctypes.c_void_p], result
    return library
