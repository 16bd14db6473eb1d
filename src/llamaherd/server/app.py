"""The application: routes, errors and the gate before them, around one service."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Scope

import llamaherd
from llamaherd.errors import LlamaHerdError
from llamaherd.server.access_log import Record
from llamaherd.server.errors import Refused, failure_of
from llamaherd.server.gate import Gate
from llamaherd.server.keys import Keys
from llamaherd.server.metrics import Metrics
from llamaherd.server.routes import anthropic, llama_server, ollama, openai, responses
from llamaherd.server.routes.family import renderer_for
from llamaherd.server.service import Service, reply
from llamaherd.server.settings import Settings
from llamaherd.server.streams import ClientGone

FAMILIES = (
    openai.FAMILY,
    responses.FAMILY,
    llama_server.FAMILY,
    anthropic.FAMILY,
    ollama.FAMILY,
)
CLIENT_GONE = 499  # nginx's status for the log; nobody reads the response


def create_app(
    settings: Settings, *, on_failure: Callable[[BaseException], None] | None = None
) -> FastAPI:
    """An ASGI application that serves models.

    Its ``state.service`` is the :class:`Service`. Models are loaded once the application has
    started, and requests wait for theirs.

    Args:
        on_failure: told, on the event loop, when a model that is wanted from the start fails to
            load; None: that is only logged.

    Raises:
        OptionError: an API key file that cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Service(settings, on_failure=on_failure) as service:
            app.state.service = service
            metrics.watch(service.models)
            yield

    app = FastAPI(title="llamaherd", version=llamaherd.__version__, lifespan=lifespan)
    for family in FAMILIES:
        app.include_router(family.router)
    for kind in (Exception, LlamaHerdError, Refused, HTTPException, ClientGone):
        app.add_exception_handler(kind, _respond)
    keys = Keys(settings.server)
    metrics = app.state.metrics = Metrics()
    app.add_middleware(
        Gate,
        params=settings.server,
        keys=keys,
        families=FAMILIES,
        on_end=functools.partial(_note, metrics),
    )
    if settings.server.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.server.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    return app


def _note(metrics: Metrics, record: Record, scope: Scope) -> None:
    path = getattr(scope.get("route"), "path", "other")
    metrics.note(record, path)


async def _respond(request: Request, error: Exception) -> Response:
    """An error in the shape of the protocol whose path it is."""
    if isinstance(error, ClientGone):
        return Response(status_code=CLIENT_GONE)
    if isinstance(error, HTTPException):
        error = Refused(error.status_code, f"{request.url.path}: {error.detail}")
    failure = failure_of(error)
    render = renderer_for(request.url.path, FAMILIES)
    return reply(render(failure), failure.headers, failure.status)
