"""llama-server's own endpoints: completion and infill in its native shape, tokens, templates.

Pure. Names and shapes: llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llamaherd.errors import OptionError
from llamaherd.params import CompletionParams, SamplingParams
from llamaherd.server.calls import TextCall
from llamaherd.server.errors import Failure
from llamaherd.server.protocols.fields import Fields
from llamaherd.server.protocols.openai import HARMLESS, REFUSED, model_name, required
from llamaherd.server.protocols.sse import event

JSON = dict[str, Any]

_NOT_HERE = (
    "model", "logits_processor", "priority", "n", "echo", "logprobs", "stream_options",
    "input_extra", "return_tokens",
)  # fmt: skip
_KNOWN = {**CompletionParams.names(), **SamplingParams.names()}
_REFUSED = {
    **REFUSED,
    "n": ((1,), "1: /v1/completions gives several answers"),
    "n_indent": ((0,), "0: ask for stop strings instead"),
}
COMPLETION = Fields(
    known=[name for name in _KNOWN if name not in _NOT_HERE],
    harmless=(*HARMLESS, "t_max_prompt_ms", "return_tokens"),
    refused=_REFUSED,
    own=("model", "prompt", "stream", "response_fields"),
)
INFILL = Fields(
    known=COMPLETION.known,
    harmless=(*COMPLETION.harmless, "n_indent"),
    refused={name: rule for name, rule in _REFUSED.items() if name != "n_indent"},
    own=(*COMPLETION.own, "input_prefix", "input_suffix", "input_extra"),
)


def completion_call(body: JSON) -> TextCall:
    """A body of ``/completion``.

    Raises:
        OptionError: names the field.
    """
    options, unknown = COMPLETION.sort(body)
    prompt = required(body, "prompt")
    if isinstance(prompt, list) and any(isinstance(part, list) for part in prompt):
        raise OptionError("prompt", prompt, "one prompt: /v1/completions takes several")
    if isinstance(prompt, list) and len(prompt) > 1 and all(isinstance(p, str) for p in prompt):
        raise OptionError("prompt", prompt, "one prompt: /v1/completions takes several")
    return TextCall(model_name(body), prompt, None, _with_ids(options), unknown)


def infill_call(body: JSON) -> TextCall:
    """A body of ``/infill``: the text before the gap is ``input_prefix``, then ``prompt``.

    Raises:
        OptionError: names the field.
    """
    options, unknown = INFILL.sort(body)
    before = _text(body, "input_prefix") + _text(body, "prompt", "")
    files = body.get("input_extra") or []
    if not isinstance(files, list):
        raise OptionError("input_extra", files, 'a list of {"filename": ..., "text": ...}')
    options = _with_ids({**options, "input_extra": files})
    return TextCall(model_name(body), before, _text(body, "input_suffix"), options, unknown)


def _with_ids(options: JSON) -> JSON:
    if "seed" in options and options["seed"] == 2**32 - 1:
        options = {**options, "seed": -1}  # llama.cpp's LLAMA_DEFAULT_SEED: a fresh one
    return {**options, "return_tokens": True}


def _text(body: JSON, name: str, default: str | None = None) -> str:
    value = body.get(name)
    value = default if value is None else value
    if not isinstance(value, str):
        raise OptionError(name, value, "a string")
    return value


class Native:
    """Responses in the native shape.

    Args:
        body: of the request.
        defaults: gives the sampling options that it did not name, once there is an answer.
    """

    media_type = "text/event-stream"
    keep_alive = b": keep-alive\n\n"

    def __init__(self, body: JSON, defaults: Callable[[], SamplingParams]) -> None:
        self._body, self._defaults = body, defaults
        self._n_predicted = 0

    def whole(self, response: JSON) -> JSON:
        """A whole response."""
        choice, counts = response["choices"][0], response["usage"]
        found = {
            "index": 0,
            "content": choice["text"],
            "tokens": choice["tokens"] if self._body.get("return_tokens") else [],
            **self._end(choice, response["model"]),
            "tokens_predicted": counts["completion_tokens"],
            "tokens_evaluated": counts["prompt_tokens"],
            "tokens_cached": counts["prompt_tokens_details"]["cached_tokens"],
            "timings": response["timings"],
        }
        if choice["logprobs"] is not None:
            found["completion_probabilities"] = choice["logprobs"]["content"]
        return self._chosen(found)

    def chunk(self, chunk: JSON) -> bytes:
        """The event of a chunk."""
        choice = chunk["choices"][0]
        self._n_predicted += len(choice.get("tokens", ()))
        found: JSON = {
            "index": 0,
            "content": choice["text"],
            "tokens": choice.get("tokens", []),
            "stop": False,
            "id_slot": -1,
            "tokens_predicted": self._n_predicted,
        }
        if choice["logprobs"] is not None:
            found["completion_probabilities"] = choice["logprobs"]["content"]
        found |= {name: chunk[name] for name in ("prompt_progress", "timings") if name in chunk}
        if choice["finish_reason"] is not None:
            timings = chunk["timings"]
            found |= self._end(choice, chunk["model"])
            found["tokens_predicted"] = timings["predicted_n"]
            found["tokens_evaluated"] = timings["cache_n"] + timings["prompt_n"]
            found["tokens_cached"] = timings["cache_n"]
            found = self._chosen(found)
        return event(found)

    def end(self) -> bytes:
        """Nothing: the event with ``stop`` was the last."""
        return b""

    def error(self, failure: Failure) -> bytes:
        """An event with the error."""
        body = error(failure)
        body["error"]["partial_text"] = failure.partial_text
        return event(body)

    def _end(self, choice: JSON, model: str) -> JSON:
        return {
            "id_slot": -1,
            "stop": True,
            "stop_type": _stop_type(choice),
            "stopping_word": choice.get("stopping_word", ""),
            "truncated": False,
            "model": model,
            "prompt": self._body.get("prompt", ""),
            "generation_settings": self._settings,
        }

    @property
    def _settings(self) -> JSON:
        names = SamplingParams.names()
        given = {names[k]: v for k, v in self._body.items() if k in names and v is not None}
        return {**settings(self._defaults()), **given}

    def _chosen(self, found: JSON) -> JSON:
        """``response_fields``: only these, the nested ones by their paths."""
        fields = self._body.get("response_fields")
        if not isinstance(fields, list) or not fields:
            return found
        chosen = {}
        for path in map(str, fields):
            value: Any = found
            for name in path.split("/"):
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None:
                chosen[path] = value
        return chosen


def settings(params: SamplingParams) -> JSON:
    """Sampling options under llama-server's names."""
    found = asdict(params)
    return {**found, "n_predict": -1 if params.max_tokens is None else params.max_tokens}


