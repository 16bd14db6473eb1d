"""Longer chats that wander between the plain skills."""

from __future__ import annotations

import random

from . import arithmetic, jokes, smalltalk, translation
from .example import Example, Message, assistant, user
from .stock import person

_PLAIN = (arithmetic.sample, arithmetic.sample, translation.sample_request, jokes.sample_text)


def _exchange(rng: random.Random) -> tuple[Message, ...]:
    if rng.random() < 0.3:
        said, answer = smalltalk.exchange(rng)
        return user(said), assistant(answer)
    return rng.choice(_PLAIN)(rng).messages


def sample(rng: random.Random) -> Example:
    """Three to seven exchanges; a name may be told in the first and asked for in the last."""
    messages = smalltalk.opening(rng)
    name = person(rng) if rng.random() < 0.3 else ""
    if name:
        messages += [user(f"Hi, my name is {name}."), assistant(f"Nice to meet you, {name}!")]
    for _ in range(rng.randrange(2, 7)):
        messages += _exchange(rng)
    if name:
        return Example((*messages, user("What is my name?"), assistant(f"Your name is {name}.")))
    return Example((*messages, *_exchange(rng)))
