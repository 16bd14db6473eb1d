"""Write src/llamaherd/native/bindings.py and its stub from the headers installed beside llama.cpp.

    python tools/generate_bindings.py            write both files
    python tools/generate_bindings.py --check    exit 1 when they are stale

Needs libclang (in the `dev` extra) and a C compiler, whose stddef.h it borrows.
"""

from __future__ import annotations

import argparse
import ctypes
import difflib
import itertools
import sys
from pathlib import Path

from bindings import installed, module, stub
from bindings.model import Api, Function
from bindings.parse import parse

NATIVE = Path(__file__).resolve().parent.parent / "src" / "llamaherd" / "native"
DIFF_LINES = 20


def main() -> int:
    options = _options()
    try:
        texts, report = generate(
            options.include or installed.include_dir(), options.library or installed.library_dir()
        )
    except installed.NotFoundError as problem:
        print(f"generate_bindings: {problem}", file=sys.stderr)
        return 2
    print(report)
    files = {options.output / name: text for name, text in texts.items()}
    if options.check:
        return _check(files)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    return 0


def generate(include: Path, library: Path) -> tuple[dict[str, str], str]:
    """The files' texts and a report, from the folders of the headers and of the libraries."""
    missing = installed.missing_headers(include)
    if missing:
        raise installed.NotFoundError(f"{include} has no {', '.join(missing)}")
    libraries = installed.load_libraries(library)
    api = parse(include.resolve())
    _skip_unexported(api, libraries)
    version = installed.version(libraries)
    texts = {
        "bindings.py": module.render(api, version),
        "bindings.pyi": stub.render(api, version),
    }
    return texts, _report(api, version)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    option("--include", type=Path, help="folder of llama.h; default: llama-cpp-python's")
    option("--library", type=Path, help="folder of libllama; default: llama-cpp-python's")
    option("--output", type=Path, default=NATIVE, help="folder of bindings.py")
    return parser.parse_args()


def _skip_unexported(api: Api, libraries: list[ctypes.CDLL]) -> None:
    """Set aside the functions that the headers declare and no library has."""
    for each in api.all(Function):
        if not installed.exported(libraries, each.name):
            api.skipped[each.name] = f"declared in {each.header}, exported by no library"
            api.declarations.remove(each)


def _report(api: Api, version: str) -> str:
    bound, skipped = len(api.all(Function)), len(api.skipped)
    share = bound / (bound + skipped)
    head = f"llama.cpp {version}: {bound} functions bound, {skipped} skipped, coverage {share:.1%}"
    return "\n".join([head, *(f"  skipped {name}: {why}" for name, why in api.skipped.items())])


def _check(files: dict[Path, str]) -> int:
    """1 if a file differs from its text, with a message and the first lines of the difference."""
    stale = 0
    for path, text in files.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old != text:
            stale = 1
            print(f"{path.name} is stale: run python tools/generate_bindings.py", file=sys.stderr)
            print("\n".join(_difference(old, text)), file=sys.stderr)
    return stale


def _difference(old: str, new: str) -> list[str]:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "committed", "generated", n=1, lineterm=""
    )
    return list(itertools.islice(lines, DIFF_LINES))


if __name__ == "__main__":
    raise SystemExit(main())