def _stop_type(choice: JSON) -> str:
    if choice.get("stopping_word"):
        return "word"
    return {"stop": "eos", "length": "limit", "deadline": "limit"}.get(
        choice["finish_reason"], "none"
    )


def error(failure: Failure) -> JSON:
    """llama-server's error object: its ``code`` is the status."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}
    kinds |= {403: "permission_error", 503: "unavailable_error", 429: "exceed_request_rate_error"}
    kind = kinds.get(failure.status)
    kind = kind or ("invalid_request_error" if failure.status < 500 else "server_error")
    return {"error": {"code": failure.status, "message": failure.message, "type": kind}}


def tei_ranking(response: JSON) -> list[JSON]:
    """A ranking as text-embeddings-inference gives it, for requests with ``texts``."""
    return [
        {
            "index": each["index"],
            "score": each["relevance_score"],
            **({"text": each["document"]["text"]} if "document" in each else {}),
        }
        for each in response["results"]
    ]


def pieces(tokens: Sequence[int], texts: Sequence[bytes]) -> list[JSON]:
    """Tokens with their texts; what is no UTF-8 as a list of bytes."""
    return [{"id": token, "piece": _piece(data)} for token, data in zip(tokens, texts, strict=True)]


def _piece(data: bytes) -> str | list[int]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)
