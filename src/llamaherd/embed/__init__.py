"""Texts to embeddings and scores: one worker thread owns contexts of its own.

``packing`` and ``pooling`` are pure (which texts share a batch, what becomes of their vectors),
``runner`` is the only one that decodes, ``embedder`` is the thread, ``inputs`` and ``pairs`` make
token ids of what callers give, ``embeddings`` puts them together.
"""

from llamaherd.embed.embeddings import Embedded, Embeddings, Pending, Scores
from llamaherd.embed.inputs import Text
from llamaherd.embed.pooling import Vector

__all__ = ["Embedded", "Embeddings", "Pending", "Scores", "Text", "Vector"]
