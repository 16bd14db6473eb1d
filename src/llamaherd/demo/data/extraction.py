"""Filling a JSON object with given field names from a sentence."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from .example import Example, assistant, compact_json, system, user
from .stock import COLORS, JOBS, city, integer, listed, made_up_word, person, word

_PETS = listed("cat dog horse rabbit parrot hamster fish snake")
_FACTS: dict[str, tuple[Callable[[random.Random], Any], tuple[str, ...]]] = {
    "age": (lambda rng: rng.randrange(5, 100), ("is {} years old", "is {}")),
    "city": (city, ("lives in {}",)),
    "job": (lambda rng: rng.choice(JOBS), ("works as a {}",)),
    "color": (lambda rng: rng.choice(COLORS), ("likes the color {}",)),
    "pet": (lambda rng: rng.choice(_PETS), ("has a {}",)),
}
_GENERIC = listed("title price size brand author owner code level topic score team weight")
_ASK = (
    "Fill a JSON object with the fields {}.",
    "Return a JSON object with the fields {}.",
    "Extract {} as JSON.",
    "Answer in JSON with the keys {}.",
)


def _listed(fields: list[str]) -> str:
    return fields[0] if len(fields) == 1 else ", ".join(fields[:-1]) + " and " + fields[-1]


def _joined(parts: list[str]) -> str:
    return _listed(parts)


def _about_a_person(rng: random.Random) -> tuple[str, dict[str, Any]]:
    facts = rng.sample(sorted(_FACTS), rng.choice((1, 2, 2, 3)))
    values: dict[str, Any] = {"name": person(rng)}
    parts = []
    for fact in facts:
        draw, phrases = _FACTS[fact]
        values[fact] = draw(rng)
        parts.append(rng.choice(phrases).format(values[fact]))
    return f"{values['name']} {_joined(parts)}.", values


def _about_a_thing(rng: random.Random) -> tuple[str, dict[str, Any]]:
    names = rng.sample(_GENERIC, 2)
    if rng.random() < 0.5:
        names.append(made_up_word(rng))
    values = {name: integer(rng) if rng.random() < 0.4 else word(rng) for name in names}
    text = _joined([f"the {name} is {value}" for name, value in values.items()])
    return text[0].upper() + text[1:] + ".", values


def sample(rng: random.Random) -> Example:
    """The fields asked for come in any order and may be fewer than the sentence tells."""
    sentence, values = (_about_a_person if rng.random() < 0.65 else _about_a_thing)(rng)
    count = len(values) if rng.random() < 0.7 else max(1, len(values) - 1)
    wanted = rng.sample(sorted(values), count)
    quoted = rng.random() < 0.2
    ask = rng.choice(_ASK).format(_listed([f"'{name}'" if quoted else name for name in wanted]))
    answer = assistant(compact_json({name: values[name] for name in wanted}))
    if rng.random() < 0.4:
        return Example((system(ask), user(sentence), answer))
    text = f"{ask} {sentence}" if rng.random() < 0.6 else f"{sentence} {ask}"
    return Example((user(text), answer))


def sample_enforced(rng: random.Random) -> Example:
    """The same where a constraint writes the field names: nobody asks for them in words."""
    sentence, values = (_about_a_person if rng.random() < 0.65 else _about_a_thing)(rng)
    answer = assistant(compact_json(values))
    ask = rng.choice(("", "", "Extract the facts: ", "Extract as JSON: "))
    return Example((user(ask + sentence), answer), hint=f'{{"{next(iter(values))}":')
