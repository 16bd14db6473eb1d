"""A model's answer, piece by piece, into content, thoughts and tool calls.

One reader for every syntax: a :class:`AnswerSyntax` says which markers there are. Text that may be
the beginning of a marker is held back until it is known to be one or not; all that is held back is
shorter than a marker and a tool's name, so that the work is linear in the text.
"""

from __future__ import annotations

import functools
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from llamaherd.chat.arguments import BrokenCallError, read_arguments
from llamaherd.chat.events import (
    CallArguments,
    CallBroken,
    CallEnd,
    CallStart,
    ContentDelta,
    Event,
    Note,
    ReasoningDelta,
)
from llamaherd.chat.matching import PARTIAL, Match, Result, match_literal, match_pattern
from llamaherd.chat.reading import Reader
from llamaherd.chat.syntax import ID, NAME, AnswerSyntax, ToolSyntax, pieces

Reading = Generator[None, None, None]


class Parser(Protocol):
    """Turns an answer's text into events. One answer, one thread at a time."""

    @property
    def in_thought(self) -> bool:
        """Whether what comes next belongs to a thought."""

    def feed(self, text: str) -> list[Event]:
        """What ``text``, which follows what was fed before, makes known."""

    def finish(self) -> list[Event]:
        """What is known once no more text comes."""


class ResumedParser(ABC):
    """A parser that reads on where it stopped for want of text."""

    in_thought = False

    def __init__(self) -> None:
        self._reader = Reader()
        self._events: list[Event] = []
        self._reading = self._read()

    @abstractmethod
    def _read(self) -> Reading:
        """Read all of the answer, adding events; yields wherever more text is needed."""

    def feed(self, text: str) -> list[Event]:
        """What ``text``, which follows what was fed before, makes known."""
        self._reader.feed(text)
        return self._resume()

    def finish(self) -> list[Event]:
        """What is known once no more text comes."""
        self._reader.ended = True
        return self._resume()

    @property
    def held(self) -> str:
        """Text that has come and that no event has told of yet."""
        return self._reader.text[self._reader.at :]

    def _resume(self) -> list[Event]:
        next(self._reading, None)
        events, self._events = self._events, []
        return events


