"""Pictures and sounds as pieces of a prompt, each computed once.

What was computed is kept by the content's hash, the least recently used go first. The places of a
piece get negative ids made from that hash: who compares prompts compares contents.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llamaherd.errors import ContextLengthError
from llamaherd.media.parts import MediaPart
from llamaherd.media.projector import Embeddings, Grid, Projector, Segment
from llamaherd.places import ids_of

HASH_BYTES = 12


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a picture or sound, or of the text that the model was trained with around it.

    Attributes:
        tokens: ids for the prompt; negative where ``embeddings`` stand.
        embeddings: shape (len(tokens), n_embd); None for text.
        whole: every place sees all the others.
        grid, n_grid_positions: of a picture in two dimensions, as the engine's ``Span`` has them.
    """

    tokens: list[int]
    embeddings: Embeddings | None = None
    whole: bool = False
    grid: Grid | None = None
    n_grid_positions: int | None = None

    @property
    def n_bytes(self) -> int:
        """Memory of the embeddings."""
        return 0 if self.embeddings is None else self.embeddings.nbytes


class Reader:
    """Reads pictures and sounds by a projector, one at a time. Any thread.

    Args:
        max_bytes: of embeddings that are kept.

    Attributes:
        thread: for coroutines to wait on, so that those with text alone need not.
        n_computed: pictures and sounds that were computed.
        n_reused: those that were found kept.
    """

    def __init__(self, projector: Projector, max_bytes: int) -> None:
        self.projector, self._max_bytes = projector, max_bytes
        self._kept: OrderedDict[bytes, list[Piece]] = OrderedDict()
        self._n_bytes = 0
        self._lock, self._computing = threading.Lock(), threading.Lock()
        self.thread = ThreadPoolExecutor(1, "llamaherd-media")
        self.n_computed = self.n_reused = 0

    def close(self) -> None:
        """Free the projector, once nobody uses it. May be called twice."""
        self.thread.shutdown(wait=False)
        self.projector.close()

    def read(self, parts: Iterable[MediaPart], n_ctx: int) -> list[list[Piece]]:
        """The pieces of each part. Takes seconds for what is new.

        Raises:
            MediaError: a part cannot be read.
            UnsupportedError: the projector does not read such a part.
            ContextLengthError: together they are longer than ``n_ctx``; found before the one
                that is too much is computed.
        """
        found: list[list[Piece]] = []
        n_tokens = 0
        for part in parts:
            found.append(self._read(part, n_tokens, n_ctx))
            n_tokens += sum(len(piece.tokens) for piece in found[-1])
        return found

    def _read(self, part: MediaPart, n_before: int, n_ctx: int) -> list[Piece]:
        name = hashlib.sha256(part.kind.encode() + part.data).digest()
        if (kept := self._found(name)) is not None:
            return kept
        with self._computing, self.projector.held():
            if (kept := self._found(name)) is not None:  # by the one before
                return kept
            pieces = self._computed(name, part, n_before, n_ctx)
            self._keep(name, pieces)
            return pieces

    def _found(self, name: bytes) -> list[Piece] | None:
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None:
                self._kept.move_to_end(name)
                self.n_reused += 1
            return kept

    def _computed(self, name: bytes, part: MediaPart, n_before: int, n_ctx: int) -> list[Piece]:
        with self.projector.unpacked(part) as bitmap:
            chunks, segments = self.projector.segments(part, bitmap)
        with chunks:
            n_tokens = n_before + sum(segment.n_tokens for segment in segments)
            if n_tokens >= n_ctx:
                raise ContextLengthError(n_tokens, n_ctx)
            return [
                self._piece(name, at, part, segment)
                for at, segment in enumerate(segments)
                if segment.n_tokens
            ]

    def _piece(self, name: bytes, at: int, part: MediaPart, segment: Segment) -> Piece:
        if segment.tokens is not None:
            return Piece(segment.tokens)
        content = hashlib.sha256(name + at.to_bytes(4, "big")).digest()[:HASH_BYTES]
        grid = self.projector.grid(segment)
        n_grid_positions = None if grid is None else segment.n_positions
        return Piece(
            ids_of(int.from_bytes(content, "big"), segment.n_tokens, n_grid_positions),
            self.projector.embeddings(part, segment),
            segment.whole,
            grid,
            n_grid_positions,
        )

    def _keep(self, name: bytes, pieces: list[Piece]) -> None:
        with self._lock:
            self.n_computed += 1
            self._kept[name] = pieces
            self._n_bytes += sum(piece.n_bytes for piece in pieces)
            while self._n_bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._n_bytes -= sum(piece.n_bytes for piece in oldest)
