"""Anthropic's paths."""

from __future__ import annotations

import functools

from fastapi import APIRouter, Request
from starlette.responses import Response

from llamaherd.server import openapi_protocols as openapi
from llamaherd.server.protocols import anthropic
from llamaherd.server.protocols.openai import wants_stream
from llamaherd.server.routes.family import Family
from llamaherd.server.service import read_json, service_of

router = APIRouter(tags=["Anthropic"])
FAMILY = Family(router, ["/v1/messages"], anthropic.error)


@router.post("/v1/messages", openapi_extra=openapi.MESSAGES)
async def messages(request: Request) -> Response:
    """Answer a conversation."""
    body = await read_json(request)
    call = anthropic.chat_call(body)
    service = service_of(request)
    most = service.answer_bound(call.options["max_tokens"])
    return await service.chat(
        request,
        call,
        encoder=anthropic.Events(most) if wants_stream(body) else None,
        whole=functools.partial(anthropic.whole, max_tokens=most),
    )


@router.post("/v1/messages/count_tokens", openapi_extra=openapi.COUNT_TOKENS)
async def count_tokens(request: Request) -> Response:
    """How many tokens a conversation has."""
    call = anthropic.counted_call(await read_json(request))
    return await service_of(request).count(request, call, lambda n: {"input_tokens": n})
