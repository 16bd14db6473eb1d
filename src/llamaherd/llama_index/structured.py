"""Answers held to a Pydantic model's schema, whole and as they grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from llamaherd.errors import OptionError

Model = TypeVar("Model", bound=BaseModel)


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Its JSON schema, closed: what Pydantic did not ask for it ignores, so it may not come."""
    schema: dict[str, Any] = _closed(kind.model_json_schema())
    return schema


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(value) for key, value in schema.items()}
    if found.get("type") == "object" and "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


class Structured(Generic[Model]):
    """Reads the objects of one answer.

    Args:
        kind: the class of the object.
        max_tokens: of the answer, for the message where it was too short.
    """

    def __init__(self, kind: type[Model], max_tokens: int | None) -> None:
        self._kind, self._max_tokens = kind, max_tokens
        self._flexible = create_flexible_model(kind)

    def whole(self, response: ChatResponse) -> Model:
        """The object that a whole answer is.

        Raises:
            OptionError: the answer was cut off, ``max_tokens`` or the context being too small.
            ValidationError: Pydantic asks for more than the schema says.
        """
        text = response.message.content or ""
        if response.raw["choices"][0]["finish_reason"] in ("length", "cancelled"):  # type: ignore[index]
            raise self._too_short(text)
        return self._kind.model_validate_json(text)

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

    def _too_short(self, text: str) -> OptionError:
        error = OptionError(
            "max_tokens",
            self._max_tokens,
            f"more (or a larger n_ctx): the answer ended before the {self._kind.__name__} did",
        )
        error.partial_text = text
        return error


def _value(response: ChatResponse) -> Any:
    """The JSON so far, None while there is none."""
    text = (response.message.content or "").lstrip()
    return from_json(text, allow_partial="trailing-strings") if text else None
