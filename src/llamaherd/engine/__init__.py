"""Requests in, token events out: one worker thread owns the llama_context.

``scheduler`` decides what the next step does and is pure, like ``sequences`` and ``prefix_cache``
below it; ``runner``, ``sampler`` and ``mtp`` are the only ones that call llama.cpp; ``worker`` ties
them together on one thread, and ``engine`` is how other threads talk to it.
"""

from llamaherd.engine.engine import Ask, Engine
from llamaherd.engine.proposers import MTP, proposer_for
from llamaherd.engine.request import (
    AdapterKey,
    Event,
    FinishEvent,
    ProgressEvent,
    PromptEvent,
    Request,
    Span,
    Standing,
    StateEvent,
    Timings,
    TokenEvent,
    TokenLogprob,
)
from llamaherd.engine.sampler import TokenSampler
from llamaherd.engine.snapshots import Snapshot
from llamaherd.engine.stats import PrefixCacheStats, Stats
from llamaherd.engine.stream import AsyncTokenStream, TokenStream

__all__ = [
    "MTP",
    "AdapterKey",
    "Ask",
    "AsyncTokenStream",
    "Engine",
    "Event",
    "FinishEvent",
    "PrefixCacheStats",
    "ProgressEvent",
    "PromptEvent",
    "Request",
    "Snapshot",
    "Span",
    "Standing",
    "StateEvent",
    "Stats",
    "Timings",
    "TokenEvent",
    "TokenLogprob",
    "TokenSampler",
    "TokenStream",
    "proposer_for",
]
