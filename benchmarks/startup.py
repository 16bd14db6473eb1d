"""Time to import, and from the command line to the first character of an answer.

usage: python benchmarks/startup.py

Fresh processes, medians of five. Aims: import at most 0.15 s and no native library loaded by it;
the first token of `make demo` within 2 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from machine import headline

ROUNDS = 5
IMPORT = """
import sys, time
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "ctypes.dlopen" else None)
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
assert not any("llama" in str(name) for name in opened), opened
"""


def import_seconds(statement: str) -> float:
    """Median time of an import in a fresh process, which must load no libllama."""
    return statistics.median(
        float(subprocess.check_output([sys.executable, "-c", IMPORT.format(statement=statement)]))
        for _ in range(ROUNDS)
    )


def first_token_seconds() -> float:
    """Median time from starting the program to the first byte it prints."""
    return statistics.median(_first_byte() for _ in range(ROUNDS))


def _first_byte() -> float:
    command = [sys.executable, "-m", "llamaherd", "chat", "demo", "-p", "Tell me a joke."]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        assert process.stdout.read(1), "it must print something"
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


def main() -> None:
    """Print all three."""
    print(headline())
    for statement in ("import llamaherd", "from llamaherd import Llama"):
        print(f"{statement:28} {import_seconds(statement):.3f} s")
    print(f"{'first token of make demo':28} {first_token_seconds():.3f} s")


if __name__ == "__main__":
    main()
