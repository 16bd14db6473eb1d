"""The exception: channels of messages, as gpt-oss writes them.

Its template shows one spelling of a call and the model writes several, so that the difference of
two renderings is not enough. Source: OpenAI's description of the harmony response format. An answer
is a row of messages ``<|start|>assistant HEADER<|message|>BODY<|end|>``, whose header names a
channel (analysis: thoughts, final: the answer, commentary: remarks and calls) and perhaps
``to=functions.X``.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from llamaherd.chat.arguments import BrokenCallError, read_json
from llamaherd.chat.events import (
    CallArguments,
    CallBroken,
    CallEnd,
    CallStart,
    ContentDelta,
    ReasoningDelta,
)
from llamaherd.chat.grammar import Demand
from llamaherd.chat.lark import Lark
from llamaherd.chat.parser import ResumedParser, checked_object
from llamaherd.chat.schemas import Lenient, closed
from llamaherd.chat.syntax import AnswerSyntax, JsonStyle

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>", START)
THOUGHT_END = f"<|end|>{START}assistant"
_RECIPIENT = re.compile(r"to=functions\.([\w.-]+)")
_NAMED_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_MAX_HEADER_CHARS = 512


def speaks(syntax: AnswerSyntax) -> bool:
    """Whether a template is of this kind."""
    return syntax.content.open == f"{CHANNEL}final{MESSAGE}"


class HarmonyParser(ResumedParser):
    """The parser of this format; see :class:`llamaherd.chat.parser.Parser`."""

    def __init__(self, tools: Sequence[Mapping[str, Any]] = (), prefill: str = "") -> None:
        self._names = {tool["function"]["name"] for tool in tools}
        self._count = 0
        super().__init__()
        if prefill:
            self.feed(prefill)

    def _read(self) -> Generator[None, None, None]:
        while not self._reader.done:
            header = yield from self._header()
            name = _RECIPIENT.search(header)
            channel = _NAMED_CHANNEL.search(header)
            if name and name[1] in self._names:
                yield from self._call(name[1])
            else:
                self.in_thought = channel is not None and channel[1] == "analysis"
                yield from self._body(ReasoningDelta if self.in_thought else ContentDelta)
                self.in_thought = False

    def _header(self) -> Generator[None, None, str]:
        """A message's header; empty where text begins without one."""
        reader = self._reader
        while True:
            text = reader.text[reader.at :]
            at = text.find(MESSAGE)
            if 0 <= at <= _MAX_HEADER_CHARS:
                reader.mark()
                reader.at += at + len(MESSAGE)
                return text[:at]
            if not _may_be_header(text) or len(text) > _MAX_HEADER_CHARS:
                return ""
            if reader.ended:
                reader.at = len(reader.text)
                return ""
            yield

    def _body(self, kind: type[ReasoningDelta] | type[ContentDelta]) -> Generator[None, None, None]:
        reader = self._reader
        while True:
            at = reader.find(ENDS)
            if at > reader.at:
                self._events.append(kind(reader.text[reader.at : at]))
                reader.at = at
            end = next((e for e in ENDS if reader.text.startswith(e, at)), None)
            if end is not None:
                reader.at += len(end)
                return
            if reader.ended:
                if at < len(reader.text):
                    self._events.append(kind(reader.text[at:]))
                reader.at = len(reader.text)
                return
            yield

    def _call(self, name: str) -> Generator[None, None, None]:
        index, found = self._count, []
        self._count += 1
        self._events.append(CallStart(index, name, None))
        try:
            for piece in read_json(self._reader):
                if piece is None:
                    yield
                elif piece:
                    found.append(piece)
                    self._events.append(CallArguments(index, piece))
            checked_object("".join(found))
        except BrokenCallError as broken:
            self._events.append(CallBroken(index, f"malformed call of {name}: {broken}"))
            self._events.append(ContentDelta(self._reader.since_mark()))
            return
        self._events.append(CallEnd(index))
        yield from self._past_end()

    def _past_end(self) -> Generator[None, None, None]:
        """Over what ends a call."""
        reader = self._reader
        while True:
            at = reader.skip_space()
            text = reader.text[at:]
            end = next((e for e in ENDS if text.startswith(e)), None)
            if end is not None or reader.ended:
                reader.at = at + len(end or "")
                return
            if not any(e.startswith(text) for e in ENDS):
                return
            yield


def _may_be_header(text: str) -> bool:
    begun = text.lstrip()
    starts = (START, CHANNEL, "assistant", "to=")
    return not begun or any(begun.startswith(s) or s.startswith(begun) for s in starts)


def grammar(demand: Demand) -> str:
    """Lark text; see :func:`llamaherd.chat.grammar.grammar`."""
    lark = Lark(demand.specials, demand.ends)
    lark.set("start", "")
    again = THOUGHT_END.removeprefix("<|end|>")
    thought = _message(lark, "analysis", again)
    before = (
        thought if demand.required else lark.choice(thought, _message(lark, "commentary", again))
    )
    bodies = [] if demand.required else [_final(lark, demand)]
    bodies += [_call(lark, tool) for tool in demand.tools]
    rest = lark.until("<|end|>") + " " + lark.literal(again) if demand.in_thought else ""
    lark.set("start", f"{rest} ({before})* {lark.choice(*bodies)}".strip())
    return lark.text


def _message(lark: Lark, channel: str, again: str) -> str:
    opened = lark.literal(f"{CHANNEL}{channel}{MESSAGE}")
    return lark.rule(f"{opened} {lark.until('<|end|>')} {lark.literal(again)}")


def _final(lark: Lark, demand: Demand) -> str:
    body = lark.rule("/(?s:.*)/") if demand.text is None else demand.text.rule(lark)
    return f"{lark.literal(f'{CHANNEL}final{MESSAGE}')} {body}"


def _call(lark: Lark, tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    to = f"to=functions.{function['name']}"
    heads = (
        f" {to}{CHANNEL}commentary json{MESSAGE}",
        f"{CHANNEL}commentary {to} <|constrain|>json{MESSAGE}",
    )
    head = lark.choice(*map(lark.literal, heads))
    given = function.get("parameters") or {"properties": {}}
    style, lenient = JsonStyle(", ", ": "), isinstance(given, Lenient)
    arguments = lark.json_of(closed(given), style, lenient=lenient)
    return lark.rule(f"{head} {arguments} {lark.closing('<|call|>')}".strip())
