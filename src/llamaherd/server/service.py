"""What routes use: models, limits, and answers as responses.

A route reads the body, has its protocol translate it, calls the service, and returns what it gets:

    @router.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        body = await read_json(request)
        call = openai.chat_call(body)              # protocols/: pure
        return await service_of(request).chat(
            request,
            call,
            encoder=openai.Encoder(...) if body.get("stream") else None,
            whole=openai.whole,                    # OpenAI's response -> the protocol's
        )

What a route raises becomes a response in the protocol's shape: errors of llamaherd, and
:class:`~llamaherd.server.errors.Refused` for what only HTTP knows (``server/errors.py``). The shape
is that of the :class:`~llamaherd.server.routes.Family` whose prefix the path has.

The service takes a lease of the model, gives it back when the response has been sent, cancels the
answer when the client leaves, and notes in the access log what was asked for and given.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from llamaherd.completion import AsyncCompletionStream
from llamaherd.errors import OptionError
from llamaherd.server.calls import ChatCall, TextCall
from llamaherd.server.errors import Refused
from llamaherd.server.models import Lease, Models
from llamaherd.server.protocols.responses import KeptResponses
from llamaherd.server.settings import Settings
from llamaherd.server.streams import Encoder, EventStream, Stoppable, while_connected

logger = logging.getLogger("llamaherd.server")
JSON = dict[str, Any]
Whole = Callable[[JSON], JSON]
BIG_BODY = 1 << 18
"""Bytes of JSON from which on it is read on a thread, so that the event loop goes on."""


class Service:
    """The models, and how requests run on them. On the event loop.

    Attributes:
        models: by name.
        params: the server's.
        running: streams and answers that are being made.
        kept: responses that later ones may go on from.
    """

    def __init__(
        self, settings: Settings, *, on_failure: Callable[[BaseException], None] | None = None
    ) -> None:
        self.params, self._on_failure = settings.server, on_failure
        memory = self.params.memory_gib
        self.models = Models(
            settings.models,
            default=self.params.default_model,
            memory_bytes=None if memory is None else int(memory * 2**30),
        )
        self.running: set[Stoppable] = set()
        self.kept = KeptResponses()
        self.preloading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Service:
        self.preloading = asyncio.ensure_future(self._preload())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self.preloading is not None
        self.preloading.cancel()
        self.stop_all()
        await self.models.close()

    async def _preload(self) -> None:
        try:
            await self.models.preload()
        except Exception as error:
            logger.error("a model cannot be loaded: %s", error)
            if self._on_failure is not None:
                self._on_failure(error)

    async def chat(
        self, request: Request, call: ChatCall, *, encoder: Encoder | None, whole: Whole
    ) -> Response:
        """Answer a conversation.

        Args:
            encoder: for a stream; None for a whole response.
            whole: makes the body of a whole response from OpenAI's.
        """

        async def start(lease: Lease) -> AsyncCompletionStream:
            options = self._options(call.options_for(lease.llm.capabilities), lease)
            return await lease.llm.acreate_chat_completion(  # type: ignore[no-any-return]
                call.messages, stream=True, **options
            )

        return await self._answer(request, call, start, encoder, whole)

    async def complete(
        self, request: Request, call: TextCall, *, encoder: Encoder | None, whole: Whole
    ) -> Response:
        """Go on from a text; as :meth:`chat`."""

        async def start(lease: Lease) -> AsyncCompletionStream:
            options = self._options(call.options, lease)
            return await lease.llm.acreate_completion(  # type: ignore[no-any-return]
                call.prompt, call.suffix, stream=True, **options
            )

        return await self._answer(request, call, start, encoder, whole)

    async def use(
        self, request: Request, model: str | None, work: Callable[[Lease], Awaitable[Any]]
    ) -> Any:
        """The result of ``work`` on a model; cancelled when the client leaves."""
        lease = await while_connected(request.receive, self.models.lease(model))
        try:
            return await while_connected(request.receive, work(lease))
        finally:
            lease.release()

    def stop_all(self) -> None:
        """End what still runs, each with an event that says so."""
        for each in list(self.running):
            each.stop()

    async def _answer(
        self,
        request: Request,
        call: ChatCall | TextCall,
        start: Callable[[Lease], Awaitable[AsyncCompletionStream]],
        encoder: Encoder | None,
        whole: Whole,
    ) -> Response:
        headers = ignored_header(call.ignored)
        lease = await while_connected(request.receive, self.models.lease(call.model))
        try:
            chunks = await start(lease)
            if encoder is not None:
                return self._stream(chunks, encoder, headers, lease.release)
            response = await while_connected(request.receive, chunks.whole())
        except BaseException:
            lease.release()
            raise
        lease.release()
        return reply(whole(response), headers)

    def _stream(
        self,
        chunks: AsyncIterator[JSON],
        encoder: Encoder,
        headers: Mapping[str, str],
        on_end: Callable[[], None],
    ) -> EventStream:
        return EventStream(
            chunks,
            encoder,
            keep_alive_s=self.params.keep_alive_s,
            headers=headers,
            on_end=on_end,
            running=self.running,
        )

    def _options(self, options: JSON, lease: Lease) -> JSON:
        """A call's options within the server's limits."""
        limited = {"model": lease.name, **options}
        most = self.params.max_answer_tokens
        if most is not None:
            _limit_answer(limited, most)
        limit_s = self.params.request_timeout_s
        limited["deadline_s"] = min(options.get("deadline_s", limit_s), limit_s)
        return limited


def service_of(request: Request) -> Service:
    """The service of the application that got a request."""
    service: Service = request.app.state.service
    return service


async def read_json(request: Request) -> JSON:
    """The body, which must be a JSON object.

    Raises:
        Refused: it is none.
    """
    data = await request.body()
    try:
        body = (
            json.loads(data) if len(data) < BIG_BODY else await asyncio.to_thread(json.loads, data)
        )
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, f"the body must be a JSON object, and is a {type(body).__name__}")
    return body


def reply(body: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """A JSON response."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(data, status, dict(headers or {}), "application/json")


def ignored_header(ignored: Sequence[str]) -> dict[str, str]:
    """The header that names fields which nobody read."""
    names = [quote(name[:64], safe="[]. ") for name in ignored[:32]]  # they come from strangers
    return {"x-ignored-fields": ", ".join(names)} if names else {}


def _limit_answer(options: JSON, most: int) -> None:
    names = "max_tokens", "max_completion_tokens", "n_predict"
    name = next((each for each in names if options.get(each) not in (None, -1)), None)
    if name is None:
        options["max_tokens"] = most
    elif isinstance(options[name], int) and options[name] > most:
        raise OptionError(name, options[name], f"at most {most}, the server's max_answer_tokens")
