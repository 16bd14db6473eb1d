"""What went wrong as an HTTP status, and in the shape of each protocol.

Routes raise: errors of llamaherd as they come, or a :class:`Refused`. The application turns either
into a :class:`Failure` and has the protocol of the path write it down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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

JSON = dict[str, Any]
logger = logging.getLogger("llamaherd.server")

STATUS: dict[type[LlamaHerdError], int] = {
    LlamaHerdError: 500,
    NativeLibraryError: 500,
    ModelLoadError: 500,
    SavedPromptError: 500,
    ContextCreateError: 500,
    RequestError: 400,
    OptionError: 400,
    UnknownOptionError: 400,
    ContextLengthError: 400,
    InputLengthError: 400,
    MediaError: 400,
    UnsupportedError: 400,
    ChatTemplateError: 400,
    GrammarError: 400,
    StructuredOutputError: 500,
    QueueFullError: 429,
    DecodeError: 500,
    ServerError: 502,
    ServerUnreachableError: 502,
    ServerTimeoutError: 504,
    ClosedError: 503,
}
"""Every exception of llamaherd; a test looks whether one is missing."""

RETRY_AFTER_S = 1


class Refused(Exception):  # noqa: N818 - "Refused" says what happened
    """A request that HTTP itself has a status for.

    Args:
        status: of HTTP.
        message: what is wrong, and what to do.
        param: the field at fault.
        code: a word that programs can look for.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        self.status, self.message, self.param, self.code = status, message, param, code
        super().__init__(message)


@dataclass(frozen=True)
class Failure:
    """What a client is told.

    Attributes:
        status: of HTTP.
        message: for people.
        param: the field at fault, if it is one.
        code: for programs.
        partial_text: of an answer that broke off.
    """

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    partial_text: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What belongs into the response's headers."""
        if self.status in (429, 503):
            return {"retry-after": str(RETRY_AFTER_S)}
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}


Renderer = Callable[[Failure], JSON]
"""Writes a failure down as a protocol's clients expect it."""


def failure_of(error: BaseException) -> Failure:
    """What to tell a client about an exception; what is our own fault is logged and not told."""
    if isinstance(error, Refused):
        return Failure(error.status, error.message, error.param, error.code)
    if isinstance(error, LlamaHerdError):
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        if status >= 500:
            logger.error("%s: %s", type(error).__name__, error)
        param = getattr(error, "option", None)
        return Failure(status, str(error), param, _code(error), error.partial_text)
    logger.error("a request failed", exc_info=error)
    return Failure(500, "internal error; the server's log says more", code="internal_error")


def _code(error: LlamaHerdError) -> str | None:
    if isinstance(error, (ContextLengthError, InputLengthError)):
        return "context_length_exceeded"
    if isinstance(error, QueueFullError):
        return "rate_limit_exceeded"
    if isinstance(error, UnknownOptionError):
        return "unknown_parameter"
    return "invalid_value" if isinstance(error, OptionError) else None
