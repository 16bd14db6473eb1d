"""OpenAI's paths."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llamaherd import __version__
from llamaherd.server import openapi
from llamaherd.server.models import Lease
from llamaherd.server.protocols import openai
from llamaherd.server.residents import Resident
from llamaherd.server.routes.family import Family
from llamaherd.server.service import read_json, reply, service_of

router = APIRouter(tags=["OpenAI"])
FAMILY = Family(router, [""], openai.error)


@router.post("/v1/chat/completions", openapi_extra=openapi.CHAT)
@router.post("/chat/completions", include_in_schema=False)
async def chat_completions(request: Request) -> Response:
    """Answer a conversation, with tools, structured answers and streaming."""
    body = await read_json(request)
    encoder = openai.Events() if openai.wants_stream(body) else None
    call = openai.chat_call(body)
    return await service_of(request).chat(request, call, encoder=encoder, whole=openai.whole)


@router.post("/v1/completions", openapi_extra=openapi.COMPLETION)
async def completions(request: Request) -> Response:
    """Go on from a text or token ids, or fill the gap before ``suffix``."""
    body = await read_json(request)
    encoder = openai.Events() if openai.wants_stream(body) else None
    call = openai.text_call(body)
    return await service_of(request).complete(request, call, encoder=encoder, whole=openai.whole)


@router.post("/v1/embeddings", openapi_extra=openapi.EMBEDDING)
async def embeddings(request: Request) -> Response:
    """The vectors of texts."""
    body = await read_json(request)
    given, options, unknown = openai.embedding_call(body)

    async def embed(lease: Lease) -> Any:
        return await lease.llm.acreate_embedding(given, model=lease.name, **options)

    return await service_of(request).respond(request, openai.model_name(body), embed, unknown)


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def home(request: Request) -> Response:
    """What this is, for a person who opens the address; Ollama's clients ask if it is there."""
    names = [resident.name for resident in service_of(request).models]
    paths = {"api": "/v1", "docs": "/docs", "health": "/health"}
    return reply({"name": "llamaherd", "version": __version__, "models": names, **paths})


@router.get("/v1/models")
@router.get("/models", include_in_schema=False)
async def models(request: Request) -> Response:
    """The models there are."""
    listed = [_described(resident) for resident in service_of(request).models]
    return reply({"object": "list", "data": listed})


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> Response:
    """One of them."""
    return reply(_described(service_of(request).models.find(name)))


def _described(resident: Resident) -> dict[str, Any]:
    return {
        "id": resident.name,
        "object": "model",
        "created": resident.since,
        "owned_by": "llamaherd",
        "aliases": list(resident.settings.aliases),
        "status": {"value": resident.state},
    }
