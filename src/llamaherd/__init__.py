"""llamaherd: the Python runtime for llama.cpp. One loaded GGUF model serves many callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llamaherd.ambient import Ambient
from llamaherd.errors import (
    ChatTemplateError,
    ClosedError,
    ContextCreateError,
    ContextLengthError,
    DecodeError,
    GrammarError,
    InputLengthError,
    LlamaHerdError,
    MediaError,
    ModelLoadError,
    NativeLibraryError,
    OptionError,
    QueueFullError,
    RequestError,
    SavedPromptError,
    ServerError,
    ServerTimeoutError,
    ServerUnreachableError,
    StructuredOutputError,
    UnknownOptionError,
    UnsupportedError,
)
from llamaherd.params import ContextParams, ModelParams, SamplingParams

if TYPE_CHECKING:
    from llamaherd.completion import CompletionStream
    from llamaherd.llama import Llama

__version__ = "0.1.0"

__all__ = [
    "Ambient",
    "ChatTemplateError",
    "ClosedError",
    "CompletionStream",
    "ContextCreateError",
    "ContextLengthError",
    "ContextParams",
    "DecodeError",
    "GrammarError",
    "InputLengthError",
    "Llama",
    "LlamaHerdError",
    "MediaError",
    "ModelLoadError",
    "ModelParams",
    "NativeLibraryError",
    "OptionError",
    "QueueFullError",
    "RequestError",
    "SamplingParams",
    "SavedPromptError",
    "ServerError",
    "ServerTimeoutError",
    "ServerUnreachableError",
    "StructuredOutputError",
    "UnknownOptionError",
    "UnsupportedError",
]


def __getattr__(name: str) -> Any:
    """Llama brings NumPy and Jinja2 with it; whoever only wants an error's name need not wait."""
    if name == "Llama":
        from llamaherd.llama import Llama

        return Llama
    if name == "CompletionStream":
        from llamaherd.completion import CompletionStream

        return CompletionStream
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
