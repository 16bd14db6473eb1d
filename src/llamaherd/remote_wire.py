"""What goes over the line to a llamaherd server: bodies, server-sent events, errors."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from llamaherd.errors import (
    ContextLengthError,
    LlamaHerdError,
    MediaError,
    OptionError,
    QueueFullError,
    RequestError,
    ServerError,
    ServerTimeoutError,
    ServerUnreachableError,
    UnknownOptionError,
)
from llamaherd.structured import Structured

JSON = dict[str, Any]


# -- bodies -----------------------------------------------------------------------------------


def portable_messages(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Messages as JSON can hold them: bytes and files of pictures and sounds as base64.

    Raises:
        MediaError: a file cannot be read.
    """
    return [_portable_message(f"messages[{i}]", message) for i, message in enumerate(messages)]


def _portable_message(place: str, message: Any) -> Any:
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, (list, tuple)):
        return message
    parts = [_portable(f"{place}.content[{i}]", part) for i, part in enumerate(content)]
    return {**message, "content": parts}


def _portable(place: str, part: Any) -> Any:
    kind = part.get("type") if isinstance(part, Mapping) else None
    given = part.get(kind) if kind in ("image", "audio") else None
    if isinstance(given, Path):
        given = _read(place, given)
    if not isinstance(given, (bytes, bytearray, memoryview)):
        return part
    data = base64.b64encode(given).decode()
    if kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _read(place: str, path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise MediaError(place, f"{path}: {error.strerror}", "Name a readable file") from None


def portable_format(given: Any) -> Any:
    """A response format as JSON can hold it.

    Raises:
        OptionError: a type without a JSON schema.
    """
    if not isinstance(given, type):
        return given
    schema = {"name": given.__name__, "schema": Structured(given).schema}
    return {"type": "json_schema", "json_schema": schema}


# -- server-sent events -----------------------------------------------------------------------


def chunks(response: httpx.Response) -> Iterator[JSON]:
    with network_errors(str(response.url)):
        for line in response.iter_lines():
            chunk = _chunk(line)
            if chunk is not None:
                yield chunk


async def achunks(response: httpx.Response) -> AsyncIterator[JSON]:
    with network_errors(str(response.url)):
        async for line in response.aiter_lines():
            chunk = _chunk(line)
            if chunk is not None:
                yield chunk


def _chunk(line: str) -> JSON | None:
    """The chunk of a line; comments and the end mark are none.

    Raises:
        LlamaHerdError: the line tells of an error.
    """
    if not line.startswith("data: ") or line == "data: [DONE]":
        return None
    chunk: JSON = json.loads(line[6:])
    if "error" in chunk:
        raise _rebuilt(None, chunk["error"])
    return chunk


# -- errors -----------------------------------------------------------------------------------

_BY_CODE: dict[str, type[LlamaHerdError]] = {
    "context_length_exceeded": ContextLengthError,
    "rate_limit_exceeded": QueueFullError,
    "unknown_parameter": UnknownOptionError,
    "invalid_value": OptionError,
    "exceed_context_size_error": ContextLengthError,  # a type, on llama-server's own paths
}


def error_of(response: httpx.Response) -> LlamaHerdError:
    """The error that a response tells of."""
    try:
        said = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        said = {"message": f"{response.status_code} {response.reason_phrase}"}
    said = said if isinstance(said, Mapping) else {"message": str(said)}
    return _rebuilt(response.status_code, said)


def _rebuilt(status: int | None, said: Mapping[str, Any]) -> LlamaHerdError:
    """An exception as it was on the server; what only HTTP knows is a ServerError."""
    message = str(said.get("message"))
    kind = _BY_CODE.get(str(said.get("code"))) or _BY_CODE.get(str(said.get("type")))
    kind = kind or (RequestError if status in (400, 422) else ServerError)
    error = kind.__new__(kind)  # its own arguments stayed on the server; the message is here
    error.args = (message,)
    error.partial_text = str(said.get("partial_text") or "")
    if isinstance(error, (OptionError, UnknownOptionError)):
        error.option = str(said.get("param"))
    if isinstance(error, ServerError):
        error.status = status
    return error


@contextlib.contextmanager
def network_errors(address: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise ServerTimeoutError(None, f"{address} did not answer in time: {error}") from error
    except httpx.TransportError as error:
        raise ServerUnreachableError(None, f"{address} cannot be reached: {error}") from error
