"""Pictures and sounds in prompts, by llama.cpp's libmtmd.

``parts`` finds them in messages, ``images`` and ``sounds`` check what strangers sent before native
code sees it, ``projector`` turns them into embeddings, and ``reader`` remembers those.
"""

from llamaherd.media.parts import MediaPart, Taken, has_media, take_media
from llamaherd.media.projector import Projector
from llamaherd.media.reader import Piece, Reader

__all__ = ["MediaPart", "Piece", "Projector", "Reader", "Taken", "has_media", "take_media"]
