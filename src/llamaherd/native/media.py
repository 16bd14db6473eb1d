"""Owners of libmtmd's objects: projectors, unpacked pictures and sounds, chunks of a prompt."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from llamaherd.native import bindings as c
from llamaherd.native.handles import Handle, ModelHandle, PartOfModel

NO_PROGRAMS = b"/dev/null"
"""Where ffmpeg is not: libmtmd would run it on any bytes that it does not know."""


class ProjectorHandle(PartOfModel):
    """An ``mtmd_context``. Encoding is for one thread at a time.

    Raises:
        ValueError: llama.cpp refused the file; what it said is in the log.
    """

    def __init__(self, model: ModelHandle, path: bytes, params: c.mtmd_context_params) -> None:
        super().__init__(model)
        self._owned = c.mtmd_init_from_file(path, model.pointer, params)
        if not self._owned:
            self.close()
            raise ValueError("mtmd_init_from_file returned NULL")

    def _free(self, owned: Any) -> None:
        c.mtmd_free(owned)
        self._let_go()


class Bitmap(Handle):
    """A picture or sound, unpacked by libmtmd.

    Raises:
        ValueError: it could not; what it said is in the log.
    """

    def __init__(self, projector: ProjectorHandle, data: bytes) -> None:
        options = c.mtmd_helper_init_opt_default()
        options.video_params.ffmpeg_bin_dir = NO_PROGRAMS
        buffer = ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_ubyte))
        made = c.mtmd_helper_bitmap_init_from_buf(
            projector.pointer, buffer, len(data), False, options
        )
        if not made.bitmap:
            raise ValueError("mtmd_helper_bitmap_init_from_buf returned NULL")
        self._owned = made.bitmap

    @property
    def width(self) -> int:
        """Pixels in a row, or samples of a sound."""
        return int(c.mtmd_bitmap_get_nx(self.pointer))

    def _free(self, owned: Any) -> None:
        c.mtmd_bitmap_free(owned)


class Chunks(Handle):
    """What a picture or sound becomes in a prompt: ``mtmd_input_chunks``, of text and of media.

    Raises:
        ValueError: libmtmd could not prepare it; what it said is in the log.
    """

    def __init__(self, projector: ProjectorHandle, bitmap: Bitmap) -> None:
        self._owned = c.mtmd_input_chunks_init()
        part = c.mtmd_input_part(None, bitmap.pointer)
        parts = (ctypes.POINTER(c.mtmd_input_part) * 1)(ctypes.pointer(part))
        code = c.mtmd_tokenize_from_parts(projector.pointer, self._owned, parts, 1, False)
        if code:
            self.close()
            raise ValueError(f"mtmd_tokenize_from_parts returned {code}")

    def __iter__(self) -> Iterator[Any]:
        """The chunks in order; they live as long as this object."""
        for at in range(c.mtmd_input_chunks_size(self.pointer)):
            yield c.mtmd_input_chunks_get(self.pointer, at)

    def _free(self, owned: Any) -> None:
        c.mtmd_input_chunks_free(owned)


def chunk_tokens(chunk: Any) -> list[int] | None:
    """The token ids of a chunk of text; None: it is one of media."""
    if c.mtmd_input_chunk_get_type(chunk) != c.MTMD_INPUT_CHUNK_TYPE_TEXT:
        return None
    n = ctypes.c_size_t()
    tokens = c.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(n))
    return [int(tokens[at]) for at in range(n.value)]
