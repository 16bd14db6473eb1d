"""The generated module as its users see it: complete, lazy, strict, true to its stub."""

from __future__ import annotations

import ast
import ctypes
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llamaherd.native import bindings, library

REPOSITORY = Path(__file__).resolve().parents[2]
GENERATOR = REPOSITORY / "tools" / "generate_bindings.py"
STUB = REPOSITORY / "src" / "llamaherd" / "native" / "bindings.pyi"

LOADS_NOTHING = """
import sys

def refuse(event, arguments):
    if event == "ctypes.dlopen" and "llama" in str(arguments[0]):
        raise AssertionError(f"loaded {arguments[0]}")

sys.addaudithook(refuse)
from llamaherd.native import bindings
bindings.llama_batch, bindings.llama_ftype, bindings.LLAMA_TOKEN_NULL
"""


def test_every_function_is_in_the_installed_library() -> None:
    loaded = library.library()
    assert [name for name in bindings._FUNCTIONS if loaded.symbol(name) is None] == []


def test_what_is_skipped_has_a_reason() -> None:
    assert all(bindings.SKIPPED.values())
    assert not set(bindings.SKIPPED) & set(bindings._FUNCTIONS)


def test_nearly_all_functions_of_the_headers_are_bound() -> None:
    """Counted here by the API macros in the headers' text, not by the generator's parser."""
    declared = _declared_functions()
    assert len(declared) > 900
    assert len(declared & set(bindings._FUNCTIONS)) / len(declared) >= 0.99
    assert len(bindings._FUNCTIONS) / (len(bindings._FUNCTIONS) + len(bindings.SKIPPED)) >= 0.99


def test_the_bindings_fit_the_installed_version() -> None:
    assert library.library().version == bindings.LLAMA_CPP_VERSION
    assert bindings.llama_version() == bindings.LLAMA_CPP_VERSION.encode()


def test_importing_loads_no_library() -> None:
    subprocess.run([sys.executable, "-c", LOADS_NOTHING], check=True)


def test_a_function_is_bound_once() -> None:
    first = bindings.llama_max_devices
    assert vars(bindings)["llama_max_devices"] is first
    assert bindings.llama_max_devices is first


def test_unknown_names_are_refused() -> None:
    assert not hasattr(bindings, "llama_no_such_function")


def test_a_handle_of_another_type_is_refused() -> None:
    with pytest.raises(ctypes.ArgumentError):
        bindings.llama_n_ctx(bindings.llama_model_p(16))  # type: ignore[arg-type]


def test_null_handles_are_false() -> None:
    model = bindings.llama_model_load_from_file(b"", bindings.llama_model_default_params())
    assert isinstance(model, bindings.llama_model_p)
    assert not model


def test_c_writes_text_into_a_buffer() -> None:
    buffer = ctypes.create_string_buffer(64)
    written = bindings.llama_split_path(buffer, len(buffer), b"model", 1, 3)
    assert buffer.value[:written] == b"model-00002-of-00003.gguf"


def test_callbacks_run_and_return_addresses() -> None:
    clone = bindings.llama_sampler_i_clone(lambda sampler: 16)
    assert clone(None) == 16


def test_variadic_functions_take_more_arguments() -> None:
    context = bindings.ggml_init(bindings.ggml_init_params(1 << 16, None, False))
    tensor = bindings.ggml_new_tensor_1d(context, bindings.GGML_TYPE_F32, 4)
    bindings.ggml_format_name(tensor, b"layer %d", ctypes.c_int(7))
    assert tensor.contents.name == b"layer 7"
    bindings.ggml_free(context)


def test_the_stub_names_what_the_module_has() -> None:
    imported = {"symbol", "CFUNCTYPE", "POINTER", "Structure", "Union", "IntEnum", "IntFlag"}
    ours = {name for name in dir(bindings) if not re.match("__|c_", name)} - imported
    assert ours == {name for name in _stub_names() if not name.startswith("_")} | {
        "_STRUCTS",
        "_ENUMS",
        "_FUNCTIONS",
    }


def test_the_stub_gives_each_function_its_arguments() -> None:
    functions = {each.name: each for each in _stub().body if isinstance(each, ast.FunctionDef)}
    counts = {name: len(each.args.posonlyargs) for name, each in functions.items()}
    assert counts == {name: len(types) for name, (_, types) in bindings._FUNCTIONS.items()}


def test_the_generator_finds_the_committed_files_fresh_and_altered_ones_stale(
    tmp_path: Path,
) -> None:
    pytest.importorskip("clang.cindex", reason="libclang is not installed")
    fresh = _check(GENERATOR, STUB.parent)
    assert fresh.returncode == 0, fresh.stderr
    for name in ("bindings.py", "bindings.pyi"):
        text = (STUB.parent / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("llama_decode", "llama_encode"), encoding="utf-8")
    stale = _check(GENERATOR, tmp_path)
    assert stale.returncode == 1
    assert "bindings.py is stale" in stale.stderr


def _check(generator: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(generator), "--check", "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True)


def _declared_functions() -> set[str]:
    files = importlib.metadata.files("llama-cpp-python") or []
    names = r"(llama|ggml|ggml-alloc|ggml-backend|ggml-cpu|ggml-opt|gguf|mtmd|mtmd-helper)\.h"
    headers = [Path(str(file.locate())) for file in files if re.fullmatch(names, file.name)]
    if not headers:
        pytest.skip("the installed llama-cpp-python has no headers")
    text = "\n".join(header.read_text(encoding="utf-8") for header in headers)
    text = re.sub(r"//[^\n]*|/\*.*?\*/|#[^\n]*", "", text, flags=re.DOTALL)
    macros = "LLAMA_API|GGML_API|GGML_BACKEND_API|MTMD_API"
    return set(re.findall(rf"\b(?:{macros})\b[^;()]*?\b(\w+)\s*\(", text))


def _stub() -> ast.Module:
    return ast.parse(STUB.read_text(encoding="utf-8"))


def _stub_names() -> set[str]:
    names: set[str] = set()
    for each in _stub().body:
        if isinstance(each, ast.ClassDef | ast.FunctionDef):
            names.add(each.name)
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            names.add(each.target.id)
    return names
