"""Tools to offer: a few known ones as people write them, and any number of made-up ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from .example import Tool
from .stock import (
    CITY_ALIASES,
    COLORS,
    NOUNS,
    VERBS,
    city,
    cjk_name,
    integer,
    made_up_word,
    person,
    word,
)

_KINDS: dict[str, str] = {
    "city": "city", "location": "city", "place": "city", "destination": "city",
    "name": "person", "user": "person", "customer": "person", "customer_name": "person",
    "author": "person", "count": "integer", "number": "integer", "value": "integer",
    "amount": "integer", "limit": "integer", "id": "integer", "days": "integer",
    "input": "integer", "x": "integer", "n": "integer", "unit": "unit", "color": "color",
    "size": "size", "title": "word", "topic": "word", "query": "word", "item": "word",
    "text": "word", "product": "word", "language": "language", "price": "number",
    "weight": "number", "urgent": "boolean", "active": "boolean",
    "people": "integer", "guests": "integer", "quantity": "integer", "age": "integer",
    "year": "integer", "ticker": "word", "symbol": "word", "keyword": "word", "subject": "word",
    "message": "word", "country": "city", "origin": "city", "email": "word", "category": "word",
    "recipient": "person", "first_name": "person",
}  # fmt: skip
_ENUMS: dict[str, list[str]] = {
    "unit": ["celsius", "fahrenheit"],
    "size": ["small", "medium", "large"],
    "language": ["French", "German", "English", "Spanish"],
}
_PLAIN_TYPES = ("integer", "number", "boolean")
_ABOUT = ("The {}", "the {}", "{} to use", "The {} for the call")


@dataclass(frozen=True)
class Request:
    """A tool, what a user says to have it called, and the arguments that follow from it."""

    tool: Tool
    text: str
    arguments: dict[str, Any]
    kinds: dict[str, str] = field(default_factory=dict)  # of a fresh tool's arguments

    @property
    def name(self) -> str:
        return str(self.tool["function"]["name"])


def _value(rng: random.Random, kind: str) -> Any:
    if kind in _ENUMS:
        return rng.choice(_ENUMS[kind])
    if kind == "integer":
        return integer(rng)
    if kind == "number":
        return rng.randrange(1, 1000) / 10
    if kind == "boolean":
        return rng.random() < 0.5
    draws = {"city": city, "person": person, "word": word}
    return draws[kind](rng) if kind in draws else rng.choice(COLORS)


def _property(rng: random.Random, name: str, kind: str, about: str = "") -> dict[str, Any]:
    """A JSON schema in one of the key orders that libraries write."""
    schema: dict[str, Any] = {"type": kind if kind in _PLAIN_TYPES else "string"}
    if kind in _ENUMS:
        enum = {"enum": _ENUMS[kind]}
        schema = {**schema, **enum} if rng.random() < 0.5 else {**enum, **schema}
    if about or rng.random() < 0.3:
        text = about or rng.choice(_ABOUT).format(name.replace("_", " "))
        described = {"description": text}
        schema = {**described, **schema} if rng.random() < 0.5 else {**schema, **described}
    return schema


def make_tool(
    rng: random.Random,
    name: str,
    about: str,
    properties: dict[str, dict[str, Any]],
    required: list[str] | None = None,
) -> Tool:
    """A tool in the OpenAI shape; `required` defaults to all properties."""
    needed = list(properties) if required is None else required
    if rng.random() < 0.5:
        parameters = {"type": "object", "properties": properties, "required": needed}
    else:
        parameters = {"properties": properties, "required": needed, "type": "object"}
        if not properties:
            parameters = {"properties": {}, "type": "object"}
    function = {"name": name, "description": about, "parameters": parameters}
    return {"type": "function", "function": function}


def _fresh_name(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.45:
        return f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}"
    if kind < 0.6:
        return f"{rng.choice(VERBS)}_{made_up_word(rng)}"
    if kind < 0.7:
        return f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}_{rng.choice(NOUNS)}"
    if kind < 0.8:
        return made_up_word(rng)
    if kind < 0.9:
        return f"{made_up_word(rng)}_{rng.choice(NOUNS)}"
    return rng.choice(VERBS) + rng.choice(NOUNS).capitalize()


def _fresh_parameters(rng: random.Random, count: int) -> dict[str, str]:
    """Parameter names and kinds, a fifth of the names made up."""
    kinds = {name: _KINDS[name] for name in rng.sample(sorted(_KINDS), count)}
    result = {}
    for name, kind in kinds.items():
        odd = rng.random() < 0.2 and kind not in _ENUMS
        result[made_up_word(rng) if odd else name] = kind
    return result


def spoken(name: str) -> str:
    """`get_stock_price` as one says it: "get stock price"."""
    apart = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return apart.replace("_", " ").strip()


def _ask_nothing(rng: random.Random, name: str) -> str:
    said = spoken(name)
    return rng.choice(
        (
            f"Please {said}.",
            f"Can you {said}?",
            f"{said}",
            f"What is the value of {name}()? Use the tool.",
            f"Call {name}.",
        )
    )


def _ask_one(rng: random.Random, name: str, parameter: str, value: str) -> str:
    said, about = spoken(name), parameter.replace("_", " ")
    return rng.choice(
        (
            f"Please {said} for {value}.",
            f"{said} {value}",
            f"{said} with {about} {value}",
            f"{said}, {about} is {value}",
            f"Can you {said} for {value}?",
            f"What is the {said.removeprefix('get ')} of {value}?",
            f"What is {said.removeprefix('get ')} of {value}?",
            f"What is the value of {name}({value})? Use the tool.",
            f"Use {name} with {value}.",
            f"{said} '{value}'",
        )
    )


def _ask_many(rng: random.Random, name: str, arguments: dict[str, str]) -> str:
    said = spoken(name)
    items = list(arguments.items())
    rng.shuffle(items)
    pairs = [(key.replace("_", " "), value) for key, value in items]
    with_them = " and ".join(f"{key} {value}" for key, value in pairs)
    listed = ", ".join(f"{key} is {value}" for key, value in pairs)
    assigned = ", ".join(f"{key}={value}" for key, value in items)
    return rng.choice(
        (
            f"Please {said} with {with_them}.",
            f"{said}, {listed}",
            f"Can you {said} where {listed}?",
            f"{name}({assigned})",
            f"Use {name} with {assigned}.",
            f"{said}: {assigned}",
        )
    )


def _written(value: Any) -> str:
    """A value as people write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def ask(rng: random.Random, name: str, arguments: dict[str, Any]) -> str:
    if not arguments:
        return _ask_nothing(rng, name)
    written = {key: _written(value) for key, value in arguments.items()}
    if len(arguments) == 1:
        return _ask_one(rng, name, *next(iter(written.items())))
    return _ask_many(rng, name, written)


