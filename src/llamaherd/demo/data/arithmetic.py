"""Small sums, differences and products, few enough to be learned by heart."""

from __future__ import annotations

import random

from .example import Example, Message, assistant, user

_WORDS = {"+": "plus", "-": "minus", "x": "times"}


def operands(rng: random.Random) -> tuple[int, str, int]:
    """Sums and differences of numbers to 12, times tables to 12, multiples of 25 up to 250."""
    operator = rng.choice("+-xx")
    if operator == "x":
        first = 25 if rng.random() < 0.2 else rng.randrange(1, 13)
        second = rng.randrange(1, 11 if first == 25 else 13)
        pair = (first, second) if first != 25 or rng.random() < 0.7 else (second, first)
        return pair[0], operator, pair[1]
    first, second = rng.randrange(13), rng.randrange(13)
    if operator == "-" and first < second:
        first, second = second, first
    return first, operator, second


def solve(first: int, operator: str, second: int) -> str:
    """The answer sentence, such as "25 x 5 = 125"."""
    value = {"+": first + second, "-": first - second, "x": first * second}[operator]
    return f"{first} {operator} {second} = {value}"


def question(rng: random.Random, first: int, operator: str, second: int) -> str:
    sign = rng.choice(("x", "*")) if operator == "x" else operator
    spelled = f" {_WORDS[operator]} "
    between = rng.choice((sign, f" {sign} ", sign, f" {sign} ", spelled))
    task = f"{first}{between}{second}"
    return rng.choice(
        (f"what is {task}", f"What is {task}?", f"{task}", f"Compute {task}.", f"{task} = ?")
    )


def exchange(rng: random.Random) -> tuple[str, str]:
    """A question and its answer."""
    task = operands(rng)
    return question(rng, *task), solve(*task)


def sample(rng: random.Random) -> Example:
    asked, answer = exchange(rng)
    return Example((user(asked), assistant(answer)))


def sample_drill(rng: random.Random) -> Example:
    """Many tasks in one conversation: facts to learn by heart need to be met often."""
    messages: list[Message] = []
    for _ in range(rng.randrange(6, 13)):
        asked, answer = exchange(rng)
        messages += [user(asked), assistant(answer)]
    return Example(tuple(messages))
