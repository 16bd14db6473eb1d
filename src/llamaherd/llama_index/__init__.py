"""LlamaIndex on the shared engine (extra ``llama-index``); the guide is ``docs/llama_index.md``."""

from __future__ import annotations

try:
    import llama_index.core  # noqa: F401
except ModuleNotFoundError as error:
    remedy = "llamaherd.llama_index needs LlamaIndex: pip install 'llamaherd[llama-index]'"
    raise ModuleNotFoundError(remedy, name=error.name) from error

from llamaherd.llama_index.embedding import LlamaCppEmbedding
from llamaherd.llama_index.llm import LlamaCppLLM
from llamaherd.llama_index.rerank import LlamaCppRerank

__all__ = ["LlamaCppEmbedding", "LlamaCppLLM", "LlamaCppRerank"]
