"""llama-server's own paths: what its clients (editors, monitors) call."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llamaherd.errors import OptionError
from llamaherd.llama import Llama
from llamaherd.params import SamplingParams
from llamaherd.server import metrics, openapi
from llamaherd.server.calls import TextCall
from llamaherd.server.errors import Refused
from llamaherd.server.models import Lease
from llamaherd.server.protocols import llama_server, openai
from llamaherd.server.routes.family import Family
from llamaherd.server.service import read_json, reply, service_of

router = APIRouter(tags=["llama-server"])
PREFIXES = (
    "/completion", "/infill", "/tokenize", "/detokenize", "/apply-template", "/rerank",
    "/v1/rerank", "/reranking", "/v1/reranking", "/props", "/slots", "/lora-adapters", "/health",
    "/v1/health", "/metrics",
)  # fmt: skip
FAMILY = Family(router, PREFIXES, llama_server.error)


@router.post("/completion", openapi_extra=openapi.NATIVE_COMPLETION)
@router.post("/completions", include_in_schema=False)
async def completion(request: Request) -> Response:
    """Go on from a text; llama-server's native shape."""
    body = await read_json(request)
    return await _native(request, body, llama_server.completion_call(body))


@router.post("/infill", openapi_extra=openapi.INFILL)
async def infill(request: Request) -> Response:
    """Fill a gap in code, for editors; native shape."""
    body = await read_json(request)
    return await _native(request, body, llama_server.infill_call(body))


async def _native(request: Request, body: dict[str, Any], call: TextCall) -> Response:
    service = service_of(request)

    def defaults() -> SamplingParams:
        llm = service.models.find(call.model).llm
        return SamplingParams() if llm is None else llm.defaults

    native = llama_server.Native(body, defaults)
    encoder = native if openai.wants_stream(body) else None
    return await service.complete(request, call, encoder=encoder, whole=native.whole)


@router.post("/tokenize", openapi_extra=openapi.TOKENIZE)
async def tokenize(request: Request) -> Response:
    """The token ids of a text."""
    body = await read_json(request)
    text = openai.required(body, "content")
    if not isinstance(text, str):
        raise OptionError("content", text, "a string")
    special, parse = _flag(body, "add_special", False), _flag(body, "parse_special", True)
    with_pieces = _flag(body, "with_pieces", False)

    async def work(lease: Lease) -> Any:
        vocab = lease.llm.model.vocab
        tokens = await asyncio.to_thread(
            vocab.tokenize, text, add_special=special, parse_special=parse
        )
        if not with_pieces:
            return {"tokens": tokens}
        texts = [vocab.token_bytes(token, special=True) for token in tokens]
        return {"tokens": llama_server.pieces(tokens, texts)}

    return await service_of(request).respond(request, openai.model_name(body), work)


@router.post("/detokenize", openapi_extra=openapi.DETOKENIZE)
async def detokenize(request: Request) -> Response:
    """The text of token ids."""
    body = await read_json(request)
    tokens = openai.required(body, "tokens")

    async def work(lease: Lease) -> Any:
        vocab = lease.llm.model.vocab
        checked = vocab.all_checked(tokens)
        data = await asyncio.to_thread(
            vocab.detokenize, checked, remove_special=False, special=True
        )
        return {"content": data.decode("utf-8", "replace")}

    return await service_of(request).respond(request, openai.model_name(body), work)


@router.post("/apply-template", openapi_extra=openapi.CHAT)
async def apply_template(request: Request) -> Response:
    """The prompt that the model's chat template makes of messages."""
    call = openai.chat_call(await read_json(request))

    async def work(lease: Lease) -> Any:
        options = {k: v for k, v in call.options.items() if k != "lora"}
        prompt = await asyncio.to_thread(lease.llm.chat_prompt, call.messages, **options)
        return {"prompt": prompt}

    return await service_of(request).respond(request, call.model, work, call.ignored)


@router.post("/v1/rerank", openapi_extra=openapi.RERANK)
@router.post("/rerank", include_in_schema=False)
@router.post("/v1/reranking", include_in_schema=False)
@router.post("/reranking", include_in_schema=False)
async def rerank(request: Request) -> Response:
    """Documents by how well they fit a query; as Jina, or with ``texts`` as TEI gives it."""
    body = await read_json(request)
    query, documents, options, unknown = openai.rerank_call(body)
    as_tei = "texts" in body

    async def work(lease: Lease) -> Any:
        ranked = await lease.llm.arerank(query, documents, model=lease.name, **options)
        return llama_server.tei_ranking(ranked) if as_tei else ranked

    return await service_of(request).respond(request, openai.model_name(body), work, unknown)


@router.get("/props")
async def props(request: Request, model: str | None = None) -> Response:
    """What a model is like; loads it if need be."""
    return await service_of(request).respond(request, model, _props)


async def _props(lease: Lease) -> Any:
    llm = lease.llm
    special, vocab = llm.model.vocab.special, llm.model.vocab
    modalities = {"vision": False, "audio": False, **_modalities(llm)}
    params = llama_server.settings(llm.defaults)
    return {
        "model_alias": lease.name,
        "model_path": llm.model.path.name,  # its folder is nobody's business
        "build_info": llm.model.runtime,
        "total_slots": llm.n_parallel,
        "default_generation_settings": {"n_ctx": llm.n_ctx(), "params": params},
        "chat_template": llm.model.chat_templates.get("default", ""),
        "bos_token": "" if special.bos is None else vocab.token_text(special.bos),
        "eos_token": "" if special.eos is None else vocab.token_text(special.eos),
        "modalities": modalities,
        "capabilities": sorted(llm.capabilities),
        "can_chat": llm.can_chat,
    }


def _modalities(llm: Llama) -> dict[str, bool]:
    return {name: True for name in ("vision", "audio") if name in llm.capabilities}


@router.get("/lora-adapters")
async def lora_adapters(request: Request, model: str | None = None) -> Response:
    """The adapters that a request may name by ``lora``."""
    resident = service_of(request).models.find(model)
    names = resident.settings.adapters
    return reply([{"id": at, "name": name, "scale": 0.0} for at, name in enumerate(names)])


@router.get("/health")
@router.get("/v1/health", include_in_schema=False)
async def health(request: Request) -> Response:
    """Whether the models that are wanted from the start are there, and where all of them stand."""
    models = service_of(request).models
    states = {each.name: each.state for each in models}
    loading = any(each.pending for each in models)
    return reply(
        {"status": "loading" if loading else "ok", "models": states},
        status=503 if loading else 200,
    )


@router.get("/metrics")
async def prometheus(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(metrics.exposition(request.app.state.metrics), media_type=metrics.MEDIA_TYPE)


@router.post("/slots/{slot}", include_in_schema=False)
async def slots(slot: str) -> Response:
    """llama-server's way to save prompts."""
    raise Refused(501, "slots are not saved by hand: prompts stay in memory by themselves")


def _flag(body: dict[str, Any], name: str, default: bool) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise OptionError(name, value, "true or false")
    return default if value is None else value
