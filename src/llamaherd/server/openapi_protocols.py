"""What Anthropic's, the Responses API's and Ollama's paths take, for /openapi.json."""

from __future__ import annotations

from typing import Any

from llamaherd.params import SamplingParams
from llamaherd.server.openapi import MODEL, PROMPT, TEXT, body_of
from llamaherd.server.protocols.anthropic.request import FIELDS as ANTHROPIC
from llamaherd.server.protocols.ollama.request import OPTIONS
from llamaherd.server.protocols.responses.request import FIELDS as RESPONSES

JSON = dict[str, Any]

FLAG: JSON = {"type": "boolean"}
COUNT: JSON = {"type": "integer", "minimum": 1}
OBJECT: JSON = {"type": "object"}
TEXTS: JSON = {"type": "array", "items": TEXT}
TOOLS: JSON = {"type": "array", "items": OBJECT}


def _turns(*roles: str) -> JSON:
    """Messages whose content is a text or a list of blocks."""
    content = {"anyOf": [TEXT, {"type": "array", "items": OBJECT}]}
    properties = {"role": {"enum": list(roles)}, "content": content}
    required = ["role", "content"]
    each = {"type": "object", "required": required, "properties": properties}
    return {"type": "array", "minItems": 1, "items": each}


_ANTHROPIC: JSON = {
    "model": TEXT,
    "messages": _turns("user", "assistant", "system"),
    "system": {"anyOf": [TEXT, {"type": "array", "items": OBJECT}]},
    "tools": TOOLS,
    "tool_choice": OBJECT,
    "thinking": OBJECT,
    "output_config": OBJECT,
}
MESSAGES = body_of(
    ANTHROPIC.known, SamplingParams, required=["model", "messages", "max_tokens"],
    max_tokens=COUNT, stop_sequences=TEXTS, stream=FLAG, **_ANTHROPIC,
)  # fmt: skip
COUNT_TOKENS = body_of((), required=["model", "messages"], **_ANTHROPIC)

_INPUT: JSON = {
    "model": MODEL,
    "input": {"anyOf": [TEXT, {"type": "array", "minItems": 1, "items": OBJECT}]},
    "instructions": TEXT,
    "previous_response_id": TEXT,
    "tools": TOOLS,
    "tool_choice": {"anyOf": [{"enum": ["auto", "none", "required"]}, OBJECT]},
    "reasoning": OBJECT,
    "text": OBJECT,
}
RESPONSE = body_of(
    RESPONSES.known, SamplingParams, required=["input"], max_output_tokens=COUNT,
    parallel_tool_calls=FLAG, include=TEXTS, store=FLAG, stream=FLAG, **_INPUT,
)  # fmt: skip
INPUT_TOKENS = body_of((), required=["input"], **_INPUT)

_OPTIONS: JSON = body_of(OPTIONS.known, SamplingParams, required=[], num_predict=COUNT)
_OLLAMA: JSON = {
    "model": TEXT,
    "stream": {"type": "boolean", "default": True},
    "format": {"anyOf": [{"enum": ["json"]}, OBJECT]},
    "options": _OPTIONS["requestBody"]["content"]["application/json"]["schema"],
    "think": {"anyOf": [FLAG, {"enum": ["low", "medium", "high"]}]},
    "keep_alive": {"anyOf": [TEXT, {"type": "number"}]},
    "logprobs": FLAG,
    "top_logprobs": {"type": "integer", "minimum": 0},
}
OLLAMA_CHAT = body_of(
    (), required=["model", "messages"], messages=_turns("system", "user", "assistant", "tool"),
    tools=TOOLS, **_OLLAMA,
)  # fmt: skip
OLLAMA_GENERATE = body_of(
    (), required=["model"], prompt=TEXT, suffix=TEXT, system=TEXT, raw=FLAG, images=TEXTS, **_OLLAMA
)
OLLAMA_SHOW = body_of((), required=["model"], model=TEXT)
OLLAMA_EMBED = body_of(
    (), required=["model", "input"], model=TEXT, input=PROMPT, truncate=FLAG, dimensions=COUNT
)
OLLAMA_EMBEDDINGS = body_of((), required=["model", "prompt"], model=TEXT, prompt=TEXT)
