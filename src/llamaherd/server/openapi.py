"""What each path takes, for /openapi.json: made from the declarations in ``params.py``.

Bodies are checked once, where the options are; these schemas only describe them.
"""

from __future__ import annotations

import typing
from collections.abc import Collection
from dataclasses import MISSING, Field, fields
from typing import Any

from pydantic import TypeAdapter

from llamaherd.declared import Params
from llamaherd.params import (
    ChatParams,
    CompletionParams,
    EmbeddingResponseParams,
    RerankParams,
    SamplingParams,
)
from llamaherd.server.protocols import llama_server, openai

JSON = dict[str, Any]

MODEL: JSON = {"type": "string", "description": "name or alias of a model; default: the first"}
STREAM: JSON = {"type": "boolean", "default": False, "description": "answer in pieces (SSE)"}
TEXT: JSON = {"type": "string"}
TOKENS: JSON = {"type": "array", "items": {"type": "integer"}}
PROMPT: JSON = {
    "anyOf": [TEXT, TOKENS, {"type": "array", "items": {"anyOf": [TEXT, TOKENS]}}],
    "description": "text, token ids, or a list of these",
}
MESSAGES: JSON = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
            "content": {
                "anyOf": [TEXT, {"type": "null"}, {"type": "array", "items": {"type": "object"}}]
            },
        },
    },
}
FILES: JSON = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["text"],
        "properties": {"filename": TEXT, "text": TEXT},
    },
}


def body_of(known: Collection[str], *kinds: type[Params], required: list[str], **own: Any) -> JSON:
    """The description of a JSON body: fields of ``kinds`` that are ``known``, and its own."""
    properties = {
        spec.name: _schema(kind, spec)
        for kind in kinds
        for spec in fields(kind)
        if spec.name in known
    }
    schema = {
        "type": "object",
        "required": required,
        "properties": {**own, **properties},
        "additionalProperties": True,
    }
    content = {"application/json": {"schema": schema}}
    errors = {
        "4XX": {"description": "The request is at fault; the message says how, and what to do."},
        "5XX": {"description": "The server is at fault, or too busy."},
    }
    return {"requestBody": {"required": True, "content": content}, "responses": errors}


def _schema(kind: type[Params], spec: Field[Any]) -> JSON:
    """One field: its type, meaning, default and range."""
    schema = TypeAdapter(typing.get_type_hints(kind)[spec.name]).json_schema()
    schema["description"] = spec.metadata["doc"]
    default = spec.default if spec.default_factory is MISSING else spec.default_factory()
    if default is not None:
        schema["default"] = default
    bounds = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum"}
    limits = {bounds[b]: spec.metadata[b] for b in bounds if spec.metadata[b] is not None}
    choices = spec.metadata["choices"]
    for part in schema.get("anyOf", [schema]):
        if part.get("type") in ("integer", "number"):
            part.update(limits)
        elif choices is not None and part.get("type") == "string":
            part["enum"] = list(choices)
    return schema


CHAT = body_of(
    openai.CHAT.known, ChatParams, SamplingParams,
    required=["messages"], model=MODEL, messages=MESSAGES, stream=STREAM,
)  # fmt: skip
COMPLETION = body_of(
    openai.TEXT.known, CompletionParams, SamplingParams,
    required=["prompt"], model=MODEL, prompt=PROMPT, suffix=TEXT, stream=STREAM,
)  # fmt: skip
EMBEDDING = body_of(
    openai.EMBEDDING.known, EmbeddingResponseParams,
    required=["input"], model=MODEL, input=PROMPT,
)  # fmt: skip
RERANK = body_of(
    openai.RERANK.known, RerankParams,
    required=["query", "documents"], model=MODEL, query=TEXT,
    documents={"type": "array", "items": TEXT},
)  # fmt: skip
NATIVE_COMPLETION = body_of(
    llama_server.COMPLETION.known, CompletionParams, SamplingParams,
    required=["prompt"], model=MODEL, prompt=PROMPT, stream=STREAM,
)  # fmt: skip
INFILL = body_of(
    llama_server.INFILL.known, CompletionParams, SamplingParams,
    required=["input_prefix", "input_suffix"], model=MODEL, stream=STREAM, input_prefix=TEXT,
    input_suffix=TEXT, prompt=TEXT, input_extra=FILES,
)  # fmt: skip
TOKENIZE = body_of(
    (), required=["content"], model=MODEL, content=TEXT, add_special={"type": "boolean"},
    parse_special={"type": "boolean"}, with_pieces={"type": "boolean"},
)  # fmt: skip
DETOKENIZE = body_of((), required=["tokens"], model=MODEL, tokens=TOKENS)
