"""What a request passes before any route sees it: host, key, size, numbers, and the access log."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamaherd.server.access_log import KEY, Record
from llamaherd.server.errors import Refused, failure_of
from llamaherd.server.keys import Keys
from llamaherd.server.routes.family import Family, renderer_for
from llamaherd.server.service import reply
from llamaherd.server.settings import ServerParams, is_loopback

OPEN_PATHS = ("/health", "/v1/health")
"""Paths that need no key: whoever watches the server may not have one."""


class Gate:
    """An ASGI middleware.

    Args:
        on_end: told of every request when it has ended.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        params: ServerParams,
        keys: Keys,
        families: Sequence[Family],
        on_end: Callable[[Record, Scope], None],
    ) -> None:
        self._app, self._params, self._families, self._on_end = app, params, families, on_end
        self._keys = keys
        self._running: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        record = Record(os.urandom(8).hex(), _address(scope), scope["method"], scope["path"])
        scope[KEY] = record
        sender = _Sender(send, record)
        try:
            self._check(scope, headers, record)
            await self._counted(scope, self._bounded(headers, receive), sender)
        except Refused as refused:
            await self._refuse(refused, scope, receive, sender)
        finally:
            sender.note_end()
            self._on_end(record, scope)
            record.write()

    def _check(self, scope: Scope, headers: dict[bytes, bytes], record: Record) -> None:
        if scope["path"] in OPEN_PATHS:
            return
        name = self._keys.check(headers)
        if name is not None:
            record.client = name
            return
        self._check_host(headers)
        self._check_origin(headers)

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """A web page whose name was made to point to this machine must not get in."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_here(_hostname(f"//{host}")):
            raise Refused(
                403,
                f"without API keys the server answers to loopback names only, and not to {host!r}: "
                "add it to allowed_hosts",
            )

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        """A page of another site could send requests, though not read the answers."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if (
            origin
            and origin not in self._params.cors_origins
            and not self._is_here(_hostname(origin))
        ):
            raise Refused(
                403, f"requests of web pages from {origin!r} are refused: see cors_origins"
            )

    def _is_here(self, host: str | None) -> bool:
        return host is not None and (is_loopback(host) or host in self._params.allowed_hosts)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a request beside no more than the limits allow."""
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        client, running, params = scope[KEY].client, self._running, self._params
        if running[client] >= params.max_requests_per_key:
            raise Refused(
                429,
                f"{client} has {running[client]} requests running or waiting, of at most "
                f"{params.max_requests_per_key}: try again when one has ended",
                code="rate_limit_exceeded",
            )
        if running.total() >= params.max_requests:
            raise Refused(
                503, f"{params.max_requests} requests run or wait already", code="overloaded"
            )
        running[client] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            running[client] -= 1
            if not running[client]:
                del running[client]

    def _bounded(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """``receive`` for a body of bounded size that arrives in bounded time."""
        most = int(self._params.max_body_mib * 2**20)
        too_large = Refused(
            413, f"the body is larger than {self._params.max_body_mib:g} MiB (max_body_mib)"
        )
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(415, "compressed bodies are not read: send it as it is")
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > most:
            raise too_large
        deadline = time.monotonic() + self._params.body_timeout_s
        n_bytes, complete = 0, False

        async def bounded() -> Message:
            nonlocal n_bytes, complete
            if complete:
                return await receive()
            try:
                # not asyncio.wait_for, which may swallow a cancellation (bpo-37658)
                with anyio.fail_after(max(0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, "the body did not arrive in time (body_timeout_s)") from None
            n_bytes += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if n_bytes > most:
                raise too_large
            return message

        return bounded

    async def _refuse(self, refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        failure = failure_of(refused)
        render = renderer_for(scope["path"], self._families)
        headers = {**failure.headers, "connection": "close"}  # of its body nothing may be read
        await reply(render(failure), headers, failure.status)(scope, receive, send)


class _Sender:
    """Sends on, and notes what is sent."""

    def __init__(self, send: Send, record: Record) -> None:
        self._send, self._record, self._begin = send, record, time.monotonic()

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        if message["type"] == "http.response.start":
            self._record.status = message["status"]
            self._record.first_byte_ms = self._elapsed_ms
            named = (b"x-request-id", self._record.id.encode())
            message = {**message, "headers": [*message.get("headers", ()), named]}
        self._record.bytes_sent += len(message.get("body", b""))
        await self._send(message)

    def note_end(self) -> None:
        """The response is over."""
        self._record.ms = self._elapsed_ms

    @property
    def _elapsed_ms(self) -> float:
        return round(1e3 * (time.monotonic() - self._begin), 2)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
