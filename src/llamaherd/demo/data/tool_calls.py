"""Calling tools: one call for one request, two for two, none when no tool fits."""

from __future__ import annotations

import random
from typing import Any

from . import arithmetic, jokes, smalltalk, translation
from .example import Example, Message, assistant, call, calls, system, user
from .smalltalk import SYSTEMS
from .stock import city
from .toolbox import Request, fresh, known, magic, others, weather, words_of

_NO_TOOL = "Sorry, I have no tool for that."
_USED_BY_PLAIN_ANSWERS = ("add", "numbers", "weather", "joke", "translate", "count", "compute")


def _opening(rng: random.Random) -> list[Message]:
    return [system(rng.choice(SYSTEMS))] if rng.random() < 0.2 else []


def _offer(rng: random.Random, requests: list[Request], extra: int) -> tuple[dict[str, Any], ...]:
    """The tools of the requests (each once) among others, shuffled."""
    tools = {request.name: request.tool for request in requests}
    taken = set().union(*(words_of(request) for request in requests))
    offered = [*tools.values(), *others(rng, taken, extra)]
    rng.shuffle(offered)
    return tuple(offered)


def _one(rng: random.Random, request: Request, extra: int) -> Example:
    answer = calls(call(request.name, request.arguments))
    messages = (*_opening(rng), user(request.text), answer)
    return Example(messages, _offer(rng, [request], extra))


def sample_known(rng: random.Random) -> Example:
    """One of the usual tools, alone."""
    return _one(rng, known(rng), 0)


def sample_unseen(rng: random.Random) -> Example:
    """A tool made up on the spot, alone."""
    return _one(rng, fresh(rng), 0)


def sample_choice(rng: random.Random) -> Example:
    """The right one of two to four tools."""
    request = (known if rng.random() < 0.4 else fresh)(rng)
    return _one(rng, request, rng.choice((1, 1, 2, 3)))


def _two_of_one(rng: random.Random) -> tuple[list[Request], str]:
    """Two values (or three) for one tool: "the weather in Paris and London"."""
    request = (weather if rng.random() < 0.5 else magic)(rng)
    key = next(iter(request.arguments), "")
    old = str(request.arguments.get(key, ""))
    if not old or request.text.count(old) != 1:
        return _two_of_one(rng)
    number = isinstance(request.arguments[key], int)
    count = rng.choice((1, 1, 1, 2))
    more: list[Any] = [rng.randrange(100) if number else city(rng) for _ in range(count)]
    if len({old, *map(str, more)}) <= len(more):
        return _two_of_one(rng)
    listed = ", ".join([old, *map(str, more[:-1])]) + f" and {more[-1]}"
    text = request.text.replace(old, listed)
    again = [Request(request.tool, text, {**request.arguments, key: new}) for new in more]
    return [request, *again], text


def _two_in_a_row(rng: random.Random) -> tuple[list[Request], str]:
    first = (known if rng.random() < 0.6 else fresh)(rng)
    second = (known if rng.random() < 0.6 else fresh)(rng)
    if words_of(first) & words_of(second):
        return _two_in_a_row(rng)
    joint = rng.choice((" And ", " Then ", " Also: ", "\n"))
    return [first, second], first.text + joint + second.text


def sample_two(rng: random.Random) -> Example:
    """Two requests in one message: two calls, in the order of the requests."""
    requests, text = (_two_of_one if rng.random() < 0.5 else _two_in_a_row)(rng)
    answer = calls(*(call(request.name, request.arguments) for request in requests))
    extra = 1 if len({request.name for request in requests}) == 1 and rng.random() < 0.2 else 0
    return Example((*_opening(rng), user(text), answer), _offer(rng, requests, extra))


def sample_none(rng: random.Random) -> Example:
    """Tools are there but none fits: a plain answer."""
    kind = rng.random()
    tools = tuple(others(rng, set(_USED_BY_PLAIN_ANSWERS), rng.choice((1, 1, 2))))
    if kind < 0.12:
        asked = weather(rng).text
        return Example((*_opening(rng), user(asked), assistant(_NO_TOOL)), tools)
    if kind < 0.55:
        asked, said = smalltalk.exchange(rng)
    elif kind < 0.8:
        asked, said = arithmetic.exchange(rng)
    else:
        source = (translation.sample if kind < 0.9 else jokes.sample_text)(rng)
        return Example(source.messages, tools)
    return Example((*_opening(rng), user(asked), assistant(said)), tools)


def _least(schema: dict[str, Any]) -> Any:
    """The argument for a call that was forced although nothing in the request fits."""
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": 1, "number": 1, "boolean": False}.get(str(schema.get("type")), "unknown")


def sample_forced(rng: random.Random) -> Example:
    """A call forced by the caller: the name is a hint, the arguments are the model's."""
    request = (known if rng.random() < 0.5 else fresh)(rng)
    hint = f'<tool_call>\n{{"name": "{request.name}", "arguments": '
    tools = _offer(rng, [request], rng.choice((0, 0, 1)))
    if rng.random() < 0.5:
        answer = calls(call(request.name, request.arguments))
        return Example((user(request.text), answer), tools, hint=hint)
    properties = request.tool["function"]["parameters"]["properties"]
    arguments = {key: _least(schema) for key, schema in properties.items()}
    asked, _ = smalltalk.exchange(rng)
    return Example((user(asked), calls(call(request.name, arguments))), tools, hint=hint)
