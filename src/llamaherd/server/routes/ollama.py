"""Ollama's paths."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llamaherd.server import openapi_protocols as openapi
from llamaherd.server.calls import TextCall
from llamaherd.server.facts import facts, is_here
from llamaherd.server.models import Lease
from llamaherd.server.protocols import ollama
from llamaherd.server.protocols.openai import required
from llamaherd.server.residents import Resident
from llamaherd.server.routes.family import Family
from llamaherd.server.service import read_json, reply, service_of

router = APIRouter(tags=["Ollama"])
FAMILY = Family(router, ["/api/"], ollama.error)
JSON = dict[str, Any]

SPOKEN = "0.14.0"
"""The version of Ollama whose API this is; clients refuse to talk to older ones."""


@router.get("/api/version")
async def version() -> Response:
    """What clients look at first."""
    return reply({"version": SPOKEN})


@router.get("/api/tags")
async def tags(request: Request) -> Response:
    """The models there are."""
    models = service_of(request).models
    return reply({"models": await asyncio.to_thread(_listed, list(models))})


def _listed(models: list[Resident]) -> list[JSON]:
    return [ollama.listed(facts(each)) for each in models if is_here(each)]


@router.get("/api/ps")
async def ps(request: Request) -> Response:
    """The models in memory. None has a time at which it leaves."""
    models = [each for each in service_of(request).models if each.llm is not None]
    found = [await asyncio.to_thread(facts, each) for each in models]
    return reply(
        {
            "models": [
                {
                    **ollama.listed(each),
                    "expires_at": "9999-12-31T23:59:59Z",
                    "size_vram": 0,
                    "context_length": each.n_ctx,
                }
                for each in found
            ]
        }
    )


@router.post("/api/show", openapi_extra=openapi.OLLAMA_SHOW)
async def show(request: Request) -> Response:
    """What a model is and can do."""
    name = ollama.model_name(await read_json(request))
    resident = service_of(request).models.find(name)
    return reply(ollama.shown(await asyncio.to_thread(facts, resident)))


@router.post("/api/chat", openapi_extra=openapi.OLLAMA_CHAT)
async def chat(request: Request) -> Response:
    """Answer a conversation."""
    body = await read_json(request)
    if ollama.only_loads(body):
        return await _load(request, body, ollama.message)
    return await service_of(request).chat(
        request,
        ollama.chat_call(body),
        encoder=ollama.Lines(ollama.message) if ollama.wants_stream(body) else None,
        whole=functools.partial(ollama.whole, shape=ollama.message),
    )


@router.post("/api/generate", openapi_extra=openapi.OLLAMA_GENERATE)
async def generate(request: Request) -> Response:
    """Answer a question, or go on from a text."""
    body = await read_json(request)
    if ollama.only_loads(body):
        return await _load(request, body, ollama.response)
    call, service = ollama.generate_call(body), service_of(request)
    encoder = ollama.Lines(ollama.response) if ollama.wants_stream(body) else None
    whole = functools.partial(ollama.whole, shape=ollama.response)
    if isinstance(call, TextCall):
        return await service.complete(request, call, encoder=encoder, whole=whole)
    return await service.chat(request, call, encoder=encoder, whole=whole)


@router.post("/api/embed", openapi_extra=openapi.OLLAMA_EMBED)
async def embed(request: Request) -> Response:
    """The vectors of texts."""
    begin = time.monotonic_ns()

    def shape(found: JSON) -> JSON:
        return {
            "model": found["model"],
            "embeddings": [each["embedding"] for each in found["data"]],
            "total_duration": time.monotonic_ns() - begin,
            "load_duration": 0,
            "prompt_eval_count": found["usage"]["prompt_tokens"],
        }

    return await _embedded(request, "input", shape)


@router.post("/api/embeddings", openapi_extra=openapi.OLLAMA_EMBEDDINGS)
async def embeddings(request: Request) -> Response:
    """The vector of one text, as older clients ask for it."""
    return await _embedded(
        request, "prompt", lambda found: {"embedding": found["data"][0]["embedding"]}
    )


async def _embedded(request: Request, name: str, shape: Callable[[JSON], JSON]) -> Response:
    body = await read_json(request)
    given = required(body, name)
    options, ignored = ollama.embed_options(body)

    async def work(lease: Lease) -> JSON:
        return shape(await lease.llm.acreate_embedding(given, model=lease.name, **options))

    return await service_of(request).respond(request, ollama.model_name(body), work, ignored)


async def _load(request: Request, body: JSON, shape: Callable[[JSON], JSON]) -> Response:
    """Load a model and answer nothing."""

    async def work(lease: Lease) -> str:
        return lease.name

    name = await service_of(request).use(request, ollama.model_name(body), work)
    begin = {"model": name, "created_at": ollama.moment(time.time())}
    return reply({**begin, **shape({}), "done_reason": "load", "done": True})
