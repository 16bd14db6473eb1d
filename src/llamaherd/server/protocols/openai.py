"""OpenAI's chat completions, completions, embeddings and models, with llama-server's extensions.

Pure. Field names and shapes: OpenAI's API reference, llama-server's README.
"""

from __future__ import annotations

from typing import Any

from llamaherd.errors import OptionError
from llamaherd.params import (
    ChatParams,
    CompletionParams,
    EmbeddingResponseParams,
    RerankParams,
    SamplingParams,
)
from llamaherd.server.calls import ChatCall, TextCall
from llamaherd.server.errors import Failure
from llamaherd.server.protocols.fields import Fields
from llamaherd.server.protocols.sse import event

JSON = dict[str, Any]

HARMLESS = (
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "prompt_cache_options", "prediction", "id_slot", "reasoning_summary",
)  # fmt: skip
_NOT_FOR_CLIENTS = ("model", "logits_processor", "priority")

REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "best_of": ((1,), "1: ask for n answers and choose"),
    "post_sampling_probs": ((False,), "false: probabilities are the model's own"),
    "n_keep": ((0, -1), "nothing: contexts are not shifted"),
    "n_discard": ((0,), "nothing: contexts are not shifted"),
    "logits_processor": ((), "nothing: it is for Python"),
    "priority": ((0,), "nothing: the server does not let clients overtake each other"),
    "reasoning_format": (("auto", "deepseek"), "'auto': thoughts come as reasoning_content"),
}
_REFUSED_IN_CHAT: dict[str, tuple[tuple[Any, ...], str]] = {
    **REFUSED,
    "functions": (([],), "tools instead: functions are their old name"),
    "function_call": (("none",), "tool_choice instead"),
    "modalities": ((["text"],), "['text']: answers are text"),
    "audio": ((), "nothing: answers are text"),
    "web_search_options": ((), "nothing: the server does not search the web"),
    "verbosity": (("medium",), "'medium': models are asked for brevity in words"),
    "moderation": ((), "nothing: answers are not moderated"),
}

CHAT = Fields(
    known=[
        n for n in {**ChatParams.names(), **SamplingParams.names()} if n not in _NOT_FOR_CLIENTS
    ],
    harmless=HARMLESS,
    refused=_REFUSED_IN_CHAT,
    own=("model", "messages", "stream"),
)
TEXT = Fields(
    known=[
        n
        for n in {**CompletionParams.names(), **SamplingParams.names()}
        if n not in _NOT_FOR_CLIENTS
    ],
    harmless=HARMLESS,
    refused=REFUSED,
    own=("model", "prompt", "suffix", "stream"),
)

EMBEDDING = Fields(
    known=[n for n in EmbeddingResponseParams.names() if n not in _NOT_FOR_CLIENTS],
    harmless=HARMLESS,
    own=("model", "input"),
)
RERANK = Fields(
    known=[*(n for n in RerankParams.names() if n not in _NOT_FOR_CLIENTS), "return_text"],
    harmless=(*HARMLESS, "raw_scores"),
    own=("model", "query", "documents", "texts"),
)


def chat_call(body: JSON) -> ChatCall:
    """A body of ``/v1/chat/completions``.

    Raises:
        OptionError: names the field.
    """
    options, unknown = CHAT.sort(body)
    return ChatCall(model_name(body), required(body, "messages"), _plain(options), unknown)


def text_call(body: JSON) -> TextCall:
    """A body of ``/v1/completions``.

    Raises:
        OptionError: names the field.
    """
    options, unknown = TEXT.sort(body)
    suffix = body.get("suffix")
    if suffix is not None and not isinstance(suffix, str):
        raise OptionError("suffix", suffix, "a string")
    prompt = required(body, "prompt")
    return TextCall(model_name(body), prompt, suffix or None, _plain(options), unknown)


def embedding_call(body: JSON) -> tuple[Any, JSON, list[str]]:
    """A body of ``/v1/embeddings``: the input, options, and fields that nobody knows.

    Raises:
        OptionError: names the field.
    """
    options, unknown = EMBEDDING.sort(body)
    return required(body, "input"), options, unknown


def rerank_call(body: JSON) -> tuple[Any, Any, JSON, list[str]]:
    """A body of ``/v1/rerank``: query, documents, options, and fields that nobody knows.

    Raises:
        OptionError: names the field.
    """
    options, unknown = RERANK.sort(body)
    name = "texts" if body.get("documents") is None and "texts" in body else "documents"
    documents = required(body, name)
    if not isinstance(documents, list):
        raise OptionError(name, documents, "a list of texts")
    if "return_text" in options:  # text-embeddings-inference's name
        options["return_documents"] = options.pop("return_text")
    found = [each.get("text") if isinstance(each, dict) else each for each in documents]
    return required(body, "query"), found, options, unknown


def wants_stream(body: JSON) -> bool:
    """The field ``stream``.

    Raises:
        OptionError: it is no boolean.
    """
    value = body.get("stream")
    if value is not None and not isinstance(value, bool):
        raise OptionError("stream", value, "true or false")
    return bool(value)


def model_name(body: JSON) -> str | None:
    """The field ``model``; an empty one is none.

    Raises:
        OptionError: it is no string.
    """
    name = body.get("model")
    if name is not None and not isinstance(name, str):
        raise OptionError("model", name, "a string")
    return name or None


def required(body: JSON, name: str) -> Any:
    """A field that must be there.

    Raises:
        OptionError: it is not.
    """
    if body.get(name) is None:
        raise OptionError(name, None, f"a value: the request needs the field {name!r}")
    return body[name]


def whole(response: JSON) -> JSON:
    """A whole response is what ``Llama`` gives."""
    return response


class Events:
    """The stream of both completions APIs: chunks as server-sent events, then ``[DONE]``."""

    media_type = "text/event-stream"
    keep_alive = b": keep-alive\n\n"

    def chunk(self, chunk: JSON) -> bytes:
        """One event."""
        return event(chunk)

    def end(self) -> bytes:
        """The mark that all OpenAI clients look for."""
        return b"data: [DONE]\n\n"

    def error(self, failure: Failure) -> bytes:
        """An event that clients raise as an error, with the text that the answer had."""
        body = error(failure)
        body["error"]["partial_text"] = failure.partial_text
        return event(body)


def error(failure: Failure) -> JSON:
    """OpenAI's error object."""
    return {
        "error": {
            "message": failure.message,
            "type": _error_type(failure.status),
            "param": failure.param,
            "code": failure.code,
        }
    }


def _error_type(status: int) -> str:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    if status in kinds:
        return kinds[status]
    return "invalid_request_error" if status < 500 else "server_error"


def _plain(options: JSON) -> JSON:
    """Options in the shapes of ``Llama``."""
    streaming = options.get("stream_options")
    if isinstance(streaming, dict):  # obfuscation pads chunks against eavesdroppers on the wire
        kept = {k: v for k, v in streaming.items() if k != "include_obfuscation" and v is not None}
        options = {**options, "stream_options": kept}
    bias = options.get("logit_bias")
    if isinstance(bias, dict):
        options = {**options, "logit_bias": {_token_id(key): bias[key] for key in bias}}
    return options


def _token_id(key: Any) -> Any:
    """JSON's keys are strings."""
    return int(key) if isinstance(key, str) and key.isascii() and key.isdigit() else key
