"""The bindings against the C compiler: sizes, offsets and values in the installed headers."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterator
from ctypes import Structure, sizeof
from pathlib import Path
from typing import Any

import pytest

from llamaherd.native import bindings

HEAD = """
#include <stddef.h>
#include <stdio.h>
#include "llama.h"
#include "mtmd.h"
#include "mtmd-helper.h"
#define SIZE(name, type) printf("size %s %zu\\n", name, sizeof(type));
#define FIELD(name, type, field) \\
    printf("field %s %zu %zu\\n", name, offsetof(type, field), sizeof(((type *) 0)->field));
#define VALUE(name) printf("value %s %lld\\n", #name, (long long) (name));
int main(void) {
"""


@pytest.fixture(scope="module")
def seen_by_c(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the probe prints: one fact about a struct, a field or a constant a line."""
    compiler, include = _compiler(), _include_folder()
    folder = tmp_path_factory.mktemp("abi")
    source, program = folder / "probe.c", folder / "probe"
    source.write_text(HEAD + "\n".join(_probes()) + "\nreturn 0;\n}\n")
    command = [compiler, "-w", f"-I{include}", str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    printed = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    return set(printed.stdout.splitlines())


def test_every_struct_has_the_size_that_c_gives_it(seen_by_c: set[str]) -> None:
    ours = {f"size {name} {sizeof(kind)}" for name, kind, _ in _structs()}
    assert len(ours) > 50
    assert ours == {line for line in seen_by_c if line.startswith("size ")}


def test_every_field_lies_where_c_puts_it(seen_by_c: set[str]) -> None:
    ours = {
        f"field {name}.{field} {place.offset} {place.size}"
        for name, kind, _ in _structs()
        for field, place in _fields(kind)
    }
    assert len(ours) > 250
    assert ours == {line for line in seen_by_c if line.startswith("field ")}


def test_every_enum_value_and_number_is_what_c_says(seen_by_c: set[str]) -> None:
    ours = {f"value {name} {value}" for name, value in _numbers()}
    assert len(ours) > 400
    assert ours == {line for line in seen_by_c if line.startswith("value ")}


def test_every_enum_class_holds_its_constants() -> None:
    for name, (_, members) in bindings._ENUMS.items():
        made = getattr(bindings, name).__members__
        assert {key: int(value) for key, value in made.items()} == members
        assert {key: getattr(bindings, key) for key in members} == members


def _probes() -> Iterator[str]:
    for name, kind, c_name in _structs():
        yield f'SIZE("{name}", {c_name})'
        for field, _ in _fields(kind):
            # A field that is a Python keyword carries an underscore (`async_`).
            yield f'FIELD("{name}.{field}", {c_name}, {field.removesuffix("_")})'
    for name, _ in _numbers():
        yield f"VALUE({name})"


def _structs() -> Iterator[tuple[str, type[Structure], str]]:
    """Python's name, the class, and C's name of every struct that has one."""
    for name, c_name in bindings._STRUCTS.items():
        yield name, getattr(bindings, name), c_name


def _fields(kind: Any) -> Iterator[tuple[str, Any]]:
    """Each field's name and ctypes descriptor; an anonymous member stands for its own fields."""
    for name, inner, *_ in kind._fields_:
        if name in getattr(kind, "_anonymous_", ()):
            yield from ((each, getattr(kind, each)) for each, _ in _fields(inner))
        else:
            yield name, getattr(kind, name)


def _numbers() -> Iterator[tuple[str, int]]:
    for name, value in vars(bindings).items():
        if name.isupper() and isinstance(value, int):
            yield name, value


def _compiler() -> str:
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C compiler on this machine")


def _include_folder() -> Path:
    for file in importlib.metadata.files("llama-cpp-python") or []:
        if file.name == "llama.h":
            return Path(str(file.locate())).parent
    pytest.skip("the installed llama-cpp-python has no headers")
