"""Text that arrives in pieces, and a place in it."""

from __future__ import annotations

from collections.abc import Sequence


class Reader:
    """What has arrived and is not yet used up.

    Attributes:
        text: what has arrived since the last piece was used up.
        at: where reading goes on.
        space: white space at ``at`` that is held back, since a marker may follow.
        ended: no more comes.
    """

    def __init__(self) -> None:
        self.text, self.at, self.ended = "", 0, False
        self.space = ""
        self._kept: list[str] | None = None  # what was read since a mark and is gone from text
        self._kept_from = 0

    def feed(self, text: str) -> None:
        """More text."""
        if self._kept is not None:
            self._kept.append(self.text[self._kept_from : self.at])
            self._kept_from = 0
        self.text, self.at = self.text[self.at :] + text, 0

    @property
    def done(self) -> bool:
        """Whether all is read."""
        return self.ended and self.at >= len(self.text)

    @property
    def content_at(self) -> int:
        """Behind the white space that is held back."""
        return self.at + len(self.space)

    def skip_space(self) -> int:
        """Where the next character is that is no white space; does not move."""
        at = self.at
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        return at

    def find(self, literals: Sequence[str]) -> int:
        """Where the first of ``literals`` is, or may begin at the end of what has arrived."""
        found = [self._find(literal) for literal in literals]
        return min(found, default=len(self.text))

    def _find(self, literal: str) -> int:
        first = literal[0]
        at = self.text.find(first, self.content_at)
        while at >= 0:
            if self._may_be(literal, at):
                return at
            at = self.text.find(first, at + 1)
        return len(self.text)

    def _may_be(self, literal: str, at: int) -> bool:
        """Whether ``literal`` stands at ``at``, or its beginning at the end; spacing aside."""
        word = literal.split(None, 1)[0]
        piece = self.text[at : at + len(word)]
        return word.startswith(piece) if len(piece) < len(word) else piece == word

    def take(self, end: int) -> str:
        """The text up to ``end``; white space at its end is held back for next time."""
        taken = self.text[self.at : max(end, self.content_at)]
        said = taken.rstrip()
        self.at += len(said)
        self.space = taken[len(said) :]
        return said

    def take_space(self) -> str:
        """The white space that was held back."""
        space, self.space = self.space, ""
        self.at += len(space)
        return space

    def mark(self) -> None:
        """Keep what is read from here on, until it is clear that it is no text."""
        self._kept, self._kept_from = [], self.at

    def since_mark(self) -> str:
        """All that was read since the mark; it is kept no longer."""
        found = "".join(self._kept or []) + self.text[self._kept_from : self.at]
        self._kept = None
        return found