class SyntaxParser(ResumedParser):
    """The parser of everything that was learned from a template.

    Args:
        tools: OpenAI tool definitions, normalised; without any, nothing is read as a call.
        prefill: the part of the answer that the prompt holds already; makes no events.
    """

    def __init__(
        self, syntax: AnswerSyntax, tools: Sequence[Mapping[str, Any]] = (), prefill: str = ""
    ) -> None:
        self._syntax = syntax
        self._schemas = {
            tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools
        }
        self._calls = syntax.tools if self._schemas else None
        self._count = 0
        self._thought, self._spoke = False, False
        super().__init__()
        if prefill:
            self.feed(prefill)
            self._reader.take_space()
            self._spoke = False

    # -- states -------------------------------------------------------------------------------

    def _read(self) -> Reading:
        state = self._fresh
        while True:
            after = yield from state()
            if after is None:
                return
            state = after

    def _fresh(self) -> Generator[None, None, Any]:
        """Where a thought, a text or a call may begin."""
        reader = self._reader
        while True:
            at = reader.skip_space()
            if at == len(reader.text) and not reader.ended:
                yield
                continue
            found, state = self._begun(at)
            if found is not PARTIAL or reader.ended:
                break
            yield
        if isinstance(found, Match):
            if state != self._call:
                reader.at = found.end
            return state
        if self._thought or at == len(reader.text):
            reader.at = at
        return self._content

    def _begun(self, at: int) -> tuple[Result, Any]:
        """What begins at ``at``."""
        syntax = self._syntax
        starts: list[tuple[Result, Any]] = [(self._call_begun(at), self._call)]
        if syntax.reasoning is not None:
            starts.append((self._marker(at, syntax.reasoning.open), self._reasoning))
            starts.append((self._marker(at, syntax.reasoning.close), self._fresh))
        starts.append((self._marker(at, syntax.content.open), self._content))
        return next(((found, state) for found, state in starts if found is not None), (None, None))

    def _marker(self, at: int, literal: str) -> Result:
        literal = literal.strip()
        if not literal:
            return None
        return match_literal(self._reader.text, at, literal, ended=self._reader.ended)

    def _reasoning(self) -> Generator[None, None, Any]:
        assert self._syntax.reasoning is not None
        close = self._syntax.reasoning.close.strip()
        self._thought = self.in_thought = True
        yield from self._past_space()
        yield from self._spoken(ReasoningDelta, [close], self._marker)
        if self._reader.done:
            return None
        found = self._marker(self._reader.at, close)
        assert isinstance(found, Match)
        self._reader.at, self.in_thought = found.end, False
        return self._fresh

    def _past_space(self) -> Reading:
        reader = self._reader
        while (at := reader.skip_space()) == len(reader.text) and not reader.ended:
            reader.at = at
            yield
        reader.at = at

    def _content(self) -> Generator[None, None, Any]:
        triggers = self._triggers
        while True:
            yield from self._spoken(ContentDelta, list(triggers), self._stopped)
            if self._reader.done:
                return None
            at = self._reader.at
            if isinstance(self._call_begun(at, after_text=True), Match):
                return self._call
            closed = self._marker(at, self._syntax.content.close)
            if isinstance(closed, Match):
                self._reader.at = closed.end
                return self._after
            return self._after  # the end of the turn

    @functools.cached_property
    def _triggers(self) -> list[str]:
        """The literals that may end a text."""
        syntax = self._syntax
        found = [syntax.content.close.strip(), syntax.end.strip()]
        if self._calls and self._calls.marked:
            found.append(self._calls.trigger)
        return [f for f in found if f]

    def _stopped(self, at: int, literal: str) -> Result:
        """Whether ``literal``, found at ``at``, ends a text, or only looks like it."""
        results = [self._marker(at, self._syntax.content.close), self._end(at)]
        if self._calls and self._calls.marked:
            results.insert(0, self._call_begun(at, after_text=True))
        return next((found for found in results if found is not None), None)

    def _end(self, at: int) -> Result:
        """The end of the turn, if nothing follows."""
        end = self._syntax.end.strip()
        if not end:
            return None
        found = match_literal(self._reader.text, at, end, ended=self._reader.ended)
        if not isinstance(found, Match):
            rest = self._reader.text[at:].strip()
            partial = self._reader.ended and len(rest) > 2 and end.startswith(rest)
            return Match(len(self._reader.text)) if partial else found
        if self._reader.text[found.end :].strip():
            return None
        return found if self._reader.ended else PARTIAL

    def _spoken(self, kind: Any, literals: list[str], stops: Any) -> Reading:
        """Emit text up to where one of ``literals`` begins and ``stops`` agrees, or to the end."""
        reader = self._reader
        while True:
            at = reader.find(literals)
            self._say(kind, reader.take(at))
            if reader.at + len(reader.space) == len(reader.text):
                if reader.ended:
                    self._say_space(kind, end=True)
                    return
                yield
                continue
            found = stops(reader.content_at, literals[0] if literals else "")
            if isinstance(found, Match):
                self._say_space(kind, end=True, dropped=True)
                return
            if found is PARTIAL and not reader.ended:
                yield
            else:
                self._mistaken()
                self._say(kind, reader.take(reader.content_at + 1))

    def _mistaken(self) -> None:
        """A trigger that no call follows: worth a note if it is unmistakable."""
        trigger = self._calls.trigger if self._calls and self._calls.marked else ""
        if trigger and self._reader.text.startswith(trigger, self._reader.content_at):
            self._events.append(Note(f"text begins like a tool call and is none: {trigger}"))

    def _say(self, kind: Any, text: str) -> None:
        if text:
            self._spoke = True
            self._events.append(kind(text))

    def _say_space(self, kind: Any, *, end: bool, dropped: bool = False) -> None:
        """White space in front of a marker belongs to the marker; at the end of content, to it."""
        space = self._reader.take_space()
        if end and not dropped and kind is ContentDelta and self._spoke:
            self._say(kind, space)

    # -- calls --------------------------------------------------------------------------------

    def _call_begun(self, at: int, *, after_text: bool = False) -> Result:
        """The first call's beginning, up to its arguments."""
        calls = self._calls
        if calls is None:
            return None
        gap = (calls.after_text or "").strip() if after_text else ""
        opened = (gap + calls.open + calls.head) if gap else (calls.open + calls.head).lstrip()
        return self._head(at, opened, calls)

    def _head(self, at: int, pattern: str, calls: ToolSyntax) -> Result:
        reader = self._reader
        follows = None
        if pieces(calls.head)[-1:] == [NAME]:
            follows = functools.partial(self._arguments_begin, calls)
        return match_pattern(
            reader.text, at, pattern, self._schemas, follows=follows, ended=reader.ended
        )

    def _arguments_begin(self, calls: ToolSyntax, at: int) -> Result:
        """What must follow a name that no literal ends."""
        if calls.parameters is None:
            literals = ["{"]
        else:
            tail = calls.tail if calls.tail.strip() else calls.close
            literals = [calls.empty + tail]
            literals += [form.before for form in calls.parameters.forms.values()]
        results = [
            match_literal(self._reader.text, at, pieces(text)[0], ended=self._reader.ended)
            for text in literals
            if text
        ]
        for found in results:
            if isinstance(found, Match):
                return found
        return PARTIAL if PARTIAL in results else None

    def _call(self) -> Generator[None, None, Any]:
        """All calls of a section."""
        calls, reader = self._calls, self._reader
        assert calls is not None
        found = self._call_begun(reader.skip_space(), after_text=True)
        if not isinstance(found, Match):
            found = self._call_begun(reader.skip_space())
        while isinstance(found, Match):
            reader.mark()
            reader.at = found.end
            whole = yield from self._one_call(found.slots)
            if not whole:
                return self._content
            found = yield from self._next_call(calls)
        return self._after

    def _one_call(self, slots: Mapping[str, str]) -> Generator[None, None, bool]:
        """A call from its arguments on; False if it turns out to be none."""
        calls, index = self._calls, self._count
        assert calls is not None
        name = slots.get(NAME)
        self._count += 1
        if name is not None:
            self._events.append(CallStart(index, name, slots.get(ID)))
        try:
            text = yield from self._emitted(index, name)
            checked_object(text)
            late = yield from self._tail(calls)
        except BrokenCallError as broken:
            note = f"malformed tool call: {broken}"
            self._events.append(Note(note) if name is None else CallBroken(index, note))
            self._say(ContentDelta, self._reader.since_mark())
            return False
        if name is None:
            self._events.append(CallStart(index, late[NAME], late.get(ID)))
            self._events.append(CallArguments(index, text))
        self._events.append(CallEnd(index))
        return True

    def _emitted(self, index: int, name: str | None) -> Generator[None, None, str]:
        """A call's arguments, as events if the call's name is known; returns all of them."""
        calls, found = self._calls, []
        assert calls is not None
        for piece in read_arguments(self._reader, calls, self._schemas.get(name or "", {})):
            if piece is None:
                yield
            elif piece:
                found.append(piece)
                if name is not None:
                    self._events.append(CallArguments(index, piece))
        return "".join(found)

    def _tail(self, calls: ToolSyntax) -> Generator[None, None, Mapping[str, str]]:
        """What ends a call; an answer may stop before it. Returns the slots in it."""
        reader, pattern = self._reader, calls.tail
        while True:
            found = match_pattern(
                reader.text, reader.at, pattern, self._schemas, ended=reader.ended
            )
            if isinstance(found, Match):
                reader.at = found.end
                return found.slots
            if reader.ended and NAME not in pattern and _begins(pattern, reader.text[reader.at :]):
                reader.at = len(reader.text)
                return {}
            if found is None:
                raise BrokenCallError(f"expected {pattern.strip()!r} after the arguments")
            yield

    def _next_call(self, calls: ToolSyntax) -> Generator[None, None, Result]:
        """Another call, or the end of the section."""
        reader = self._reader
        while True:
            at = reader.skip_space()
            if at == len(reader.text) and not reader.ended:
                yield
                continue
            nexts = (calls.separator + calls.head, calls.open + calls.head)
            results = [self._head(at, text.lstrip(), calls) for text in nexts]
            close = calls.close.strip()
            closed = self._marker(at, close)
            for found in results:
                if isinstance(found, Match):
                    return found
            if isinstance(closed, Match):
                reader.at = closed.end
                return None
            if reader.ended or (closed is not PARTIAL and PARTIAL not in results):
                if reader.ended and close.startswith(reader.text[at:].strip()):
                    reader.at = len(reader.text)
                return None
            yield

    def _after(self) -> Generator[None, None, Any]:
        """Behind calls or a closed text: more of either, or the end of the turn."""
        reader = self._reader
        while True:
            at = reader.skip_space()
            if at < len(reader.text):
                end = self._end(at)
                if isinstance(end, Match):
                    reader.at = end.end
                    return None
                if end is not PARTIAL:
                    return self._fresh
            if reader.ended:
                reader.at = len(reader.text)
                return None
            yield


def checked_object(text: str) -> None:
    """Raise BrokenCallError unless a call's arguments are a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenCallError(f"its arguments are not JSON ({error})") from error
    if not isinstance(value, dict):
        raise BrokenCallError("its arguments are not an object")


def _begins(pattern: str, text: str) -> bool:
    return re.sub(r"\s", "", pattern).startswith(re.sub(r"\s", "", text))


def parse(parser: Parser, text: str) -> Iterator[Event]:
    """All events of a complete answer."""
    yield from parser.feed(text)
    yield from parser.finish()
