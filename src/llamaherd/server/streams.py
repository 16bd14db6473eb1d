"""A response that comes in pieces, with everything that can go wrong on its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import anyio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from llamaherd.server.errors import Failure, Refused, failure_of

JSON = dict[str, Any]
_T = TypeVar("_T")

SHUTTING_DOWN = Refused(
    503, "the server is shutting down: the answer was cut off", code="shutting_down"
)


class Encoder(Protocol):
    """Writes a stream down in a protocol's way. One for each response.

    Attributes:
        media_type: of the whole.
        keep_alive: bytes that clients ignore; empty where the format has none.
    """

    media_type: str
    keep_alive: bytes

    def chunk(self, chunk: JSON) -> bytes:
        """The bytes that a chunk of OpenAI's chat (or completions) API becomes; maybe none."""

    def end(self) -> bytes:
        """What comes after the last chunk."""

    def error(self, failure: Failure) -> bytes:
        """What ends a stream that broke off."""


class Stoppable(Protocol):
    """An answer that can be stopped from outside."""

    def stop(self) -> None:
        """End it now, and tell the client so."""


class EventStream(Response):
    """Sends chunks as they come.

    A client that leaves cancels the answer within a step. Silence is broken by comments. An error
    after the first byte becomes an error event. ``on_end`` is called once, however it ends.

    Args:
        limit_s: seconds after which a client that does not read is given up.
    """

    def __init__(
        self,
        chunks: AsyncIterator[JSON],
        encoder: Encoder,
        *,
        keep_alive_s: float,
        limit_s: float,
        headers: Mapping[str, str],
        on_chunk: Callable[[JSON], None],
        on_end: Callable[[], None],
        running: set[Stoppable],
    ) -> None:
        self._chunks, self._encoder = chunks, encoder
        self._on_chunk, self._on_end = on_chunk, on_end
        self._keep_alive_s, self._limit_s, self._running = keep_alive_s, limit_s, running
        self._sending, self._stopped = anyio.CancelScope(), False
        self._last_sent = 0.0
        self.status_code, self.background = 200, None
        self.media_type = encoder.media_type
        self.body = b""
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **headers})
        del self.headers["content-length"]

    def stop(self) -> None:
        """End it now, with an event that says why."""
        self._stopped = True
        self._sending.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        self._running.add(self)
        try:
            with anyio.move_on_after(self._limit_s):
                await self._run(receive, send)
        finally:
            self._running.discard(self)
            close = getattr(self._chunks, "aclose", None)
            try:
                if close is not None:
                    with anyio.CancelScope(shield=True):
                        await close()
            finally:
                self._on_end()

    async def _run(self, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope.cancel)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            group.start_soon(self._break_silence, send)
            await self._send_all(send)
            group.cancel_scope.cancel()

    async def _send_all(self, send: Send) -> None:
        encoder = self._encoder
        with self._sending:
            try:
                async for chunk in self._chunks:
                    self._on_chunk(chunk)
                    if data := encoder.chunk(chunk):
                        await self._send(send, data)
                last = encoder.end()
            except Exception as error:
                last = encoder.error(failure_of(error))
        if self._stopped:
            last = encoder.error(failure_of(SHUTTING_DOWN))
        await send(_body(last, more=False))

    async def _break_silence(self, send: Send) -> None:
        while self._encoder.keep_alive:
            await asyncio.sleep(self._keep_alive_s)
            if time.monotonic() - self._last_sent >= self._keep_alive_s:
                await self._send(send, self._encoder.keep_alive)

    async def _send(self, send: Send, data: bytes) -> None:
        self._last_sent = time.monotonic()
        await send(_body(data, more=True))


class ClientGone(Exception):  # noqa: N818
    """Nobody waits for the answer any more."""


async def while_connected(receive: Receive, work: Awaitable[_T]) -> _T:
    """The result of ``work``, which is cancelled when the client leaves.

    Raises:
        ClientGone: it left.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_until_gone(receive, lambda: None))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise ClientGone
    finally:
        doing.cancel()
        leaving.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _until_gone(receive: Receive, then: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    then()


def _body(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
