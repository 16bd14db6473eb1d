"""The pictures and sounds of one conversation, on their way from messages to places of a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llamaherd.engine import Span
from llamaherd.errors import ChatTemplateError, MediaError, UnsupportedError
from llamaherd.media import MediaPart, Piece, Reader, has_media, take_media


class MediaPrompt:
    """Takes media out of messages, and puts what was read of them into the prompt.

    Args:
        reader: None: the model was loaded without a projector.

    Attributes:
        messages: the conversation, with a single character in the place of each picture or sound.
        parts: what each such character stands for.

    Raises:
        MediaError: a part is malformed or too large.
        UnsupportedError: there are media and no reader.
    """

    def __init__(self, messages: Any, reader: Reader | None) -> None:
        self.messages = messages
        self._reader = reader
        self.parts: Mapping[str, MediaPart] = {}
        self._pieces: list[Piece] = []
        if not has_media(messages):
            return
        if reader is None:
            raise UnsupportedError(
                "the messages hold pictures or sounds, and the model was loaded without a "
                "projector: pass mmproj=, the file that is published beside such models"
            )
        taken = take_media(messages, reader.projector.most_bytes)
        self.messages, self.parts = taken.messages, taken.parts

    def read(self, rendered: str, n_ctx: int) -> Mapping[str, Sequence[int]]:
        """The ids that each character stands for; computes what is new.

        Raises:
            ChatTemplateError: the template left a picture or sound out, or repeated it.
            RequestError: as :meth:`Reader.read`.
        """
        if self._reader is None or not self.parts:
            return {}
        for marker, part in self.parts.items():
            if (n := rendered.count(marker)) != 1:
                raise ChatTemplateError(
                    f"the model's chat template writes {part.place} {n} times instead of once"
                )
        read = self._reader.read(self.parts.values(), n_ctx)
        self._pieces = [piece for pieces in read for piece in pieces]
        return {
            marker: [token for piece in pieces for token in piece.tokens]
            for marker, pieces in zip(self.parts, read, strict=True)
        }

    def spans(self, tokens: Sequence[int]) -> list[Span]:
        """Where in the prompt which embeddings stand.

        Raises:
            MediaError: nothing follows the last of them.
        """
        begins = {piece.tokens[0]: piece for piece in self._pieces if piece.embeddings is not None}
        if not begins:
            return []
        if tokens[-1] < 0:
            place = list(self.parts.values())[-1].place
            raise MediaError(place, "nothing follows it in the prompt", "Put text behind it")
        return [
            Span(at, piece.embeddings, piece.whole, piece.grid, piece.n_grid_positions)
            for at, token in enumerate(tokens)
            if (piece := begins.get(token)) is not None and piece.embeddings is not None
        ]
