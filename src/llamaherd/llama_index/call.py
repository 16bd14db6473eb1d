"""One call of a model: of the chat API, or of the completions API for raw text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatResponse

from llamaherd.llama_index.answers import Answer, whole_response
from llamaherd.llama_index.source import AnyLlama
from llamaherd.responses import JSON

_COUNTS = {"include_usage": True}


@dataclass(frozen=True)
class Call:
    """What to ask, and how.

    Attributes:
        asked: messages, or a prompt to go on from.
        options: under the names of ``params.py``.
    """

    asked: list[JSON] | str
    options: dict[str, Any]

    def whole(self, llama: AnyLlama) -> ChatResponse:
        """Wait for the answer."""
        return whole_response(self._ask(llama, "create")(self.asked, **self.options))

    async def awhole(self, llama: AnyLlama) -> ChatResponse:
        """The same for coroutines."""
        return whole_response(await self._ask(llama, "acreate")(self.asked, **self.options))

    def stream(self, llama: AnyLlama) -> Generator[ChatResponse, None, None]:
        """The answer as it grows. It has been asked for when this returns; closing cancels it."""
        stream = self._ask(llama, "create")(
            self.asked, stream=True, stream_options=_COUNTS, **self.options
        )
        return _responses(stream)

    async def astream(self, llama: AnyLlama) -> AsyncGenerator[ChatResponse, None]:
        """The same for coroutines."""
        stream = await self._ask(llama, "acreate")(
            self.asked, stream=True, stream_options=_COUNTS, **self.options
        )
        return _aresponses(stream)

    def _ask(self, llama: AnyLlama, verb: str) -> Any:
        kind = "completion" if isinstance(self.asked, str) else "chat_completion"
        return getattr(llama, f"{verb}_{kind}")


def _responses(stream: Any) -> Generator[ChatResponse, None, None]:
    answer = Answer()
    with stream:
        for chunk in stream:
            if (response := answer.add(chunk)) is not None:
                yield response


async def _aresponses(stream: Any) -> AsyncGenerator[ChatResponse, None]:
    answer = Answer()
    async with stream:
        async for chunk in stream:
            if (response := answer.add(chunk)) is not None:
                yield response
