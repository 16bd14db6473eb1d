"""Builds messages in OpenAI's shape, in the order that chat templates want. Pure.

Protocols whose turns are lists of blocks or items become one message a turn. Many templates take a
system message only at the beginning and want users and assistants to alternate, so what the system
says later joins the user's turn there, and neighbours of one role are one message.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

JSON = dict[str, Any]
BETWEEN = "\n\n"
"""Separates texts that came apart: blocks of a turn, and turns that became one."""


def text_part(text: str) -> JSON:
    """A text as a part of a message."""
    return {"type": "text", "text": text}


def image_part(url: str) -> JSON:
    """An image as a part of a message; ``url`` may be one of data."""
    return {"type": "image_url", "image_url": {"url": url}}


class Conversation:
    """Messages that grow at the end."""

    def __init__(self) -> None:
        self._messages: list[JSON] = []
        self._shown: list[JSON] = []  # media of tool results, which only users can show

    @property
    def messages(self) -> list[JSON]:
        """All of them, with texts instead of lists of nothing but texts."""
        self._show()
        return [{**each, "content": _content(each["content"])} for each in self._messages]

    def say(self, role: str, parts: Iterable[JSON]) -> None:
        """What the user or the system says, as OpenAI's parts."""
        at_start = all(each["role"] == "system" for each in self._messages)
        told = "system" if role == "system" and at_start else "user"
        shown, self._shown = self._shown, []
        said = parts if role == told else _marked(parts)
        self._turn(told)["content"] += [*shown, *said]

    def answer(self, text: str) -> None:
        """What the assistant said."""
        self._assistant()["content"].append(text_part(text))

    def think(self, text: str) -> None:
        """What it thought."""
        message = self._assistant()
        before = message.get("reasoning_content")
        message["reasoning_content"] = f"{before}{BETWEEN}{text}" if before else text

    def call(self, call_id: str, name: str, arguments: str | JSON) -> None:
        """What it called; the arguments as an object or as its JSON."""
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        function = {"name": name, "arguments": written}
        calls = self._assistant().setdefault("tool_calls", [])
        calls.append({"id": call_id, "type": "function", "function": function})

    def result(self, call_id: str, parts: Iterable[JSON]) -> None:
        """What a call gave. Templates write text only there; the rest follows as the user's."""
        found = list(parts)
        texts = [part for part in found if part["type"] == "text"]
        self._shown += [part for part in found if part["type"] != "text"]
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": texts})

    def _assistant(self) -> JSON:
        self._show()
        return self._turn("assistant")

    def _turn(self, role: str) -> JSON:
        if not self._messages or self._messages[-1]["role"] != role:
            self._messages.append({"role": role, "content": []})
        return self._messages[-1]

    def _show(self) -> None:
        if self._shown:
            self.say("user", ())


def _marked(parts: Iterable[JSON]) -> list[JSON]:
    """What the system says in a user's turn, so that the model can tell who speaks."""
    return [text_part(f"<system>\n{part['text']}\n</system>") for part in parts]


def _content(parts: list[JSON]) -> str | list[JSON]:
    if any(part["type"] != "text" for part in parts):
        return parts
    return BETWEEN.join(part["text"] for part in parts)
