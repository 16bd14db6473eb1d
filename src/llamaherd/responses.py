"""OpenAI-shaped dictionaries from token events. Pure.

Shapes: OpenAI's API reference for (chat) completions, legacy log-probabilities included;
``timings`` as llama-server writes it; rankings as Jina and llama-server do.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llamaherd.embed import Embedded, Scores, Vector
from llamaherd.engine import FinishEvent, ProgressEvent, Standing, TokenLogprob
from llamaherd.params import RerankParams

JSON = dict[str, Any]


@dataclass(frozen=True)
class Envelope:
    """What all chunks of one response share."""

    id: str
    created: int
    model: str
    fingerprint: str

    def wrap(self, kind: str, choices: list[JSON], **more: Any) -> JSON:
        """A response or chunk of that ``object`` kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
            **more,
        }


def usage(finishes: Sequence[FinishEvent], n: int = 1, n_reasoning: int = 0) -> JSON:
    """Token counts of a response; a prompt counts once however many choices share it.

    Args:
        finishes: of all choices, the ``n`` of the first prompt first.
        n_reasoning: tokens of thoughts among the generated ones.
    """
    prompt = sum(f.n_prompt for f in finishes[::n])
    generated = sum(f.n_generated for f in finishes)
    counts: JSON = {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": sum(f.n_cached for f in finishes[::n])},
    }
    if n_reasoning:
        counts["completion_tokens_details"] = {"reasoning_tokens": n_reasoning}
    return counts


def timings(finish: FinishEvent | Standing) -> JSON:
    """Counts, milliseconds and rates of one choice, under llama-server's names."""
    times = finish.timings
    started = times.ended if times.started is None else times.started
    first = times.ended if times.first_token is None else times.first_token
    read = finish.n_prompt - finish.n_cached if times.first_token is not None else 0
    prompt_ms, predicted_ms = 1e3 * (first - started), 1e3 * (times.ended - first)
    return {
        "queued_ms": 1e3 * (started - times.queued),
        "cache_n": finish.n_cached,
        **_rates("prompt", read, prompt_ms),
        **_rates("predicted", finish.n_generated, predicted_ms),
    }


def prompt_progress(event: ProgressEvent) -> JSON:
    """How much of a prompt was read, under llama-server's names."""
    return {
        "total": event.n_prompt,
        "cache": event.n_cached,
        "processed": event.n_read,
        "time_ms": 1e3 * event.seconds,
    }


def _rates(name: str, count: int, ms: float) -> JSON:
    return {
        f"{name}_n": count,
        f"{name}_ms": ms,
        f"{name}_per_token_ms": ms / count if count else 0.0,
        f"{name}_per_second": 1e3 * count / ms if ms > 0 else 0.0,
    }


TokenText = Callable[[int], bytes]


class TextShape:
    """Choices of the completions API."""

    whole = chunk = "text_completion"

    def opening(self, index: int) -> JSON | None:
        """A chunk's choice before any text; there is none here."""
        return None

    def delta(self, index: int, delta: JSON, logprobs: JSON | None, finish: str | None) -> JSON:
        """A piece of a choice, or a whole one."""
        text = delta.get("text", "")
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}

    message = delta


class ChatShape:
    """Choices of the chat completions API."""

    whole, chunk = "chat.completion", "chat.completion.chunk"

    def opening(self, index: int) -> JSON | None:
        """The first chunk's choice, which names the role."""
        return self.delta(index, {"role": "assistant", "content": ""}, None, None)

    def delta(self, index: int, delta: JSON, logprobs: JSON | None, finish: str | None) -> JSON:
        """A piece of a choice."""
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    def message(self, index: int, message: JSON, logprobs: JSON | None, finish: str | None) -> JSON:
        """A whole choice."""
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


