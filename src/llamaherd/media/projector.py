"""A multimodal projector: what makes embeddings of pictures and sounds for one model."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llamaherd.errors import MediaError, ModelLoadError, UnsupportedError
from llamaherd.media.images import picture_finding
from llamaherd.media.parts import Kind, MediaPart
from llamaherd.media.sounds import LEAST_SAMPLES, SoundError, trusted_sound
from llamaherd.model import Model
from llamaherd.model.gguf_projector import check_projector
from llamaherd.model.memory import physical_cores
from llamaherd.native import bindings as c
from llamaherd.native import logs
from llamaherd.native.media import Bitmap, Chunks, ProjectorHandle, chunk_tokens
from llamaherd.native.openmp import let_team_go
from llamaherd.params import MediaParams

Embeddings = npt.NDArray[np.float32]
Grid = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Segment:
    """A stretch of a picture or sound in a prompt, still to be computed.

    Attributes:
        tokens: of the text around it, which the model was trained with; None: it is none.
        n_tokens: its length in the prompt.
        n_positions: by how much the text behind it goes on.
        whole: every place sees all the others.
        chunk: the native object.
    """

    tokens: list[int] | None
    n_tokens: int
    n_positions: int
    whole: bool
    chunk: c.mtmd_input_chunk_p


class Projector:
    """A loaded projector. One thread at a time, but for :meth:`close`.

    Args:
        model: whose embeddings it makes; the projector holds it.
        path: a GGUF file.

    Attributes:
        kinds: what it reads.

    Raises:
        ModelLoadError: the file is missing, damaged, or made for another model.
    """

    def __init__(
        self, model: Model, path: str | os.PathLike[str], params: MediaParams, n_threads: int | None
    ) -> None:
        self.path, self._params = Path(path).expanduser(), params
        check_projector(self.path)
        self._n_embd = int(c.llama_model_n_embd_inp(model.handle.pointer))
        self._handle = _load(model, self.path, params, n_threads or physical_cores())
        let_team_go()  # it was tried out on this thread
        pointer = self._handle.pointer
        sees, hears = c.mtmd_support_vision(pointer), c.mtmd_support_audio(pointer)
        named: tuple[tuple[Kind, bool], ...] = ("image", sees), ("audio", hears)
        self.kinds = frozenset(kind for kind, able in named if able)
        self._has_grids = bool(c.mtmd_decode_use_mrope(pointer))

    @property
    def size_bytes(self) -> int:
        """Size of its file, which is about what its weights take in memory."""
        return self.path.stat().st_size

    @property
    def most_bytes(self) -> int:
        """Size of the largest file of a picture or sound that is accepted."""
        return self._params.max_media_mib << 20

    def close(self) -> None:
        """Free the projector, once nobody holds it. May be called twice."""
        self._handle.close()

    def held(self) -> AbstractContextManager[None]:
        """Keep it alive while it is used, also if it is closed meanwhile.

        Raises:
            ClosedError: it is closed already.
        """
        return self._handle.held()

    def unpacked(self, part: MediaPart) -> Bitmap:
        """A part's pixels or samples.

        Raises:
            UnsupportedError: the projector does not read this kind.
            MediaError: the part is damaged, too large, or of an unknown format.
        """
        if part.kind not in self.kinds:
            what = "pictures" if part.kind == "image" else "sounds"
            raise UnsupportedError(f"{part.place}: {self.path.name} reads no {what}")
        data = self._trusted(part)
        logs.forget_recent()
        try:
            bitmap = Bitmap(self._handle, data)
        except ValueError:
            said = logs.recent_complaints() or "llama.cpp cannot unpack it"
            raise MediaError(part.place, f"is damaged ({said})", "Write the file anew") from None
        if part.kind == "audio" and bitmap.width < LEAST_SAMPLES:  # libmtmd asserts two
            bitmap.close()
            raise MediaError(part.place, "the sound has no samples", "Give a longer one")
        return bitmap

    def segments(self, part: MediaPart, bitmap: Bitmap) -> tuple[Chunks, list[Segment]]:
        """What the part becomes in a prompt, not computed yet; valid while the chunks live.

        Raises:
            MediaError: it cannot be prepared.
        """
        logs.forget_recent()
        try:
            chunks = Chunks(self._handle, bitmap)
        except ValueError:
            said = logs.recent_complaints() or "llama.cpp gave no reason"
            raise MediaError(part.place, said, "Try another size or length") from None
        return chunks, list(self._segments(chunks))

    def _segments(self, chunks: Chunks) -> Iterator[Segment]:
        for chunk in chunks:
            n = int(c.mtmd_input_chunk_get_n_tokens(chunk))
            whole = bool(c.mtmd_decode_use_non_causal(self._handle.pointer, chunk))
            n_positions = int(c.mtmd_input_chunk_get_n_pos(chunk))
            yield Segment(chunk_tokens(chunk), n, n_positions, whole, chunk)

    def embeddings(self, part: MediaPart, segment: Segment) -> Embeddings:
        """Compute a segment; takes up to seconds. Shape (n_tokens, n_embd).

        Raises:
            MediaError: it failed.
        """
        logs.forget_recent()
        pointer = self._handle.pointer
        failed = c.mtmd_encode_chunk(pointer, segment.chunk)
        let_team_go()
        if failed:
            said = logs.recent_complaints() or "llama.cpp gave no reason"
            raise MediaError(part.place, f"could not be computed ({said})", "Try a smaller one")
        address = ctypes.cast(c.mtmd_get_output_embd(pointer), ctypes.c_void_p).value
        assert address is not None
        native = (ctypes.c_float * (segment.n_tokens * self._n_embd)).from_address(address)
        return np.array(native, dtype=np.float32).reshape(segment.n_tokens, self._n_embd)

    def grid(self, segment: Segment) -> Grid | None:
        """Where the places of a picture stand, counted from its first: shape (4, n_tokens).

        Time, height, width, and a dimension that is not used; None: they follow each other.
        """
        picture = c.mtmd_input_chunk_get_tokens_image(segment.chunk)
        if not self._has_grids or not picture:
            return None
        places = (
            c.mtmd_image_tokens_get_decoder_pos(picture, 0, at) for at in range(segment.n_tokens)
        )
        found: Grid = np.array([(p.t, p.y, p.x, p.z) for p in places], dtype=np.int32).T
        return found

    def _trusted(self, part: MediaPart) -> bytes:
        if part.kind == "image":
            if finding := picture_finding(part.data, self._params.max_image_pixels):
                raise MediaError(part.place, f"the picture {finding}", "Give a PNG or a JPEG")
            return part.data
        try:
            sound = trusted_sound(part.data)
        except SoundError as error:
            raise MediaError(part.place, f"the sound {error}", "Give a WAV or an MP3") from None
        if sound.seconds > self._params.max_audio_s:
            found = f"the sound lasts {sound.seconds:.0f} s, of at most {self._params.max_audio_s}"
            raise MediaError(part.place, found, "Cut it, or raise max_audio_s")
        return sound.data


def _load(model: Model, path: Path, params: MediaParams, n_threads: int) -> ProjectorHandle:
    native = c.mtmd_context_params_default()
    native.use_gpu = params.mmproj_use_gpu
    native.print_timings = False
    native.n_threads = n_threads
    native.image_min_tokens = params.image_min_tokens or -1
    native.image_max_tokens = params.image_max_tokens or -1
    logs.forget_recent()
    try:
        return ProjectorHandle(model.handle, os.fsencode(path), native)
    except ValueError:
        said = logs.recent_complaints() or "llama.cpp refused it without a word"
        remedy = f"Use the mmproj file made for {model.path.name}"
        raise ModelLoadError(path, said, remedy) from None
