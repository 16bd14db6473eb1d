"""A call's arguments, read from an answer that is still being written, as pieces of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from llamaherd.chat.matching import PARTIAL, Match, Result, match_literal, match_pattern
from llamaherd.chat.nested import nested_json
from llamaherd.chat.nesting import Nesting
from llamaherd.chat.reading import Reader
from llamaherd.chat.syntax import KEY, Codec, Form, Parameters, ToolSyntax, pieces
from llamaherd.chat.values import property_schema, to_json, types_of

Pieces = Iterator[str | None]
"""JSON text; None wherever more of the answer is needed."""
Whole = Generator[None, None, str]
"""A text that is known once all of it is there."""


class BrokenCallError(Exception):
    """What is read is no call."""


def read_arguments(reader: Reader, calls: ToolSyntax, schema: Mapping[str, Any]) -> Pieces:
    """The arguments from where ``reader`` is; leaves it behind them.

    Raises:
        BrokenCallError: they are malformed.
    """
    if calls.parameters is None:
        yield from read_json(reader)
    else:
        yield from _Members(reader, calls, calls.parameters, schema).read()


_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'["\\]')


def read_json(reader: Reader) -> Pieces:
    """A JSON object as it is written; only its end is looked for."""
    while (at := reader.skip_space()) == len(reader.text):
        if reader.ended:
            raise BrokenCallError("its arguments are missing")
        yield None
    if reader.text[at] != "{":
        raise BrokenCallError("its arguments are not a JSON object")
    reader.at = at
    depth, quoted = 0, False
    while True:
        end, depth, quoted = _scan(reader, depth, quoted)
        yield reader.text[reader.at : end]
        reader.at = end
        if depth == 0:
            return
        if reader.ended:
            raise BrokenCallError("its arguments end too early")
        yield None


def _scan(reader: Reader, depth: int, quoted: bool) -> tuple[int, int, bool]:
    """How far the object reaches in what has arrived."""
    text, at = reader.text, reader.at
    while found := (_INSIDE if quoted else _OUTSIDE).search(text, at):
        at = found.end()
        if found[0] == "\\":
            if at == len(text):
                return at - 1, depth, quoted  # an escape is read as a whole
            at += 1
        elif found[0] == '"':
            quoted = not quoted
        else:
            depth += 1 if found[0] in "{[" else -1
            if depth == 0:
                return at, 0, False
    return len(text), depth, quoted


def _first(pattern: str) -> str:
    return (pieces(pattern) or [""])[0]


class _Members:
    """Arguments that are written one by one."""

    def __init__(
        self,
        reader: Reader,
        calls: ToolSyntax,
        parameters: Parameters,
        schema: Mapping[str, Any],
    ) -> None:
        self.reader, self.calls, self.parameters = reader, calls, parameters
        self.schema = schema
        self.befores = sorted({f.before for f in parameters.forms.values()}, key=len, reverse=True)

    def read(self) -> Pieces:
        """The object that they make."""
        yield "{"
        count = 0
        while True:
            found = self._next(count)
            if found is PARTIAL and not self.reader.ended:
                yield None
                continue
            if not isinstance(found, tuple):
                break
            match, forms = found
            self.reader.at = match.end
            key = json.dumps(match.slots[KEY], ensure_ascii=False)
            yield f"{', ' if count else ''}{key}: "
            yield from self._value(match.slots[KEY], forms)
            count += 1
        yield "}"

    def _next(self, count: int) -> Any:
        """The next parameter's beginning with the forms it may have; None at the end."""
        text, at, ended = self.reader.text, self.reader.at, self.reader.ended
        tail = match_literal(text, at, self._tail(count), ended=ended)
        if isinstance(tail, Match):
            return None
        separator = self.parameters.separator if count else ""
        results = [
            (match_pattern(text, at, separator + before, (), ended=ended), before)
            for before in self.befores
        ]
        if tail is PARTIAL or any(result is PARTIAL for result, _ in results):
            return PARTIAL
        for result, before in results:
            if isinstance(result, Match):
                forms = {k: f for k, f in self.parameters.forms.items() if f.before == before}
                return result, forms
        return None

    def _tail(self, count: int) -> str:
        """The literal behind the last parameter."""
        empty = "" if count else self.calls.empty
        return _first(empty + (self.calls.tail if self.calls.tail.strip() else self.calls.close))

    def _value(self, key: str, forms: dict[str, Form]) -> Pieces:
        types = types_of(property_schema(self.schema, key), self.schema)
        string = forms.get("string")
        codecs = {form.codec for form in forms.values()}
        if string and string.codec is Codec.RAW and (types == {"string"} or len(forms) == 1):
            yield from self._raw_string(string)
        elif Codec.NESTED in codecs and types & {"object", "array"}:
            yield from self._nested(key, forms, types)
        else:
            form = next(iter(forms.values()))
            text = yield from self._up_to(form) if form.after.strip() else self._balanced()
            yield self._converted(text, forms, types)

    def _converted(self, text: str, forms: dict[str, Form], types: frozenset[str]) -> str:
        string = forms["string"].codec if "string" in forms else None
        codecs = {form.codec for form in forms.values()} - {Codec.NESTED}
        for codec in sorted(codecs, key=lambda c: c is Codec.RAW):
            if string in (None, codec) or "string" not in types:
                found = to_json(text, codec, types, self.parameters.quote)
                if found is not None:
                    return found
        if string is Codec.RAW:
            return json.dumps(text, ensure_ascii=False)
        raise BrokenCallError(f"a value is not of its type: {text[:80]!r}")

    # -- values that end with a marker --------------------------------------------------------

    def _raw_string(self, form: Form) -> Pieces:
        """A string as it is, emitted while it is written."""
        yield '"'
        while True:
            text, done = self._more(form)
            if text:
                yield json.dumps(text, ensure_ascii=False)[1:-1]
            if done:
                break
            yield None
        yield '"'

    def _up_to(self, form: Form) -> Whole:
        """The text of a value, as a whole."""
        found = []
        while True:
            text, done = self._more(form)
            found.append(text)
            if done:
                return "".join(found)
            yield None

    def _more(self, form: Form) -> tuple[str, bool]:
        """More of a value, and whether its marker has come; leaves the reader behind that."""
        reader, after = self.reader, form.after
        core = _first(after.strip())
        space = after[: len(after) - len(after.lstrip())]
        at = reader.at
        while True:
            at = self._core_at(core, at)
            result = self._ends(after, at) if at < len(reader.text) else PARTIAL
            if isinstance(result, Match):
                text = reader.text[reader.at : at]
                reader.at = result.end
                return (text.removesuffix(space) if space else text), True
            if result is PARTIAL:
                break
            at += 1
        if reader.ended:
            raise BrokenCallError("a value does not end")
        end = max(reader.at, at - len(space)) if space else at
        text = reader.text[reader.at : end]
        reader.at = end
        return text, False

    def _core_at(self, core: str, start: int) -> int:
        """Where the marker stands, or may begin at the end of what has arrived."""
        text = self.reader.text
        at = text.find(core[0], start)
        while at >= 0:
            if core.startswith(text[at : at + len(core)]):
                return at
            at = text.find(core[0], at + 1)
        return len(text)

    def _ends(self, after: str, at: int) -> Result:
        """Whether a value ends at ``at``: its marker is there, and what follows may follow it."""
        reader = self.reader
        found = match_pattern(reader.text, at, after.strip(), (), ended=reader.ended)
        if not isinstance(found, Match):
            return found
        follows = [self._tail(1), *(self.parameters.separator + b for b in self.befores)]
        follows = [_first(f.strip()) for f in follows]
        results = [
            match_literal(reader.text, found.end, f, ended=reader.ended) for f in follows if f
        ]
        if not results or any(isinstance(r, Match) for r in results):
            return self._spaced(after, found)
        return PARTIAL if PARTIAL in results else None

    def _spaced(self, after: str, found: Match) -> Match:
        """The match with the white space that the template writes behind the marker."""
        trailing = after[len(after.rstrip()) :]
        end = found.end
        for char in trailing:
            if self.reader.text[end : end + 1] == char:
                end += 1
        return Match(end, found.slots)

    # -- values that tell themselves where they end -------------------------------------------

    def _balanced(self) -> Whole:
        """A value up to the next separator or the call's tail, outside quotes and brackets."""
        reader, offset = self.reader, 0
        state = Nesting(self.parameters.quote)
        while True:
            end = state.scan(reader.text[reader.at :], offset, self._stops())
            if end is not None:
                text = reader.text[reader.at : reader.at + end]
                reader.at += end
                return text
            if reader.ended:
                raise BrokenCallError("a value does not end")
            offset = state.scanned
            yield None

    def _stops(self) -> tuple[str, ...]:
        tail = self._tail(1).strip()
        return tuple(t[0] for t in (self.parameters.separator.strip(), tail) if t)

    # -- values in values ---------------------------------------------------------------------

    def _nested(self, key: str, forms: dict[str, Form], types: frozenset[str]) -> Pieces:
        form = next(iter(forms.values()))
        text = yield from self._up_to_named(form, key)
        yield nested_json(text, form, property_schema(self.schema, key), self.schema, types)

    def _up_to_named(self, form: Form, key: str) -> Whole:
        closed = form.after.replace(KEY, key).strip()
        reader = self.reader
        offset = 0
        while True:
            at = reader.text.find(closed, reader.at + offset)
            if at >= 0:
                text = reader.text[reader.at : at]
                reader.at = at + len(closed)
                return text
            if reader.ended:
                raise BrokenCallError("a value does not end")
            offset = max(0, len(reader.text) - reader.at - len(closed))
            yield None
