"""Tools in all shapes that callers have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from llamaherd import OptionError
from llamaherd.chat.tools import normalised


def weather(
    city: str,
    days: int = 3,
    unit: Literal["C", "F"] = "C",
    tags: list[str] | None = None,
    note: Annotated[str, "anything else"] = "",
) -> str:
    """The weather of a place.

    Tells no lies.

    Args:
        city: where, with the
            country.
        days (int): how many days.

    Returns:
        A text.
    """
    raise NotImplementedError


class Weather(BaseModel):
    """The weather of a place."""

    city: str = Field(description="where")
    days: int = 3


def test_a_function_tells_all_that_is_needed() -> None:
    (found,) = normalised([weather])
    assert found == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a place.\n\nTells no lies.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "where, with the country."},
                    "days": {"type": "integer", "default": 3, "description": "how many days."},
                    "unit": {"enum": ["C", "F"], "default": "C"},
                    "tags": {
                        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
                    },
                    "note": {"type": "string", "default": "", "description": "anything else"},
                },
                "required": ["city"],
            },
        },
    }


def test_a_model_is_a_tool() -> None:
    (found,) = normalised([Weather])
    assert found["function"]["name"] == "Weather"
    assert found["function"]["description"] == "The weather of a place."
    assert found["function"]["parameters"]["required"] == ["city"]


def test_models_may_be_arguments() -> None:
    def ask(place: Weather) -> None:
        raise NotImplementedError

    (found,) = normalised([ask])
    assert found["function"]["parameters"]["properties"]["place"]["type"] == "object"


@pytest.mark.parametrize("wrapped", [True, False])
def test_definitions_pass_with_and_without_their_wrapper(wrapped: bool) -> None:
    function = {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}
    (found,) = normalised([{"type": "function", "function": function} if wrapped else function])
    assert found["function"]["name"] == "f"
    assert found["function"]["description"] == ""
    assert found["function"]["parameters"] == function["parameters"]


def test_a_tool_without_parameters_takes_none() -> None:
    (found,) = normalised([{"name": "f"}])
    assert found["function"]["parameters"] == {"type": "object", "properties": {}}


def _star(*args: int) -> None: ...


@pytest.mark.parametrize(
    ("tools", "place"),
    [
        ("f", "tools="),
        ([3], r"tools\[0\]"),
        ([{}], r"tools\[0\]\.function\.name"),
        ([{"name": "a b"}], r"tools\[0\]\.function\.name"),
        ([{"name": "f", "parameters": []}], r"tools\[0\] \(f\)\.function\.parameters"),
        ([{"name": "f", "parameters": {"type": "array"}}], r"\(f\)\.function\.parameters"),
        ([{"type": "custom", "name": "f"}], r"tools\[0\]\.type"),
        ([{"name": "f", "description": 3}], r"tools\[0\]\.function\.description"),
        ([{"name": "f"}, {"name": "f"}], "different names"),
        ([_star], r"tools\[0\] \(_star\)\.args"),
    ],
)
def test_a_malformed_tool_is_named(tools: Any, place: str) -> None:
    with pytest.raises(OptionError, match=place):
        normalised(tools)


class Thermometer:
    def read(self, city: str) -> float:
        """Read it."""
        raise NotImplementedError

    @classmethod
    def named(cls, city: str) -> str:
        """Name it."""
        raise NotImplementedError


def test_a_method_is_a_tool_only_with_its_object() -> None:
    for method in (Thermometer().read, Thermometer.named):
        (found,) = normalised([method])
        assert list(found["function"]["parameters"]["properties"]) == ["city"]
    with pytest.raises(OptionError, match=r"tools\[0\] \(read\).*thing\.method"):
        normalised([Thermometer.read])
