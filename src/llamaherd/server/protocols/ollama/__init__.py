"""Ollama's API, as its official clients and VS Code's Copilot speak it. Pure."""

from llamaherd.server.protocols.ollama.answer import (
    Lines,
    error,
    message,
    moment,
    response,
    whole,
)
from llamaherd.server.protocols.ollama.models import details, listed, shown
from llamaherd.server.protocols.ollama.request import (
    chat_call,
    embed_options,
    generate_call,
    model_name,
    only_loads,
    wants_stream,
)

__all__ = [
    "Lines",
    "chat_call",
    "details",
    "embed_options",
    "error",
    "generate_call",
    "listed",
    "message",
    "model_name",
    "moment",
    "only_loads",
    "response",
    "shown",
    "wants_stream",
    "whole",
]