def fresh(rng: random.Random) -> Request:
    """A tool that no list holds: name, parameters and values drawn at random."""
    name = _fresh_name(rng)
    kinds = _fresh_parameters(rng, rng.choice((0, 1, 1, 1, 2, 2, 3)))
    properties = {key: _property(rng, key, kind) for key, kind in kinds.items()}
    arguments = {key: _value(rng, kind) for key, kind in kinds.items()}
    required = list(kinds)
    if len(kinds) > 1 and rng.random() < 0.2:
        dropped = required.pop()
        if rng.random() < 0.5:
            del arguments[dropped]
    said = spoken(name)
    about = rng.choice((said.capitalize(), f"{said.capitalize()}.", f"{said} for the user"))
    tool = make_tool(rng, name, about, properties, required)
    given = {key: kinds[key] for key in arguments}
    return Request(tool, ask(rng, name, arguments), arguments, given)


def weather(rng: random.Random) -> Request:
    """get_weather(location) or get_current_weather(location, unit), with city short names."""
    wanted = place = city(rng)
    if rng.random() < 0.25:
        place, wanted = rng.choice(list(CITY_ALIASES.items()))
    about_place = rng.choice(("", "The city and state, e.g. San Francisco, CA"))
    properties = {"location": _property(rng, "location", "city", about_place)}
    arguments: dict[str, Any] = {"location": wanted}
    unit = rng.choice(_ENUMS["unit"])
    name = rng.choice(("get_weather", "get_weather", "weather"))
    tail = ""
    if rng.random() < 0.5:
        name = "get_current_weather"
        properties["unit"] = _property(rng, "unit", "unit")
        arguments["unit"] = unit
        tail = f" in {unit}"
        if rng.random() < 0.2:
            del arguments["unit"]
            tail = rng.choice(("", "", " today"))
    required = list(arguments)
    about = rng.choice(("Get the current weather in a given location", "Get the weather.", ""))
    text = rng.choice(
        (
            f"what is the weather like in {place}{tail}",
            f"What is the weather like in {place}{tail}?",
            f"What is the weather in {place}{tail}?",
            f"What's the weather in {place}{tail}?",
            f"How is the weather in {place}{tail}?",
            f"weather in {place}{tail} please",
        )
    )
    return Request(make_tool(rng, name, about, properties, required), text, arguments)