class TextAnswer:
    """An answer of the completions API: all of it is text.

    Like :class:`llamaherd.chat_answer.ChatAnswer`, which also finds thoughts and calls.
    """

    notes: Sequence[str] = ()
    n_reasoning = 0
    called = False

    def __init__(self) -> None:
        self._texts: list[str] = []

    def feed(self, text: str, n_tokens: int) -> JSON | None:
        """The delta that more text makes."""
        self._texts.append(text)
        return {"text": text}

    def finish(self) -> JSON | None:
        """The last delta, once no more text comes: nothing was held back."""
        return None

    @property
    def message(self) -> JSON:
        """The whole answer."""
        return {"text": "".join(self._texts)}


class TextPosition:
    """How far into a text its tokens have come, in characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at = 0

    def advance(self, data: bytes) -> int:
        """Where the token of these bytes begins; a character belongs to the token that ends it."""
        begin = self._at
        self._at += len(self._decoder.decode(data))
        return begin


def legacy_logprobs(
    found: Sequence[TokenLogprob | None],
    tokens: Sequence[int],
    token_bytes: TokenText,
    position: TextPosition,
) -> JSON:
    """The completions API's ``logprobs``: four lists of one entry a token.

    Args:
        found: for each of ``tokens``; None for a first prompt token, which has none.
        position: of the first token; moved behind the last.
    """
    data = [token_bytes(token) for token in tokens]
    return {
        "tokens": [_readable(piece) for piece in data],
        "token_logprobs": [None if f is None else f.logprob for f in found],
        "top_logprobs": [None if f is None else _top_by_text(f, token_bytes) for f in found],
        "text_offset": [position.advance(piece) for piece in data],
    }


def _top_by_text(found: TokenLogprob, token_bytes: TokenText) -> dict[str, float]:
    """The likeliest tokens, and as OpenAI has it the one that was drawn, if it is none of them."""
    top: dict[str, float] = {}
    drawn = [(found.token, found.logprob)] if found.top else []
    for token, logprob in [*found.top, *drawn]:
        top.setdefault(_readable(token_bytes(token)), logprob)  # the likelier of two spellings
    return top


def chat_logprobs(found: Sequence[TokenLogprob], token_bytes: TokenText) -> JSON:
    """The chat API's ``logprobs``: one object a token, with its bytes."""
    return {
        "content": [
            {
                **_chat_logprob(entry.token, entry.logprob, token_bytes),
                "top_logprobs": [_chat_logprob(t, lp, token_bytes) for t, lp in entry.top],
            }
            for entry in found
        ],
        "refusal": None,
    }


def _chat_logprob(token: int, logprob: float, token_bytes: TokenText) -> JSON:
    data = token_bytes(token)
    return {"id": token, "token": _readable(data), "logprob": logprob, "bytes": list(data)}


def _readable(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def embeddings(embedded: Embedded, model: str, encoding: str) -> JSON:
    """OpenAI's list of embeddings.

    Args:
        encoding: "float" for lists of numbers, "base64" for their 32-bit little-endian bytes.
    """
    encode = _base64 if encoding == "base64" else _numbers
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)}
        for index, vector in enumerate(embedded.vectors)
    ]
    counts = _read_only_usage(embedded.n_tokens)
    return {"object": "list", "data": data, "model": model, "usage": counts}


def _numbers(vector: Vector) -> Any:
    return vector.tolist()


def _base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def ranking(scores: Scores, model: str, params: RerankParams) -> JSON:
    """Jina's and llama-server's list of results, best first; ties keep their order."""
    order = sorted(range(len(scores.values)), key=lambda at: -scores.values[at])
    results: list[JSON] = [
        {"index": at, "relevance_score": scores.values[at]} for at in order[: params.top_n]
    ]
    if params.return_documents:
        for result in results:
            result["document"] = {"text": scores.documents[result["index"]]}
    counts = _read_only_usage(scores.n_tokens)
    return {"object": "list", "results": results, "model": model, "usage": counts}


def _read_only_usage(n_tokens: int) -> JSON:
    return {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
