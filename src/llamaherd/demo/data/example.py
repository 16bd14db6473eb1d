"""What a skill draws: a conversation that ends with the answer to learn, or a gap in code."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
Tool = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """One draw. The answer is a function of the prompt: temperature 0 has one right result.

    `hint` is a leading part of the answer that a constraint would force (`{"setup":"`): the model
    sees it but is not taught to begin with it. `fim` is (prefix, suffix, middle) and excludes
    messages; `raw` is plain text whose part after the first `raw[0]` is to be learned.
    """

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    hint: str = ""
    fim: tuple[str, str, str] | None = None
    raw: tuple[str, str] | None = None


Skill = Callable[[random.Random], Example]


def to_json(value: Any) -> str:
    """JSON as chat templates write it (spaces after separators, no ASCII escapes)."""
    return json.dumps(value, ensure_ascii=False)


def compact_json(value: Any) -> str:
    """JSON as constrained decoding writes it: no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def system(content: str) -> Message:
    return {"role": "system", "content": content}


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def tool_result(content: str) -> Message:
    return {"role": "tool", "content": content}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*items: dict[str, Any]) -> Message:
    return {"role": "assistant", "content": "", "tool_calls": list(items)}
