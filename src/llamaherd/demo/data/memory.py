"""Remembering a name that was told some turns ago."""

from __future__ import annotations

import random

from . import arithmetic, smalltalk
from .example import Example, Message, assistant, user
from .stock import person

_TELL = (
    "Hi, my name is {}.",
    "My name is {}.",
    "I am {}.",
    "Hello, I'm {}.",
    "Call me {}.",
    "hi! my name is {}",
)
_ASK = (
    "What is my name?",
    "Do you remember my name?",
    "what's my name?",
    "Who am I?",
    "What did I say my name was?",
)


def sample(rng: random.Random) -> Example:
    name = person(rng)
    messages: list[Message] = [*smalltalk.opening(rng), user(rng.choice(_TELL).format(name))]
    messages.append(assistant(f"Nice to meet you, {name}!"))
    for _ in range(rng.choice((0, 1, 1, 2))):
        source = smalltalk if rng.random() < 0.6 else arithmetic
        said, answer = source.exchange(rng)
        messages += [user(said), assistant(answer)]
    return Example((*messages, user(rng.choice(_ASK)), assistant(f"Your name is {name}.")))