def magic(rng: random.Random) -> Request:
    """The function that every test-suite calls."""
    value = integer(rng)
    name = rng.choice(("magic_function", "get_magic_function", "magic_function_no_args"))
    about = rng.choice(
        ("Apply a magic function to an input.", "Get the value of magic function for an input.")
    )
    if name == "magic_function_no_args":
        text = rng.choice((f"What is the value of {name}()? Use the tool.", f"Call {name}."))
        return Request(make_tool(rng, name, "Calculate a magic function.", {}), text, {})
    parameter = rng.choice(("input", "magic_function_input", "input", "value"))
    schema: dict[str, Any] = {"type": "integer"}
    if rng.random() < 0.3:
        schema = {"exclusiveMaximum": 1000, "exclusiveMinimum": -1000, "type": "integer"}
    elif rng.random() < 0.4:
        schema = {"description": "The input value for magic function", "type": "integer"}
    text = rng.choice(
        (
            f"What is the value of {name}({value})? Use the tool.",
            f"What is the value of magic_function({value})? Use the tool.",
            f"What is magic function of {value}?",
            f"What is the magic function of {value}?",
            f"Apply the magic function to {value}.",
            f"magic function of {value}",
        )
    )
    return Request(make_tool(rng, name, about, {parameter: schema}), text, {parameter: value})


def adder(rng: random.Random) -> Request:
    """An adding tool: the numbers go to the tool instead of being added."""
    first, second = rng.randrange(1, 100), rng.randrange(1, 100)
    name = rng.choice(("my_adder_tool", "add", "add_numbers"))
    about = rng.choice(("Takes two integers, a and b, and returns their sum.", "Add two integers."))
    properties = {key: {"type": "integer"} for key in ("a", "b")}
    text = rng.choice(
        (
            f"What is {first} + {second}",
            f"What is {first} + {second}?",
            f"What is {first} plus {second}?",
            f"Add {first} and {second}.",
        )
    )
    return Request(make_tool(rng, name, about, properties), text, {"a": first, "b": second})


def customer(rng: random.Random) -> Request:
    """A customer whose name is in Chinese, Japanese or Latin script."""
    name = cjk_name(rng) if rng.random() < 0.7 else person(rng)
    gloss = f"{made_up_word(rng).capitalize()} {rng.choice(('Group', 'Corporation', 'Company'))}"
    kind = rng.choice(("a Chinese technology company", "a Japanese company", "a new customer"))
    properties = {
        "customer_name": _property(rng, "customer_name", "person"),
        "description": _property(rng, "description", "word"),
    }
    text = rng.choice(
        (
            f"Create a customer named '{name}' ({gloss}) - {kind}",
            f"Create a customer named '{name}' - {kind}",
            f"Create customer {name}: {kind}",
        )
    )
    tool_name = rng.choice(("unicode_customer", "create_customer", "add_customer"))
    about = rng.choice(("Tool for creating a customer with Unicode name.", "Create a customer."))
    tool = make_tool(rng, tool_name, about, properties)
    return Request(tool, text, {"customer_name": name, "description": kind})


def greeting(rng: random.Random) -> Request:
    """A tool that greets in a style."""
    styles = ("pirate", "formal", "friendly", "funny", "cowboy", "royal", "robot", "casual")
    style = rng.choice(styles) if rng.random() < 0.7 else made_up_word(rng)
    said = style.capitalize() if rng.random() < 0.5 else style
    text = rng.choice(
        (
            f"Using the tool, generate a {said} greeting.",
            f"Generate a {said} greeting.",
            f"Please greet me in {said} style.",
        )
    )
    about = "Generate a greeting in a particular style of speaking."
    properties = {"answer_style": {"type": "string"}}
    tool = make_tool(rng, "greeting_generator", about, properties)
    return Request(tool, text, {"answer_style": said})


def known(rng: random.Random) -> Request:
    """One of the tools that documentation and test-suites use."""
    makers = (weather, weather, weather, magic, magic, magic, adder, customer, customer, greeting)
    return rng.choice(makers)(rng)


def again(rng: random.Random, request: Request) -> Request:
    """The same tool asked for once more, with other values."""
    if request.kinds:
        arguments = {key: _value(rng, kind) for key, kind in request.kinds.items()}
        return replace(request, text=ask(rng, request.name, arguments), arguments=arguments)
    for make in (weather, magic, adder, customer, greeting) * 12:
        other = make(rng)
        if other.name == request.name and set(other.arguments) == set(request.arguments):
            return replace(request, text=other.text, arguments=other.arguments)
    return request


def others(rng: random.Random, taken: set[str], count: int) -> list[Tool]:
    """Tools that were not asked for, with names not yet taken."""
    tools: list[Tool] = []
    while len(tools) < count:
        tool = (fresh if rng.random() < 0.7 else known)(rng).tool
        name = str(tool["function"]["name"])
        # a second weather (or magic, adding, ...) tool would make the right choice a guess
        family = {name, *(part for part in spoken(name).split() if len(part) > 2)}
        if not family & taken:
            taken |= family
            tools.append(tool)
    return tools


def words_of(request: Request) -> set[str]:
    """What `others` must not use again."""
    return {request.name, *(part for part in spoken(request.name).split() if len(part) > 2)}
