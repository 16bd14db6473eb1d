"""Where a value ends that no marker ends: outside its own quotes and brackets."""

from __future__ import annotations


class Nesting:
    """How deep in brackets and quotes a scan is; goes on where it stopped for want of text.

    Args:
        quote: what stands around strings; for the usual two, a backslash escapes.

    Attributes:
        scanned: how far.
    """

    def __init__(self, quote: str) -> None:
        own = quote not in ("", '"', "'")
        self._quotes, self._escapes = ([quote], False) if own else (['"', "'"], True)
        self._depth, self._inside = 0, ""
        self.scanned = 0

    def scan(self, text: str, start: int, stops: tuple[str, ...]) -> int | None:
        """Where one of the characters ``stops`` ends the value; None if it has not come."""
        at: int | None = start
        while at is not None and at < len(text):
            self.scanned = at
            if not self._inside and self._depth == 0 and text[at] in stops:
                return at
            at = self._string_step(text, at) if self._inside else self._step(text, at)
        if at is not None:
            self.scanned = at
        return None

    def _step(self, text: str, at: int) -> int | None:
        """Past one character outside strings; None if more text must come first."""
        for quote in self._quotes:
            if text.startswith(quote, at):
                self._inside = quote
                return at + len(quote)
            if quote.startswith(text[at:]):
                return None
        self._depth += (text[at] in "[{(") - (text[at] in ")}]")
        return at + 1

    def _string_step(self, text: str, at: int) -> int | None:
        if self._escapes and text[at] == "\\":
            return at + 2 if at + 1 < len(text) else None
        if text.startswith(self._inside, at):
            at += len(self._inside)
            self._inside = ""
            return at
        return None if self._inside.startswith(text[at:]) else at + 1
