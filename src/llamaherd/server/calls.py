"""What a client asked for, in the one shape that all protocols translate to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]

_NEEDS = {
    "enable_thinking": "thinking_switch",
    "reasoning_effort": "reasoning_effort",
    "reasoning_budget_tokens": "thinking",
}
"""Hint -> what a model must be able to for it."""


@dataclass
class ChatCall:
    """An answer in a conversation, as ``Llama.acreate_chat_completion`` takes it.

    Attributes:
        model: as the client named it; None: it did not.
        messages: in OpenAI's shape.
        options: of ``create_chat_completion``, without ``stream``.
        ignored: fields of the body that nobody knows.
        hints: further options, left out where the model's template has no switch for them.
    """

    model: str | None
    messages: Any
    options: JSON = field(default_factory=dict)
    ignored: Sequence[str] = ()
    hints: JSON = field(default_factory=dict)

    def options_for(self, capabilities: Collection[str]) -> JSON:
        """The options for a model that can do so much."""
        known = {name: value for name, value in self.hints.items() if _NEEDS[name] in capabilities}
        options = {**self.options, **known}
        if isinstance(tools := options.get("tools"), list):
            options["tools"] = [_best_effort(tool) for tool in tools]
        return options


def _best_effort(tool: Any) -> Any:
    """A tool that is not strict unless it says so, as in OpenAI's API.

    Coding agents and MCP servers send dozens of tools, with whatever their libraries write into
    schemas: refused for a keyword that cannot be enforced, none of them would work.
    """
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or function.get("strict") is not None:
        return tool
    return {**tool, "function": {**function, "strict": False}}


@dataclass
class TextCall:
    """Text to go on from, as ``Llama.acreate_completion`` takes it.

    Attributes:
        prompt: text, token ids, or a list of these.
        suffix: what follows the gap to fill.
    """

    model: str | None
    prompt: Any
    suffix: str | None = None
    options: JSON = field(default_factory=dict)
    ignored: Sequence[str] = ()
