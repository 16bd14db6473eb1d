"""OpenAI's paths."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llamaherd.server.protocols import openai
from llamaherd.server.routes.family import Family
from llamaherd.server.service import read_json, reply, service_of

router = APIRouter(tags=["OpenAI"])
FAMILY = Family(router, [""], openai.error)


@router.post("/v1/chat/completions")
async def chat_completions(request: Request) -> Response:
    """Answer a conversation."""
    body = await read_json(request)
    encoder = openai.Events() if openai.wants_stream(body) else None
    call = openai.chat_call(body)
    return await service_of(request).chat(request, call, encoder=encoder, whole=openai.whole)


@router.post("/v1/completions")
async def completions(request: Request) -> Response:
    """Go on from a text."""
    body = await read_json(request)
    encoder = openai.Events() if openai.wants_stream(body) else None
    call = openai.text_call(body)
    return await service_of(request).complete(request, call, encoder=encoder, whole=openai.whole)


@router.get("/v1/models")
async def models(request: Request) -> Response:
    """The models there are."""
    listed = [_model(resident) for resident in service_of(request).models]
    return reply({"object": "list", "data": listed})


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> Response:
    """One of them."""
    return reply(_model(service_of(request).models.find(name)))


def _model(resident: Any) -> dict[str, Any]:
    return {
        "id": resident.name,
        "object": "model",
        "created": resident.since,
        "owned_by": "llamaherd",
        "aliases": list(resident.settings.aliases),
        "status": {"value": resident.state},
    }
