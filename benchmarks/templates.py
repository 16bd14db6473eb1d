"""How long real chat templates take to render a long conversation, once they are warm.

usage: python benchmarks/templates.py FOLDER

50 messages and 20 tools, as often as it takes for a median. Aim: at most 5 ms each. A template that
refuses tools is rendered without; one that refuses the conversation is named.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import headline

from llamaherd import LlamaHerdError
from llamaherd.chat import ChatFormat

ROUNDS = 15
SLOWEST = 8
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "the city"},
        "unit": {"enum": ["c", "f"]},
        "n": {"type": "integer", "minimum": 0},
    },
    "required": ["location"],
}


def tools() -> list[dict[str, Any]]:
    """Twenty, which differ in name and description."""
    functions = [
        {
            "name": f"tool_{i}",
            "description": f"Does something useful with the arguments given, number {i}",
            "parameters": PARAMETERS,
        }
        for i in range(20)
    ]
    return [{"type": "function", "function": function} for function in functions]


def conversation() -> list[dict[str, Any]]:
    """A system message, 24 questions with their answers, and a question."""
    messages = [{"role": "system", "content": "You are helpful. " * 20}]
    for i in range(24):
        messages.append({"role": "user", "content": f"Question {i}: " + "what is it? " * 10})
        messages.append({"role": "assistant", "content": f"Answer {i}: " + "it is this. " * 10})
    return [*messages, {"role": "user", "content": "last"}]


def rendering_ms(chat: ChatFormat, given: Sequence[dict[str, Any]]) -> float:
    """Median, after one rendering."""
    messages = conversation()
    chat.render(messages, tools=given)
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        chat.render(messages, tools=given)
        spent.append((time.perf_counter() - start) * 1e3)
    return statistics.median(spent)


def measured(path: Path) -> tuple[float, str] | None:
    """Milliseconds, and what they are of; None if it refuses the conversation."""
    source = path.read_text(encoding="utf-8")
    chat = ChatFormat({"default": source}, bos="<s>", eos="</s>", now=lambda: 0.0)
    reason = ""
    for given in (tools(), []):
        try:
            return rendering_ms(chat, given), path.stem + ("" if given else " without tools")
        except LlamaHerdError as error:
            reason = str(error).rsplit(": ", 1)[-1]
    print(f"{path.stem}: left out, {reason}")
    return None


def main() -> None:
    """All of a folder."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    paths = sorted(arguments.parse_args().folder.glob("*.jinja"))
    print(headline())
    found = sorted(filter(None, map(measured, paths)), reverse=True)
    for milliseconds, name in found[:SLOWEST]:
        print(f"{name}: {milliseconds:.2f} ms")
    median = statistics.median(milliseconds for milliseconds, _ in found)
    print(f"{len(found)} templates: median {median:.2f} ms, slowest {found[0][0]:.2f} ms")


if __name__ == "__main__":
    main()
