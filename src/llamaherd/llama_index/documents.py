"""The text of a document block."""

from __future__ import annotations

import importlib
from typing import IO, Any

from llama_index.core.base.llms.types import DocumentBlock

from llamaherd.errors import UnsupportedError


def document_text(block: DocumentBlock) -> str:
    """What it says: of a PDF its text, of anything else its bytes as UTF-8.

    Raises:
        UnsupportedError: an address, which is not fetched; a PDF without pypdf installed or without
            text; bytes that are not text.
    """
    if block.url is not None:
        raise UnsupportedError(f"a document by address ({block.url}): pass its bytes, or a path")
    data: Any = block.resolve_document()
    if block.document_mimetype == "application/pdf" or data.read(5) == b"%PDF-":
        return _pdf_text(block, data)
    data.seek(0)
    try:
        return str(data.read().decode("utf-8"))
    except UnicodeDecodeError:
        kind = block.document_mimetype or "unknown"
        raise UnsupportedError(
            f"the document {block.title!r} of type {kind} is not text: expected text or a PDF"
        ) from None


def _pdf_text(block: DocumentBlock, data: IO[bytes]) -> str:
    try:
        pypdf = importlib.import_module("pypdf")
    except ImportError:
        raise UnsupportedError(
            f"the document {block.title!r} is a PDF: pip install pypdf to read it"
        ) from None
    data.seek(0)
    pages = [page.extract_text() for page in pypdf.PdfReader(data).pages]
    text = "\n\n".join(page for page in pages if page.strip())
    if not text:
        raise UnsupportedError(f"the PDF {block.title!r} has no text (scanned pages?)")
    return text
