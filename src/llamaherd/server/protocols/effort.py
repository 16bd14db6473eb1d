"""How much a model is to think, as clients say it and as templates know it. Pure."""

from __future__ import annotations

from typing import Any

from llamaherd.errors import OptionError

JSON = dict[str, Any]

EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""Templates that know efforts were trained with low, medium and high."""


def effort_hints(place: str, effort: Any) -> JSON:
    """The options of an effort; to be left out where a model's template has no such switch.

    Raises:
        OptionError: no effort of that name.
    """
    if effort == "none":
        return {"enable_thinking": False}
    if not isinstance(effort, str) or effort not in EFFORTS:
        raise OptionError(place, effort, f"one of {['none', *EFFORTS]}")
    return {"enable_thinking": True, "reasoning_effort": EFFORTS[effort]}
