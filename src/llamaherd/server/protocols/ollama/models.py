"""Models as Ollama's clients list and inspect them. Pure."""

from __future__ import annotations

from typing import Any

from llamaherd.server.facts import Facts
from llamaherd.server.protocols.ollama.answer import moment

JSON = dict[str, Any]

_CAPABILITIES = ("completion", "tools", "insert", "vision", "audio", "embedding", "thinking")
"""The words that Ollama has; clients compare them as they are."""


def listed(facts: Facts) -> JSON:
    """A model in the list of ``/api/tags``."""
    return {
        "name": facts.name,
        "model": facts.name,
        "modified_at": moment(facts.modified),
        "size": facts.n_bytes,
        "digest": facts.digest,
        "details": details(facts),
    }


def details(facts: Facts) -> JSON:
    """What Ollama says of every model."""
    return {
        "parent_model": "",
        "format": "gguf",
        "family": facts.architecture,
        "families": [facts.architecture],
        "parameter_size": _size(facts.n_params),
        "quantization_level": facts.quantization,
    }


def shown(facts: Facts) -> JSON:
    """What ``/api/show`` tells of a model. Its context is the one that requests share here."""
    return {
        "modelfile": f"# {facts.name}, served by llamaherd",
        "parameters": f"num_ctx {facts.n_ctx}",
        "template": facts.template,
        "details": details(facts),
        "model_info": {
            "general.basename": facts.name,  # what Copilot shows
            **{key: value for key, value in facts.metadata.items() if key.startswith("general.")},
            **{
                key: value
                for key, value in facts.metadata.items()
                if key.startswith(f"{facts.architecture}.")
            },
            "general.parameter_count": facts.n_params,
            f"{facts.architecture}.context_length": facts.n_ctx,
        },
        "capabilities": [name for name in _CAPABILITIES if name in facts.capabilities],
        "modified_at": moment(facts.modified),
    }


def _size(n_params: int) -> str:
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if n_params >= unit:
            return f"{n_params / unit:.1f}{letter}"
    return str(n_params)
