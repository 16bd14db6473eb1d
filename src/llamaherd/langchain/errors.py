"""Errors that are llamaherd's and LangChain's at once, so that handlers of either catch them.

==================================================  ==============================================
llamaherd                                           LangChain
==================================================  ==============================================
ContextLengthError, InputLengthError                ContextOverflowError
OptionError, UnknownOptionError, GrammarError, ...  ModelInvalidRequestError
QueueFullError                                      ModelRateLimitError
ModelLoadError                                      ModelNotFoundError
ServerUnreachableError                              ModelConnectionError
ServerTimeoutError                                  ModelTimeoutError
ServerError                                         by its status: 401, 403, 404, 429, other
any other                                           ModelAPIError
==================================================  ==============================================
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from llamaherd.errors import (
    ContextLengthError,
    InputLengthError,
    LlamaHerdError,
    ModelLoadError,
    QueueFullError,
    RequestError,
    ServerError,
    ServerTimeoutError,
    ServerUnreachableError,
)

_KINDS: tuple[tuple[type[LlamaHerdError], type[ModelError]], ...] = (
    (ContextLengthError, ContextOverflowError),
    (InputLengthError, ContextOverflowError),
    (QueueFullError, ModelRateLimitError),
    (RequestError, ModelInvalidRequestError),
    (ModelLoadError, ModelNotFoundError),
    (ServerUnreachableError, ModelConnectionError),
    (ServerTimeoutError, ModelTimeoutError),
    (LlamaHerdError, ModelAPIError),
)
_BY_STATUS: dict[int, type[ModelError]] = {
    400: ModelInvalidRequestError,
    401: ModelAuthenticationError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    422: ModelInvalidRequestError,
    429: ModelRateLimitError,
}


class ModelPathError(ModelLoadError, ValueError):
    """A model's file cannot be used; begins as langchain-community's ValueError did."""

    def __init__(self, found: ModelLoadError) -> None:
        super().__init__(found.path, found.finding, found.remedy)
        self.args = (f"Could not load Llama model from path: {found}",)


@contextmanager
def as_langchain() -> Iterator[None]:
    """Let errors of llamaherd be LangChain's kinds as well."""
    try:
        yield
    except LlamaHerdError as error:
        if not isinstance(error, ModelError):
            # The same object: its message, attributes and traceback stay.
            error.__class__ = _both(type(error), _kind(error))  # type: ignore[arg-type]
        raise


def _kind(error: LlamaHerdError) -> type[ModelError]:
    if type(error) is ServerError:
        return _BY_STATUS.get(error.status or 0, ModelAPIError)
    return next(kind for ours, kind in _KINDS if isinstance(error, ours))


@functools.cache
def _both(ours: type[LlamaHerdError], theirs: type[ModelError]) -> type[LlamaHerdError]:
    return type(ours.__name__, (ours, theirs), {"__module__": ours.__module__})
