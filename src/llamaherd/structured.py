"""Python types as JSON schemas, and answers as their instances. Needs pydantic."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from llamaherd.chat import closed_throughout
from llamaherd.errors import OptionError, StructuredOutputError

JSON = dict[str, Any]
_T = TypeVar("_T")


class Structured(Generic[_T]):
    """A type that answers are made of: a Pydantic model, a TypedDict or a dataclass.

    Attributes:
        schema: of its instances, without properties that it does not name.

    Raises:
        OptionError: it has no JSON schema, or pydantic is not installed.
    """

    def __init__(self, kind: type[_T]) -> None:
        try:
            import pydantic
        except ImportError:
            expected = "pydantic to be installed (pip install pydantic), or a JSON schema"
            raise OptionError("response_format", kind, expected) from None
        self._invalid = pydantic.ValidationError
        try:
            self._adapter: Any = pydantic.TypeAdapter(kind)
            self.schema: JSON = closed_throughout(self._adapter.json_schema())
        except (pydantic.PydanticUserError, pydantic.errors.PydanticInvalidForJsonSchema) as error:
            expected = f"a type with a JSON schema: {error}"
            raise OptionError("response_format", kind, expected) from error

    def instance(self, response: JSON) -> _T:
        """What the first choice of a chat completion says.

        Raises:
            StructuredOutputError: it is not complete, or no instance; has the text.
        """
        choice = response["choices"][0]
        text, reason = choice["message"]["content"] or "", choice["finish_reason"]
        if reason != "stop":
            raise StructuredOutputError(text, reason, "it was not finished")
        try:
            return self._adapter.validate_json(text)  # type: ignore[no-any-return]
        except self._invalid as error:
            raise StructuredOutputError(text, reason, str(error)) from error
