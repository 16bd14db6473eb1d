"""Answers held to a Pydantic model's schema, whole and as they grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from llamaherd.structured import Structured

Model = TypeVar("Model", bound=BaseModel)


class Objects(Generic[Model]):
    """Reads the objects of one class.

    Attributes:
        schema: of them, for the answer.
    """

    def __init__(self, kind: type[Model]) -> None:
        self._kind, self._structured = kind, Structured(kind)
        self._flexible = create_flexible_model(kind)
        self.schema = self._structured.schema

    def whole(self, response: ChatResponse) -> Model:
        """The object that a whole answer is.

        Raises:
            StructuredOutputError: the answer was cut off, or Pydantic asks for more than the
                schema says; has the text.
        """
        assert response.raw is not None
        reason = response.raw["choices"][0]["finish_reason"]
        message = {"content": response.message.content}
        return self._structured.instance(
            {"choices": [{"message": message, "finish_reason": reason}]}
        )

    def growing(
        self, responses: Iterable[ChatResponse]
    ) -> Generator[Model | FlexibleModel, None, None]:
        """What is there so far, each time that it changed; the last one is whole."""
        seen = last = None
        for last in responses:
            if (found := _value(last)) != seen:
                seen = found
                yield self._partial(found)
        if last is not None:
            yield self.whole(last)

    async def agrowing(
        self, responses: AsyncIterable[ChatResponse]
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        """The same for coroutines."""
        seen = last = None
        async for last in responses:
            if (found := _value(last)) != seen:
                seen = found
                yield self._partial(found)
        if last is not None:
            yield self.whole(last)

    def _partial(self, value: Any) -> Model | FlexibleModel:
        try:
            return self._kind.model_validate(value)
        except ValidationError:
            return self._flexible.model_validate(value)


def _value(response: ChatResponse) -> Any:
    """The JSON so far, None while there is none."""
    text = (response.message.content or "").lstrip()
    return from_json(text, allow_partial="trailing-strings") if text else None
