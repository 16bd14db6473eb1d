"""Token ids to text, one token at a time, in time linear in the length of the text."""

from __future__ import annotations

import codecs

from llamaherd.model.vocab import Vocab


class IncrementalDetokenizer:
    """Turns a stream of tokens into a stream of whole characters.

    Bytes of an unfinished character are held back until the rest arrives; bytes that can never
    become a character are replaced by U+FFFD. One instance a stream, one thread.

    Args:
        vocab: of the model that drew the tokens.
        shown: control tokens to be spelled out; the others are empty.
    """

    def __init__(self, vocab: Vocab, *, shown: frozenset[int] = frozenset()) -> None:
        self._vocab, self._shown = vocab, shown
        self._unfinished = b""  # the first bytes of a character

    def feed(self, token: int) -> str:
        """The characters that ``token`` completes, possibly none."""
        piece = self._vocab.token_bytes(token, special=token in self._shown)
        data = self._unfinished + piece if self._unfinished else piece
        text, n_read = codecs.utf_8_decode(data, "replace")
        self._unfinished = data[n_read:]
        return text

    @property
    def is_inside_character(self) -> bool:
        """Whether bytes of an unfinished character are held back."""
        return bool(self._unfinished)

    def finish(self) -> str:
        """What is left at the end: U+FFFD for a character that never ended, else nothing."""
        data, self._unfinished = self._unfinished, b""
        return data.decode("utf-8", "replace")
