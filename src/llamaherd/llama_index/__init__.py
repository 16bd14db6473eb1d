"""LlamaIndex on the shared engine: pip install "llamaherd[llama-index]"."""

from __future__ import annotations

from llamaherd.llama_index.embedding import LlamaCppEmbedding
from llamaherd.llama_index.llm import LlamaCppLLM
from llamaherd.llama_index.rerank import LlamaCppRerank

__all__ = ["LlamaCppEmbedding", "LlamaCppLLM", "LlamaCppRerank"]
