"""An answer of the chat API as it becomes known: text, thoughts and tool calls. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from llamaherd.chat import (
    CallArguments,
    CallBroken,
    CallEnd,
    CallStart,
    ContentDelta,
    Event,
    Note,
    Parser,
    ReasoningDelta,
)

JSON = dict[str, Any]


class ChatAnswer:
    """Turns a parser's events into OpenAI's deltas, and keeps the message they add up to.

    Args:
        new_id: makes the id of a call where the model writes none.

    Attributes:
        notes: what the model wrote like a call and is none.
        n_reasoning: tokens of thoughts.
    """

    def __init__(self, parser: Parser, new_id: Callable[[], str]) -> None:
        self._parser, self._new_id = parser, new_id
        self._content = self._reasoning = ""
        self._calls: dict[int, JSON] = {}
        self.notes: list[str] = []
        self.n_reasoning = 0

    def feed(self, text: str, n_tokens: int) -> JSON | None:
        """The delta that more text makes; None: it is held back, or part of a marker."""
        n_before = len(self._reasoning)
        delta = self._delta(self._parser.feed(text))
        if len(self._reasoning) > n_before:
            self.n_reasoning += n_tokens
        return delta

    def finish(self) -> JSON | None:
        """The last delta, once no more text comes."""
        return self._delta(self._parser.finish())

    @property
    def called(self) -> bool:
        """Whether it holds tool calls."""
        return bool(self._calls)

    @property
    def message(self) -> JSON:
        """The whole message."""
        found: JSON = {"role": "assistant", "content": self._content}
        if self._reasoning:
            found["reasoning_content"] = self._reasoning
        if self._calls:
            found["content"] = self._content or None
            found["tool_calls"] = [
                {key: value for key, value in call.items() if key != "index"}
                for call in self._calls.values()
            ]
        return found

    def _delta(self, events: Sequence[Event]) -> JSON | None:
        found: JSON = {}
        for event in events:
            if isinstance(event, ContentDelta):
                self._content += event.text
                found["content"] = found.get("content", "") + event.text
            elif isinstance(event, ReasoningDelta):
                self._reasoning += event.text
                found["reasoning_content"] = found.get("reasoning_content", "") + event.text
            else:
                self._note_call(event, found.setdefault("tool_calls", []))
        if not found.get("tool_calls", True):
            del found["tool_calls"]
        return found or None

    def _note_call(
        self, event: CallStart | CallArguments | CallEnd | CallBroken | Note, deltas: list[JSON]
    ) -> None:
        if isinstance(event, CallStart):
            call = {
                "index": event.index,
                "id": event.id or f"call_{self._new_id()}",
                "type": "function",
                "function": {"name": event.name, "arguments": ""},
            }
            self._calls[event.index] = call
            deltas.append(json.loads(json.dumps(call)))
        elif isinstance(event, CallArguments):
            self._calls[event.index]["function"]["arguments"] += event.text
            _append_arguments(deltas, event)
        elif isinstance(event, (CallBroken, Note)):
            self.notes.append(event.note)
            if isinstance(event, CallBroken):
                self._calls.pop(event.index, None)


def _append_arguments(deltas: list[JSON], event: CallArguments) -> None:
    """Add to the call's entry: OpenAI's client expects one entry a call in each chunk."""
    for delta in deltas:
        if delta["index"] == event.index:
            delta["function"]["arguments"] += event.text
            return
    deltas.append({"index": event.index, "function": {"arguments": event.text}})
