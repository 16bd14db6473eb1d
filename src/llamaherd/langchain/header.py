"""What a model's file says of itself, read without loading it."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from langchain_core.language_models.model_profile import ModelProfile

from llamaherd.chat import ChatFormat
from llamaherd.errors import LlamaHerdError, ModelLoadError
from llamaherd.langchain.errors import ModelPathError
from llamaherd.model.gguf import GGUFFile, read_gguf
from llamaherd.model.source import model_file

TEMPLATE_KEY = "tokenizer.chat_template"


def header(model: str) -> GGUFFile:
    """The checked header of a model's file; each file is read once, until it changes.

    Raises:
        ModelPathError: it is missing, or no GGUF file.
    """
    path = model_file(model)
    try:
        status = path.stat() if path.is_file() else None
        return _header(path, status and (status.st_size, status.st_mtime_ns))
    except ModelLoadError as error:
        raise ModelPathError(error) from error


@functools.lru_cache(maxsize=32)
def _header(path: Path, _stamp: object) -> GGUFFile:
    return read_gguf(path)


def profile(model: str, n_ctx: int | None, mmproj: str | None) -> ModelProfile:
    """What LangChain wants to know of a model before it is asked anything.

    Args:
        n_ctx: the size of the context, if the user chose one.
        mmproj: the file that lets it see or hear.
    """
    file = header(model)
    trained = file.integer(f"{file.architecture}.context_length")
    found: ModelProfile = {
        **remote_profile(),
        **_senses(mmproj),
        **_abilities(_templates(file)),
        "open_weights": True,
    }
    if name := file.text("general.name"):
        found["name"] = name
    if n_ctx or trained:
        found["max_input_tokens"] = n_ctx or trained or 0
    return found


def remote_profile() -> ModelProfile:
    """What holds of every model: answers are masked by a grammar, so a schema always holds."""
    return {
        "text_inputs": True,
        "text_outputs": True,
        "pdf_inputs": True,
        "pdf_tool_message": True,
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "structured_output": True,
        "temperature": True,
    }


def _senses(mmproj: str | None) -> ModelProfile:
    projector = header(mmproj) if mmproj else None
    sees = bool(projector and projector.metadata.get("clip.has_vision_encoder"))
    hears = bool(projector and projector.metadata.get("clip.has_audio_encoder"))
    return {
        "image_inputs": sees,
        "image_tool_message": sees,
        "audio_inputs": hears,
        "video_inputs": False,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
    }


def _templates(file: GGUFFile) -> tuple[tuple[str, str], ...]:
    """Names and sources."""
    keys = [key for key in file.metadata if key.startswith(TEMPLATE_KEY)]
    return tuple((key[len(TEMPLATE_KEY) + 1 :] or "default", file.text(key) or "") for key in keys)


@functools.lru_cache(maxsize=32)
def _abilities(templates: tuple[tuple[str, str], ...]) -> ModelProfile:
    """What chat templates can write; a broken one nothing."""
    try:
        known = ChatFormat(dict(templates), now=time.time).capabilities
    except LlamaHerdError:
        known = frozenset()
    calls = "tools" in known
    return {
        "tool_calling": calls,
        "tool_choice": calls,
        "tool_call_streaming": calls,
        "reasoning_output": "thinking" in known,
    }
