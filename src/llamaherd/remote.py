"""RemoteLlama: a model on a llamaherd server, with the methods of Llama.

Options are checked here, so that a wrong name is an error and not a field that a server skips.
Errors of the server come back as the exceptions that they were there.
"""

from __future__ import annotations

import functools
import os
import ssl
import time
import urllib.parse
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import anyio
import httpx
import numpy as np

from llamaherd.chat import normalised
from llamaherd.declared import Params, split_options
from llamaherd.errors import (
    OptionError,
    QueueFullError,
    ServerError,
)
from llamaherd.params import (
    ChatParams,
    CompletionParams,
    EmbeddingParams,
    EmbeddingResponseParams,
    RerankParams,
    SamplingParams,
)
from llamaherd.remote_wire import (
    achunks,
    chunks,
    error_of,
    network_errors,
    portable_format,
    portable_messages,
)

JSON = dict[str, Any]
KEY_VARIABLE = "LLAMAHERD_API_KEY"
PAUSE_S = 0.5
"""Before the second try; doubled with each."""
MARGIN_S = 30.0
"""How much longer than an answer may take the line may be silent."""


class RemoteLlama:
    """A model that a server runs. All methods may be called from any thread or event loop.

    Args:
        base_url: of the server; ``/v1`` at its end may be given.
        model: which of its models; None: the first.
        api_key: None: from the environment's LLAMAHERD_API_KEY.
        timeout_s: seconds an answer may take; None: the server's own limit.
        max_retries: how often a request is repeated that the server was too busy for, or that did
            not reach it.

    Raises:
        OptionError: the address is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout_s: float | None = None,
        max_retries: int = 2,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise OptionError(
                "base_url", base_url, "an address that begins with http:// or https://"
            )
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self.model_path = model or "default"
        self._model, self._timeout_s, self._max_retries = model, timeout_s, max_retries
        key = api_key or os.environ.get(KEY_VARIABLE)
        self._settings: JSON = {
            "base_url": self.base_url,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
            "timeout": httpx.Timeout(
                None if timeout_s is None else timeout_s + MARGIN_S, connect=10
            ),
            "verify": _certificates(),
        }
        self._client = httpx.Client(**self._settings)
        weakref.finalize(self, self._client.close).atexit = False

    # -- answers ------------------------------------------------------------------------------

    def create_chat_completion(
        self, messages: Sequence[Mapping[str, Any]], *, stream: bool = False, **options: Any
    ) -> Any:
        """As :meth:`llamaherd.Llama.create_chat_completion`.

        Raises:
            ServerError: the server failed, or is not there.
            LlamaHerdError: as the method of Llama.
        """
        body = self._answer_body(ChatParams, options, {"messages": portable_messages(messages)})
        return self._ask("/v1/chat/completions", body, stream)

    async def acreate_chat_completion(
        self, messages: Sequence[Mapping[str, Any]], *, stream: bool = False, **options: Any
    ) -> Any:
        """:meth:`create_chat_completion` for coroutines."""
        body = self._answer_body(ChatParams, options, {"messages": portable_messages(messages)})
        return await self._aask("/v1/chat/completions", body, stream)

    def create_completion(
        self, prompt: Any = "", suffix: str | None = None, *, stream: bool = False, **options: Any
    ) -> Any:
        """As :meth:`llamaherd.Llama.create_completion`; errors as there, and ServerError."""
        body = self._answer_body(CompletionParams, options, {"prompt": prompt, "suffix": suffix})
        return self._ask("/v1/completions", body, stream)

    async def acreate_completion(
        self, prompt: Any = "", suffix: str | None = None, *, stream: bool = False, **options: Any
    ) -> Any:
        """:meth:`create_completion` for coroutines."""
        body = self._answer_body(CompletionParams, options, {"prompt": prompt, "suffix": suffix})
        return await self._aask("/v1/completions", body, stream)

    def _answer_body(self, kind: type[Params], options: Mapping[str, Any], own: JSON) -> JSON:
        checked, sampling = split_options(options, kind, SamplingParams)
        kind(**checked), SamplingParams(**sampling)
        if checked.get("logits_processor"):
            raise OptionError("logits_processor", "...", "none: functions do not travel")
        if checked.get("tools"):
            checked["tools"] = normalised(checked["tools"])
        if "response_format" in checked:
            checked["response_format"] = portable_format(checked["response_format"])
        body = self._body({**checked, **sampling}, own)
        if self._timeout_s is not None:
            body.setdefault("deadline_s", self._timeout_s)
        return body

    def _body(self, options: Mapping[str, Any], own: JSON) -> JSON:
        named = {"model": self._model, **options, **own}
        return {name: value for name, value in named.items() if value is not None}

    # -- vectors and scores -------------------------------------------------------------------

    def create_embedding(self, input: Any, **options: Any) -> JSON:  # noqa: A002
        """As :meth:`llamaherd.Llama.create_embedding`; errors as there, and ServerError."""
        return self._post("/v1/embeddings", self._embedding_body(input, options))

    async def acreate_embedding(self, input: Any, **options: Any) -> JSON:  # noqa: A002
        """:meth:`create_embedding` for coroutines."""
        return await self._apost("/v1/embeddings", self._embedding_body(input, options))

    def embed(self, input: Any, **options: Any) -> Any:  # noqa: A002
        """As :meth:`llamaherd.Llama.embed`; errors as there, and ServerError."""
        split_options(options, EmbeddingParams)
        return _vectors(self.create_embedding(input, **options), input)

    async def aembed(self, input: Any, **options: Any) -> Any:  # noqa: A002
        """:meth:`embed` for coroutines."""
        split_options(options, EmbeddingParams)
        return _vectors(await self.acreate_embedding(input, **options), input)

    def rerank(self, query: str, documents: Iterable[str], **options: Any) -> JSON:
        """As :meth:`llamaherd.Llama.rerank`; errors as there, and ServerError."""
        return self._post("/v1/rerank", self._rerank_body(query, documents, options))

    async def arerank(self, query: str, documents: Iterable[str], **options: Any) -> JSON:
        """:meth:`rerank` for coroutines."""
        return await self._apost("/v1/rerank", self._rerank_body(query, documents, options))

    def _embedding_body(self, given: Any, options: Mapping[str, Any]) -> JSON:
        (own,) = split_options(options, EmbeddingResponseParams)
        EmbeddingResponseParams(**own)
        return self._body(own, {"input": given})

    def _rerank_body(
        self, query: str, documents: Iterable[str], options: Mapping[str, Any]
    ) -> JSON:
        (own,) = split_options(options, RerankParams)
        RerankParams(**own)
        return self._body(own, {"query": query, "documents": list(documents)})

    # -- tokens -------------------------------------------------------------------------------

    def tokenize(self, text: str | bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """As :meth:`llamaherd.Llama.tokenize`."""
        content = text.decode() if isinstance(text, bytes) else text
        own = {"content": content, "add_special": add_bos, "parse_special": special}
        return list(self._post("/tokenize", self._body({}, own))["tokens"])

    def chat_tokens(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Any] | None = None
    ) -> list[int]:
        """As :meth:`llamaherd.Llama.chat_tokens`, for messages and tools."""
        listed = normalised(tools) if tools else None
        own = {"messages": portable_messages(messages), "tools": listed}
        prompt = self._post("/apply-template", self._body({}, own))["prompt"]
        tokens = self.tokenize(prompt, special=True)
        # The template may have written the token of the beginning itself.
        return tokens[1:] if len(tokens) > 1 and tokens[0] == tokens[1] else tokens

    # -- what the model is like ---------------------------------------------------------------

    def n_ctx(self) -> int:
        """As :meth:`llamaherd.Llama.n_ctx`; asks the server, which may load the model for it."""
        return int(self._props["default_generation_settings"]["n_ctx"])

    @property
    def can_chat(self) -> bool:
        """As :attr:`llamaherd.Llama.can_chat`; asks the server."""
        return bool(self._props["can_chat"])

    @property
    def capabilities(self) -> frozenset[str]:
        """As :attr:`llamaherd.Llama.capabilities`; asks the server."""
        return frozenset(self._props["capabilities"])

    @functools.cached_property
    def _props(self) -> JSON:
        query = "" if self._model is None else "?" + urllib.parse.urlencode({"model": self._model})
        found: JSON = self._open(f"/props{query}", None, stream=False).json()
        return found

    # -- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._client.close()

    def __enter__(self) -> RemoteLlama:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- HTTP ---------------------------------------------------------------------------------

    def _ask(self, path: str, body: JSON, stream: bool) -> Any:
        return RemoteStream(self._open(path, body)) if stream else self._post(path, body)

    async def _aask(self, path: str, body: JSON, stream: bool) -> Any:
        if stream:
            return AsyncRemoteStream(*await self._aopen(path, body))
        return await self._apost(path, body)

    def _post(self, path: str, body: JSON) -> JSON:
        response = self._open(path, body, stream=False)
        return response.json()  # type: ignore[no-any-return]

    async def _apost(self, path: str, body: JSON) -> JSON:
        client, response = await self._aopen(path, body, stream=False)
        await client.aclose()
        return response.json()  # type: ignore[no-any-return]

    def _open(self, path: str, body: JSON | None, *, stream: bool = True) -> httpx.Response:
        """The response; without a body it is asked for by GET."""
        if body is None:
            request = self._client.build_request("GET", path)
        else:
            request = self._client.build_request("POST", path, json=_streamed(body, stream))
        for again in self._tries():
            with network_errors(self.base_url), again:
                response = self._client.send(request, stream=stream)
                if response.is_error:
                    response.read()
                    raise error_of(response)
                return response
            time.sleep(again.pause_s)
        raise AssertionError("the last try returns or raises")

    async def _aopen(
        self, path: str, body: JSON, *, stream: bool = True
    ) -> tuple[httpx.AsyncClient, httpx.Response]:
        # A client of its own: connections belong to one event loop, and nobody tells when it ends.
        client = httpx.AsyncClient(**self._settings)
        try:
            for again in self._tries():
                with network_errors(self.base_url), again:
                    request = client.build_request("POST", path, json=_streamed(body, stream))
                    response = await client.send(request, stream=stream)
                    if response.is_error:
                        await response.aread()
                        raise error_of(response)
                    return client, response
                await anyio.sleep(again.pause_s)
            raise AssertionError("the last try returns or raises")
        except BaseException:
            await client.aclose()
            raise

    def _tries(self) -> Iterator[_Try]:
        return (
            _Try(PAUSE_S * 2**number, is_last=number == self._max_retries)
            for number in range(self._max_retries + 1)
        )


class _Try:
    """Swallows what another try may mend, unless there is none."""

    def __init__(self, pause_s: float, *, is_last: bool) -> None:
        self.pause_s, self._is_last = pause_s, is_last

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        busy = isinstance(error, ServerError) and error.status == 503
        return not self._is_last and (
            busy or isinstance(error, (QueueFullError, httpx.ConnectError, httpx.ConnectTimeout))
        )


class RemoteStream:
    """Iterates over a response's chunks; leaving it closes the line, which cancels the request.

    Iterating raises LlamaHerdError if the request fails, with ``partial_text``.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks = chunks(response)
        weakref.finalize(self, response.close).atexit = False

    def __iter__(self) -> Iterator[JSON]:
        return self

    def __next__(self) -> JSON:
        return next(self._chunks)

    def close(self) -> None:
        """Cancel the answer."""
        self._response.close()
        self._chunks = iter(())

    def __enter__(self) -> RemoteStream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class AsyncRemoteStream:
    """:class:`RemoteStream` for ``async for``. Leave it by ``async with`` or ``aclose``."""

    def __init__(self, client: httpx.AsyncClient, response: httpx.Response) -> None:
        self._client, self._response = client, response
        self._chunks = achunks(response)

    def __aiter__(self) -> AsyncIterator[JSON]:
        return self

    async def __anext__(self) -> JSON:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Cancel the answer."""
        with anyio.CancelScope(shield=True):
            await self._response.aclose()
            await self._client.aclose()

    async def __aenter__(self) -> AsyncRemoteStream:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


def _streamed(body: JSON, stream: bool) -> JSON:
    return {**body, "stream": True} if stream else body


@functools.cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()  # takes 10 ms or more: once for all clients


def _vectors(response: JSON, given: Any) -> Any:
    vectors = [np.asarray(each["embedding"], np.float32) for each in response["data"]]
    is_single = isinstance(given, str) or (len(given) > 0 and isinstance(given[0], int))
    if is_single:
        return vectors[0]
    return vectors if vectors[0].ndim > 1 else np.stack(vectors)
