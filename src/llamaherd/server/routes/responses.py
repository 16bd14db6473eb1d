"""The paths of OpenAI's Responses API; its errors are those of its other paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llamaherd.server import openapi_protocols as openapi
from llamaherd.server.access_log import KEY
from llamaherd.server.errors import Refused
from llamaherd.server.protocols import openai, responses
from llamaherd.server.protocols.openai import wants_stream
from llamaherd.server.protocols.shapes import as_flag, as_text
from llamaherd.server.routes.family import Family
from llamaherd.server.service import read_json, reply, service_of

router = APIRouter(tags=["Responses"])
FAMILY = Family(router, [], openai.error)
JSON = dict[str, Any]


@router.post("/v1/responses", openapi_extra=openapi.RESPONSE)
async def create(request: Request) -> Response:
    """Answer a conversation."""
    body = await read_json(request)
    earlier = _earlier(request, body)
    call = responses.chat_call(body, earlier)
    keeps = body.get("store") is None or as_flag("store", body["store"])

    def keep(response: JSON) -> None:
        if keeps:
            given = responses.input_items(body)
            kept = responses.Kept(_owner(request), response, earlier, given)
            service_of(request).kept.put(kept)

    def whole(response: JSON) -> JSON:
        made = responses.whole(response, body)
        keep(made)
        return made

    encoder = responses.Events(body, on_end=keep) if wants_stream(body) else None
    return await service_of(request).chat(request, call, encoder=encoder, whole=whole)


@router.post("/v1/responses/input_tokens", openapi_extra=openapi.INPUT_TOKENS)
async def input_tokens(request: Request) -> Response:
    """How many tokens an input has."""
    body = await read_json(request)
    call = responses.chat_call(body, _earlier(request, body))
    return await service_of(request).count(
        request, call, lambda n: {"object": "response.input_tokens", "input_tokens": n}
    )


@router.get("/v1/responses/{name}")
async def retrieve(request: Request, name: str) -> Response:
    """A response that is kept."""
    return reply(_kept(request, name).response)


@router.get("/v1/responses/{name}/input_items")
async def items(request: Request, name: str) -> Response:
    """Its input, the latest items first."""
    kept = _kept(request, name)
    given = [*kept.earlier, *kept.given]
    found = [_listed(index, item) for index, item in enumerate(given)][::-1]
    ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]}
    return reply({"object": "list", "data": found, "has_more": False, **ends})


@router.delete("/v1/responses/{name}")
async def delete(request: Request, name: str) -> Response:
    """Forget it."""
    if not service_of(request).kept.remove(name, _owner(request)):
        raise _not_found(404, name)
    return reply({"id": name, "object": "response", "deleted": True})


def _listed(index: int, item: JSON) -> JSON:
    listed = {"id": f"item_{index}", "type": "message", **item}
    if isinstance(item.get("content"), str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        listed["content"] = [{"type": kind, "text": item["content"]}]
    return listed


def _earlier(request: Request, body: JSON) -> Sequence[JSON]:
    """The items of the response that a request goes on from."""
    if body.get("previous_response_id") is None:
        return ()
    name = as_text("previous_response_id", body["previous_response_id"])
    kept = service_of(request).kept.get(name, _owner(request))
    if kept is None:
        raise _not_found(400, name)
    return kept.items


def _kept(request: Request, name: str) -> responses.Kept:
    kept = service_of(request).kept.get(name, _owner(request))
    if kept is None:
        raise _not_found(404, name)
    return kept


def _owner(request: Request) -> str:
    client: str = request.scope[KEY].client
    return client


def _not_found(status: int, name: str) -> Refused:
    return Refused(
        status,
        f"the response {name!r} is not kept here: the server remembers the latest ones of each "
        "client until it ends. Send the whole input instead",
        param="previous_response_id",
        code="previous_response_not_found",
    )
