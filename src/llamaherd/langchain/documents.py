"""The text of documents in messages: of PDF files by pypdf, and plain text."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Any

from llamaherd.errors import OptionError, UnsupportedError


def document_text(place: str, source: Mapping[str, Any]) -> str:
    """The text of a document, under its name if it has one.

    Args:
        source: ``text``, or ``data`` (base64) with its ``mime_type``; ``name``.

    Raises:
        OptionError: data that is no document; an address, which is fetched for nobody.
        UnsupportedError: a PDF without text, or pypdf is not installed.
    """
    text = source.get("text")
    if text is None:
        text = _decoded(place, source)
    name = source.get("name")
    return f"[{name}]\n{text}" if name else str(text)


def _decoded(place: str, source: Mapping[str, Any]) -> str:
    if source.get("data") is None:
        raise OptionError(place, source.get("url"), "base64 data: files are not fetched")
    mime_type = str(source.get("mime_type") or "application/pdf")
    try:
        data = base64.b64decode(source["data"], validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise OptionError(place, "data", f"base64: {error}") from None
    if mime_type == "application/pdf":
        return _pdf_text(place, data)
    if mime_type.startswith("text/") or mime_type in ("application/json", "application/xml"):
        return data.decode("utf-8", "replace")
    raise OptionError(place, mime_type, "application/pdf or text/*")


def _pdf_text(place: str, data: bytes) -> str:
    try:
        import pypdf
        import pypdf.errors
    except ImportError:
        raise UnsupportedError("reading PDF files takes pypdf: pip install pypdf") from None
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise OptionError(place, "data", f"a PDF file: {error}") from error
    text = "\n\n".join(page.strip() for page in pages if page.strip())
    if not text:
        raise UnsupportedError(
            f"{place} is a PDF without text: its pages are pictures; send those as images"
        )
    return text
