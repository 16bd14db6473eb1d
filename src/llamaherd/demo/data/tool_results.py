"""Turning what a tool returned into a sentence; errors and follow-up turns included."""

from __future__ import annotations

import random
from typing import Any

from . import smalltalk
from .example import Example, Message, assistant, call, calls, to_json, tool_result, user
from .stock import integer, person, word
from .toolbox import Request, adder, again, fresh, known, magic, others, spoken, weather, words_of

_SKIES = ("sunny", "cloudy", "raining", "windy", "snowing", "foggy", "hot", "cold", "stormy")
_FAILURES = (
    "Missing required argument '{}'.", "unknown {}", "{} not found", "The {} is not available.",
    "timeout", "invalid {}", "permission denied", "No {} was given.",
)  # fmt: skip


def _weather_result(rng: random.Random, request: Request) -> tuple[str, str]:
    """(what the tool returns, what the model says about it)."""
    place, sky = request.arguments["location"], rng.choice(_SKIES)
    degrees = rng.randrange(-10, 40)
    unit = request.arguments.get("unit", "celsius")
    if rng.random() < 0.4:
        said = f"It's {sky}."
        return said, f"The weather in {place}: {said}"
    if rng.random() < 0.5:
        result: dict[str, Any] = {"temperature": degrees, "unit": unit}
        return to_json(result), f"The weather in {place}: {degrees} degrees {unit}."
    said = f"Now the weather in {place} is {degrees} {unit}"
    return said, f"{said}."


def _plain_result(rng: random.Random) -> tuple[str, str]:
    """A value, bare or in an object; the key becomes the subject."""
    value: Any = integer(rng) if rng.random() < 0.5 else rng.choice((word, person))(rng)
    if rng.random() < 0.5:
        return str(value), f"The result is {value}."
    key = rng.choice(("result", "result", "value", "output", "status", "price", "total", "name"))
    return to_json({key: value}), f"The {key} is {value}."


def _failure(rng: random.Random, request: Request) -> tuple[str, str]:
    reason = rng.choice(_FAILURES).format(next(iter(request.arguments), spoken(request.name)))
    told = reason if reason.endswith(".") else f"{reason}."
    return f"Error: {reason}", f"Sorry, the tool failed: {told}"


def _outcome(rng: random.Random, request: Request) -> tuple[str, str]:
    if rng.random() < 0.15:
        return _failure(rng, request)
    if "location" in request.arguments and "weather" in request.name:
        return _weather_result(rng, request)
    return _plain_result(rng)


def _turn(request: Request) -> list[Message]:
    return [user(request.text), calls(call(request.name, request.arguments))]


def _request(rng: random.Random) -> Request:
    kind = rng.random()
    if kind < 0.45:
        return weather(rng)
    if kind < 0.6:
        return (magic if kind < 0.52 else adder)(rng)
    return (fresh if kind < 0.85 else known)(rng)


def sample_result(rng: random.Random) -> Example:
    """A call, its result, and the sentence about it."""
    request = _request(rng)
    result, said = _outcome(rng, request)
    tools = [request.tool, *others(rng, words_of(request), rng.choice((0, 0, 0, 1)))]
    rng.shuffle(tools)
    return Example((*_turn(request), tool_result(result), assistant(said)), tuple(tools))


def sample_results(rng: random.Random) -> Example:
    """Two calls in one turn, two results, two sentences."""
    first = _request(rng)
    second = _request(rng)
    if words_of(first) & words_of(second):
        return sample_results(rng)
    outcomes = [
        _plain_result(rng) if rng.random() < 0.5 else _outcome(rng, r) for r in (first, second)
    ]
    messages = [
        user(f"{first.text} And {second.text}"),
        calls(call(first.name, first.arguments), call(second.name, second.arguments)),
        *(tool_result(result) for result, _ in outcomes),
        assistant(" ".join(said for _, said in outcomes)),
    ]
    return Example(tuple(messages), (first.tool, second.tool))


def sample_dialogue(rng: random.Random) -> Example:
    """After one to three calls and their answers: another call, or small talk without one."""
    request = _request(rng)
    tools = (request.tool,)
    messages: list[Message] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        result, said = _outcome(rng, request)
        messages += [*_turn(request), tool_result(result), assistant(said)]
        request = again(rng, request)
    if rng.random() < 0.25:
        asked, answer = smalltalk.exchange(rng)
        return Example((*messages, user(asked), assistant(answer)), tools)
    return Example((*messages, *_turn(request)), tools)
