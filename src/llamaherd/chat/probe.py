"""Conversations with known content, rendered by a template under study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llamaherd.chat.template import ChatTemplate, was_limited
from llamaherd.errors import ChatTemplateError

USER, CONTENT, THOUGHT = "qzuser", "qzcontent", "qzthought"
NAMES, IDS, KEYS = ("qz_first", "qz_second"), ("qzid00001", "qzid00002"), ("qz_a", "qz_b")

REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""The fields in which templates look for a message's thoughts, the commonest first."""

Arguments = Mapping[str, Any]


def _tool(name: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": "an argument"} for key in KEYS}
    parameters = {"type": "object", "properties": properties, "required": list(KEYS[:1])}
    function = {"name": name, "description": "a tool", "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [_tool(name) for name in NAMES]


@dataclass
class Bench:
    """A template and the way in which it wants calls.

    Attributes:
        content: of a message with calls, if that has no text.
        as_text: whether arguments are given as JSON text.
        ids: of the calls.
    """

    template: ChatTemplate
    content: str | None = ""
    as_text: bool = False
    ids: Sequence[str] = field(default=IDS)

    def prompt(self, *, generate: bool = True, **variables: Any) -> str | None:
        """A question, and with ``generate`` the beginning of the answer."""
        return self._render([], generate, variables)

    def answer(self, content: str = CONTENT, **fields: Any) -> str | None:
        """A question that is answered with text."""
        return self._render([{"role": "assistant", "content": content, **fields}], False, {})

    def calls(self, *arguments: Arguments, content: str | None = None, **fields: Any) -> str | None:
        """A question that is answered with one call for each of ``arguments``."""
        calls = [self._call(i, a) for i, a in enumerate(arguments)]
        message = {
            "role": "assistant",
            "content": self.content if content is None else content,
            **fields,
            "tool_calls": calls,
        }
        return self._render([message], False, {})

    def _call(self, index: int, arguments: Arguments) -> dict[str, Any]:
        written = json.dumps(arguments, ensure_ascii=False) if self.as_text else dict(arguments)
        function = {"name": NAMES[index], "arguments": written}
        return {"id": self.ids[index], "type": "function", "function": function}

    def _render(
        self, answer: list[dict[str, Any]], generate: bool, variables: Mapping[str, Any]
    ) -> str | None:
        messages = [{"role": "user", "content": USER}, *answer]
        try:
            return self.template.render_raw(messages, TOOLS, generate, variables)
        except ChatTemplateError as error:
            if was_limited(error):
                raise
            return None
