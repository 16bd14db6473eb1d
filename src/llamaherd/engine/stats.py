"""What the engine has done and is doing, as numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PrefixCacheStats:
    """The cells of the context and how often they saved work.

    Attributes:
        n_cells: tokens that fit.
        n_used: tokens that lie in memory, shared ones counted once.
        hits: requests that found a beginning of their prompt.
        misses: requests that found none, by reason: ``cold`` (nothing alike was read), ``evicted``
            (it was, and had to make room), ``other_adapters``, ``not_divisible`` (the model's
            memory cannot be cut back to where the prompts part), ``prompt_logprobs`` (which need
            the whole prompt read), ``not_wanted`` (the request said so).
        evicted: tokens that made room for others.
        snapshots: saved states, and the bytes they take.
    """

    n_cells: int
    n_used: int
    hits: int
    misses: dict[str, int]
    evicted: int
    snapshots: int
    snapshot_bytes: int


@dataclass(frozen=True)
class Stats:
    """An engine at one moment; counters run from its start.

    Attributes:
        running: requests in the batch.
        waiting: requests in the queue.
        finished: requests that ended, by reason.
        steps: calls of llama_decode.
        prompt_tokens: read, those found in memory not included.
        cached_tokens: of prompts, found in memory.
        generated_tokens: drawn.
        preempted: how often a request had to step back for want of memory.
        proposed_tokens: guesses of speculation that were checked.
        accepted_tokens: those of them that came true.
        decode_s: seconds spent in llama_decode and sampling.
        cache: the prefix cache.
    """

    running: int
    waiting: int
    finished: dict[str, int]
    steps: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    preempted: int
    proposed_tokens: int
    accepted_tokens: int
    decode_s: float
    cache: PrefixCacheStats
