"""The programs in docs/protocols.md run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Running

GUIDE = Path(__file__).parents[2] / "docs" / "protocols.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["responses", "messages", "ollama"])
def test_a_program_of_the_guide_says_something(server: Running, program: str) -> None:
    here = program.replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
