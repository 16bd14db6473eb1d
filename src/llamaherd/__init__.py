"""llamaherd: the Python runtime for llama.cpp. One loaded GGUF model serves many callers."""

from __future__ import annotations

from llamaherd.ambient import Ambient
from llamaherd.completion import CompletionStream
from llamaherd.errors import (
    ChatTemplateError,
    ClosedError,
    ContextCreateError,
    ContextLengthError,
    DecodeError,
    GrammarError,
    LlamaHerdError,
    ModelLoadError,
    NativeLibraryError,
    OptionError,
    RequestError,
    UnknownOptionError,
    UnsupportedError,
)
from llamaherd.llama import Llama
from llamaherd.params import ContextParams, ModelParams, SamplingParams

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
    "Llama",
    "LlamaHerdError",
    "ModelLoadError",
    "ModelParams",
    "NativeLibraryError",
    "OptionError",
    "RequestError",
    "SamplingParams",
    "UnknownOptionError",
    "UnsupportedError",
]
