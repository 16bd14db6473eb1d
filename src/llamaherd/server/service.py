"""What routes use: models, limits, and answers as responses.

A route reads the body, has its protocol translate it, calls the service, and returns what it gets:

    @router.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        body = await read_json(request)
        call = openai.chat_call(body)              # protocols/: pure
        encoder = openai.Events() if openai.wants_stream(body) else None
        return await service_of(request).chat(request, call, encoder=encoder, whole=openai.whole)

What a route raises becomes a response in the protocol's shape: errors of llamaherd, and
:class:`~llamaherd.server.errors.Refused` for what only HTTP knows (``server/errors.py``). The shape
is that of the :class:`~llamaherd.server.routes.family.Family` whose prefix the path has.

The service takes a lease of the model, gives it back when the response has been sent, cancels the
answer when the client leaves, and notes in the access log what was asked for and given.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import anyio
from starlette.requests import Request
from starlette.responses import Response

from llamaherd.completion import AsyncCompletionStream
from llamaherd.errors import OptionError
from llamaherd.server.access_log import Record, record_of
from llamaherd.server.calls import ChatCall, TextCall
from llamaherd.server.errors import Refused
from llamaherd.server.models import Lease, Models
from llamaherd.server.protocols.responses import KeptResponses
from llamaherd.server.remote_media import RemoteMedia
from llamaherd.server.settings import Settings
from llamaherd.server.streams import Encoder, EventStream, Stoppable, while_connected

logger = logging.getLogger("llamaherd.server")
JSON = dict[str, Any]
_T = TypeVar("_T")
Whole = Callable[[JSON], JSON]

BIG_BODY = 1 << 18
"""Bytes of JSON from which on it is read on a thread, so that the event loop goes on."""
DEEPEST = 200
"""Levels of nesting that a body may have: what walks through it must not run out of stack."""


class Service:
    """The models, and how requests run on them. On the event loop.

    Attributes:
        settings: the server's, as last read.
        models: by name.
        running: answers that are being made.
        kept: responses that later ones may go on from.
    """

    def __init__(
        self, settings: Settings, *, on_failure: Callable[[BaseException], None] | None = None
    ) -> None:
        self.settings, self._on_failure = settings, on_failure
        memory = settings.server.memory_gib
        self.models = Models(
            settings.models,
            default=settings.server.default_model,
            memory_bytes=None if memory is None else int(memory * 2**30),
        )
        self.running: set[Stoppable] = set()
        self.kept = KeptResponses()
        self._media = RemoteMedia(settings.server)
        self._preloading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Service:
        self._preloading = asyncio.ensure_future(self._preload())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._preloading is not None
        self._preloading.cancel()
        self.stop_all()
        await self.models.close()

    # -- answers ------------------------------------------------------------------------------

    async def chat(
        self, request: Request, call: ChatCall, *, encoder: Encoder | None, whole: Whole
    ) -> Response:
        """Answer a conversation.

        Args:
            encoder: for a stream; None for a whole response.
            whole: makes the body of a whole response from OpenAI's.
        """

        async def start(lease: Lease) -> AsyncCompletionStream:
            messages = await self._media.fetched(call.messages)
            options = self._options(call.options_for(lease.llm.capabilities), lease)
            return await lease.llm.acreate_chat_completion(  # type: ignore[no-any-return]
                messages, stream=True, **options
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

    async def count(
        self, request: Request, call: ChatCall, shape: Callable[[int], JSON]
    ) -> Response:
        """How many tokens a conversation has.

        Args:
            shape: makes the body of the response.
        """

        async def work(lease: Lease) -> JSON:
            messages = await self._media.fetched(call.messages)
            options = call.options_for(lease.llm.capabilities)
            return shape(len(await asyncio.to_thread(lease.llm.chat_tokens, messages, **options)))

        return await self.respond(request, call.model, work, call.ignored)

    async def use(
        self,
        request: Request,
        model: str | None,
        work: Callable[[Lease], Awaitable[_T]],
        ignored: Sequence[str] = (),
    ) -> _T:
        """What ``work`` makes with a model; cancelled when the client leaves."""
        record = record_of(request.scope)
        record.ignored = list(ignored)
        lease = await while_connected(request.receive, self.models.lease(model))
        record.model = lease.name
        limit_s = self.settings.server.request_timeout_s
        try:
            with anyio.fail_after(limit_s):
                return await while_connected(request.receive, work(lease))
        except TimeoutError:
            raise Refused(504, f"it took longer than {limit_s:g} s (request_timeout_s)") from None
        finally:
            lease.release()

    async def respond(
        self,
        request: Request,
        model: str | None,
        work: Callable[[Lease], Awaitable[Any]],
        ignored: Sequence[str] = (),
    ) -> Response:
        """:meth:`use` as a JSON response."""
        found = await self.use(request, model, work, ignored)
        if isinstance(found, dict):
            record_of(request.scope).note(found)
        return await asyncio.to_thread(reply, found, ignored_header(ignored))

    def stop_all(self) -> None:
        """End what still runs, each with an event that says so."""
        for each in list(self.running):
            each.stop()

    def configure(self, settings: Settings) -> None:
        """Take over the models of a new configuration; the rest of it needs a restart."""
        if settings.server != self.settings.server:
            logger.warning("settings of [server] other than default_model change with a restart")
        self.settings = Settings(self.settings.server, settings.models)
        self.models.configure(settings.models, settings.server.default_model)

    # -- one answer ---------------------------------------------------------------------------

    async def _answer(
        self,
        request: Request,
        call: ChatCall | TextCall,
        start: Callable[[Lease], Awaitable[AsyncCompletionStream]],
        encoder: Encoder | None,
        whole: Whole,
    ) -> Response:
        record = record_of(request.scope)
        record.ignored = list(call.ignored)
        headers = ignored_header(call.ignored)
        lease = await while_connected(request.receive, self.models.lease(call.model))
        record.model = lease.name
        try:
            chunks = await while_connected(request.receive, start(lease))
            if encoder is not None:
                return self._stream(chunks, encoder, headers, lease, record)
            response = await self._whole(request, chunks)
        except BaseException:
            lease.release()
            raise
        lease.release()
        record.note(response)
        return reply(whole(response), headers)

    async def _whole(self, request: Request, chunks: AsyncCompletionStream) -> JSON:
        part = _Part(chunks)
        self.running.add(part)
        try:
            return await while_connected(request.receive, chunks.whole())
        finally:
            self.running.discard(part)

    def _stream(
        self,
        chunks: AsyncCompletionStream,
        encoder: Encoder,
        headers: Mapping[str, str],
        lease: Lease,
        record: Record,
    ) -> EventStream:
        params = self.settings.server
        return EventStream(
            chunks,
            encoder,
            keep_alive_s=params.keep_alive_s,
            limit_s=params.request_timeout_s + params.body_timeout_s,
            headers=headers,
            on_chunk=record.note,
            on_end=lease.release,
            running=self.running,
        )

    def answer_bound(self, asked: int) -> int:
        """The most tokens of an answer for which a client allows ``asked``."""
        most = self.settings.server.max_answer_tokens
        return asked if most is None else min(asked, most)

    def _options(self, options: JSON, lease: Lease) -> JSON:
        """A call's options within the server's limits."""
        params = self.settings.server
        limited = {"model": lease.name, **options}
        if params.max_answer_tokens is not None:
            _limit_answer(limited, params.max_answer_tokens)
        if params.max_prompt_tokens is not None:
            limited["max_prompt_tokens"] = params.max_prompt_tokens
        if "lora" in limited:
            limited["lora"] = _adapters(limited["lora"], lease.adapters)
        limit_s, wanted_s = params.request_timeout_s, limited.get("deadline_s")
        is_number = isinstance(wanted_s, (int, float))
        if wanted_s is None or (is_number and wanted_s > limit_s):
            limited["deadline_s"] = limit_s
        return limited

    async def _preload(self) -> None:
        try:
            await self.models.preload()
        except Exception as error:
            logger.error("a model cannot be loaded: %s", error)
            if self._on_failure is not None:
                self._on_failure(error)


class _Part:
    """A whole answer on its way: stopped, the client gets what there is of it."""

    def __init__(self, chunks: AsyncCompletionStream) -> None:
        self.stop = chunks.cancel


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
        body = parse(data) if len(data) < BIG_BODY else await asyncio.to_thread(parse, data)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, f"the body must be a JSON object, and is a {type(body).__name__}")
    return body


def parse(data: bytes) -> Any:
    """JSON, strictly: no NaN, no infinities, and not nested for ever.

    Raises:
        ValueError, RecursionError: it is something else.
    """
    found = json.loads(data, parse_constant=_no_constant)
    _check_depth(found)
    return found


def reply(body: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """A JSON response."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(data, status, dict(headers or {}), "application/json")


