"""LangChain's classes for GGUF models (extra ``langchain``).

They have the names and fields of langchain-community's, and run in process or, with ``base_url``,
on a llamaherd server. ``docs/langchain.md`` is the guide, ``docs/migration.md`` says what changed.
"""

from __future__ import annotations

try:
    import langchain_core  # noqa: F401
except ModuleNotFoundError as error:
    remedy = "llamaherd.langchain needs LangChain: pip install 'llamaherd[langchain]'"
    raise ModuleNotFoundError(remedy, name=error.name) from error

from llamaherd.langchain.chat import ChatLlamaCpp
from llamaherd.langchain.completion import LlamaCpp
from llamaherd.langchain.embeddings import LlamaCppEmbeddings
from llamaherd.langchain.registry import register
from llamaherd.langchain.reranker import LlamaCppReranker

__all__ = ["ChatLlamaCpp", "LlamaCpp", "LlamaCppEmbeddings", "LlamaCppReranker"]

register(ChatLlamaCpp, LlamaCpp)
