"""What a chat template can do, found by rendering conversations and looking at the text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from llamaherd.chat import ChatTemplate
from llamaherd.errors import ChatTemplateError

MARK = "llamaherd-probe"
USER = {"role": "user", "content": "Hello"}
ASSISTANT = {"role": "assistant", "content": "Hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": MARK,
        "description": "A tool",
        "parameters": {"type": "object", "properties": {}},
    },
}
ARGUMENTS: tuple[object, ...] = ({}, "{}")  # templates expect either form


class Probe:
    """One template under test; what it refuses to render is "" and so counts as missing."""

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        self._template: ChatTemplate | None = None
        try:
            self._template = ChatTemplate(source, bos=bos, eos=eos, now=time.time)
        except ChatTemplateError:
            pass  # a broken template renders nothing

    def abilities(self) -> dict[str, bool]:
        """Ability -> whether the template has it."""
        system = {"role": "system", "content": MARK}
        return {
            "renders": bool(self._text([USER])),
            "system message": MARK in self._text([system, USER]),
            "earlier turns": MARK in self._text([USER, {**ASSISTANT, "content": MARK}, USER]),
            "generation prompt": self._differs("add_generation_prompt"),
            "tools": MARK in self._text([USER], tools=[TOOL]),
            "tool calls": any(MARK in self._text(self._called(a)) for a in ARGUMENTS),
            "tool results": any(MARK in self._text(self._result(a)) for a in ARGUMENTS),
            "reasoning": self._reasons(),
            "reasoning can be switched": self._differs("enable_thinking"),
        }

    def _called(self, arguments: Any) -> list[dict[str, Any]]:
        function = {"name": MARK, "arguments": arguments}
        call = {"id": "call_0001", "type": "function", "function": function}
        return [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]

    def _result(self, arguments: Any) -> list[dict[str, Any]]:
        asked, called = self._called(arguments)
        called["tool_calls"][0]["function"]["name"] = "other"
        result = {"role": "tool", "tool_call_id": "call_0001", "name": "other", "content": MARK}
        return [asked, called, result]

    def _reasons(self) -> bool:
        """It writes reasoning down, opens it for the answer, or lets it be switched."""
        thought = {**ASSISTANT, "reasoning_content": MARK}
        return (
            MARK in self._text([USER, thought], add_generation_prompt=False)
            or self._text([USER]).rstrip().endswith("<think>")
            or self._differs("enable_thinking")
        )

    def _differs(self, variable: str) -> bool:
        """Whether a variable of the template changes what it writes."""
        return self._text([USER], **{variable: True}) != self._text([USER], **{variable: False})

    def _text(self, messages: Sequence[dict[str, Any]], **variables: Any) -> str:
        if self._template is None:
            return ""
        try:
            return self._template.render(messages, **variables)
        except Exception:  # hostile or sloppy source: any failure means "cannot"
            return ""
