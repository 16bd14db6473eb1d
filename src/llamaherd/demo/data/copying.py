"""Warm-up tasks that are nothing but copying: they make the attention heads that tools need."""

from __future__ import annotations

import random

from .example import Example, assistant, to_json, user
from .stock import city, cjk_name, integer, made_up_word, person, word


def _value(rng: random.Random) -> str:
    draw = rng.choice((word, word, made_up_word, person, city, cjk_name, integer))
    return str(draw(rng))


def sample_repeat(rng: random.Random) -> Example:
    """A random string, then the same once more."""
    text = " ".join(_value(rng) for _ in range(rng.randrange(2, 16)))
    return Example(raw=(f"{text}\n", text))


def sample_lookup(rng: random.Random) -> Example:
    """Pairs of key and value; some keys are asked for again."""
    keys = list({made_up_word(rng): None for _ in range(rng.randrange(2, 7))})
    pairs = {key: _value(rng) for key in keys}
    told = rng.choice(("{} is {}", "{}={}", '"{}": "{}"', "{} {}"))
    facts = ", ".join(told.format(key, value) for key, value in pairs.items())
    asked = rng.sample(keys, rng.randrange(1, len(keys) + 1))
    answer = to_json({key: pairs[key] for key in asked})
    return Example((user(f"{facts}. {' '.join(asked)}"), assistant(answer)))


def sample_say(rng: random.Random) -> Example:
    """A request to say something back."""
    text = " ".join(_value(rng) for _ in range(rng.choice((1, 1, 2, 3))))
    ask = rng.choice(("Repeat: {}", "Say {}", "Please repeat after me: {}", "Echo '{}'"))
    return Example((user(ask.format(text)), assistant(text)))