def ignored_header(ignored: Sequence[str]) -> dict[str, str]:
    """The header that names fields which nobody read."""
    # they come from strangers, and may be empty or full of spaces
    names = [
        quote(name[:64].strip(), safe="[]. ", errors="replace") or "%" for name in ignored[:32]
    ]
    return {"x-ignored-fields": ", ".join(names)} if names else {}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        level = [
            child
            for each in level
            if isinstance(each, (dict, list))
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list))
        ]


def _limit_answer(options: JSON, most: int) -> None:
    """A client says how many tokens it wants at most, so it gets no more than the server allows."""
    names = "max_tokens", "max_completion_tokens", "n_predict"
    named = [name for name in names if options.get(name) not in (None, -1)]
    for name in named:
        if isinstance(options[name], (int, float)) and options[name] > most:
            options[name] = most
    if not named:
        for name in names:
            options.pop(name, None)
        options["max_tokens"] = most


def _adapters(wanted: Any, names: Sequence[str]) -> Any:
    """llama-server's list of ids and scales as ``Llama`` wants it: names and scales."""
    if not isinstance(wanted, list):
        return wanted
    found = {}
    for at, each in enumerate(wanted):
        number = each.get("id") if isinstance(each, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(names):
            expected = f'objects {{"id": ..., "scale": ...}} with ids below {len(names)}'
            raise OptionError(f"lora[{at}]", each, expected)
        found[names[number]] = each.get("scale", 1.0)
    return found
