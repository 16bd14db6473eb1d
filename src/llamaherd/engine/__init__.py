"""Requests in, token events out: one worker thread owns the llama_context.

``request`` and ``scheduler`` are pure (what is asked, what to do next), ``runner`` and ``sampler``
are the only ones that call llama.cpp, ``engine`` is the loop that ties them together.
"""

from llamaherd.engine.engine import Engine
from llamaherd.engine.request import (
    FinishEvent,
    PromptEvent,
    Request,
    Timings,
    TokenEvent,
    TokenLogprob,
)
from llamaherd.engine.sampler import TokenSampler
from llamaherd.engine.stream import AsyncTokenStream, TokenStream

__all__ = [
    "AsyncTokenStream",
    "Engine",
    "FinishEvent",
    "PromptEvent",
    "Request",
    "Timings",
    "TokenEvent",
    "TokenLogprob",
    "TokenSampler",
    "TokenStream",
]
