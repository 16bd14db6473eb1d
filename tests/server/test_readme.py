"""What the README shows of the server works as it stands there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from serving import Running

README = Path(__file__).parents[2] / "README.md"


def test_a_tool_call_streams_as_the_readme_shows(server: Running) -> None:
    section = README.read_text("utf-8").split("## A server")[1]
    match = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert match is not None
    program = match[1].replace("http://127.0.0.1:8000", server.url)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "README.md", "exec"), {})
    assert "get_weather" in said.getvalue()
    assert "Paris" in said.getvalue()
