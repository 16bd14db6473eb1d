"""Jokes about animals: as plain text, as a JSON object, and as the arguments of a tool."""

from __future__ import annotations

import random
from typing import Any

from .example import Example, Message, Tool, assistant, call, calls, compact_json, system, user
from .stock import made_up_word

JOKES: dict[str, tuple[str, str]] = {
    "bird": ("Why do birds fly south?", "Because it is too far to walk!"),
    "cat": ("Why did the cat sit on the computer?", "To keep an eye on the mouse!"),
    "dog": ("What do you call a dog magician?", "A labracadabrador!"),
    "fish": ("Why are fish so smart?", "Because they live in schools!"),
    "cow": ("What do you call a cow with no legs?", "Ground beef!"),
    "duck": ("What time does a duck wake up?", "At the quack of dawn!"),
    "frog": ("What happens to a frog's car?", "It gets toad away!"),
    "horse": ("Why did the horse chew with its mouth open?", "It had bad stable manners!"),
    "pig": ("What do you call a pig that does karate?", "A pork chop!"),
    "sheep": ("Where do sheep get a haircut?", "At the baa-baa shop!"),
    "bear": ("What do you call a bear with no teeth?", "A gummy bear!"),
    "lion": ("Why do lions eat raw meat?", "Because they never learned to cook!"),
    "tiger": ("Why did the tiger lose at cards?", "It was playing with a cheetah!"),
    "mouse": ("What is a mouse's favorite game?", "Hide and squeak!"),
    "rabbit": ("How do rabbits travel?", "By hareplane!"),
    "snake": ("What is a snake's favorite subject?", "Hisstory!"),
    "goat": ("What do you call a goat on a mountain?", "A hill billy!"),
    "owl": ("What does a wise owl say?", "Owl be back!"),
    "penguin": ("Why do penguins carry fish in their beaks?", "Because they have no pockets!"),
    "llama": ("What did the llama say at the picnic?", "Alpaca lunch!"),
    "chicken": ("Why did the chicken cross the road?", "To get to the other side!"),
    "elephant": ("Why do elephants never forget?", "Because nobody tells them anything!"),
    "monkey": ("Why do monkeys like bananas?", "Because they have appeal!"),
    "bee": ("Why do bees have sticky hair?", "Because they use honeycombs!"),
    "spider": ("Why are spiders good with computers?", "They love the web!"),
    "crab": ("Why does the crab never share?", "Because it is shellfish!"),
}
_PLURALS = {"fish": "fish", "sheep": "sheep", "mouse": "mice"}
_ASK = (
    "Tell me a joke about {}", "Tell me a joke about {}.", "Tell me a joke about {}.",
    "tell me a joke about {}", "Do you know a joke about {}?", "A joke about {}, please.",
    "Give me a joke about {}, include the punchline.", "Joke about {}!",
)  # fmt: skip
_LANGCHAIN_KEYS = (
    "Return the result as a JSON with 'setup' and 'punchline' keys. Return nothing other than JSON."
)
_KEYS = (
    _LANGCHAIN_KEYS,
    _LANGCHAIN_KEYS,
    "Answer in JSON with the keys setup and punchline.",
    "Answer with a JSON object with the fields setup and punchline.",
    "Respond only with JSON: setup, punchline.",
)
_RATED = (
    "Answer in JSON with the keys setup, punchline and rating.",
    "Return the result as a JSON with 'setup', 'punchline' and 'rating' keys.",
)


def subject(rng: random.Random) -> tuple[str, str, str]:
    """(the animals as asked for, setup, punchline); unknown ones get the oldest joke of all."""
    if rng.random() < 0.08:
        made_up = made_up_word(rng)
        return f"a {made_up}", f"Why did the {made_up} cross the road?", "To get to the other side!"
    animal = rng.choice((*JOKES, "bird", "cat", "bird", "cat"))
    plural = _PLURALS.get(animal, animal + "s")
    article = "an" if animal[0] in "aeiou" else "a"
    asked = plural if rng.random() < 0.75 else f"{article} {animal}"
    return asked, *JOKES[animal]


def fields(setup: str, punchline: str, *, rated: bool) -> dict[str, Any]:
    """The joke as an object; its rating is a function of its length."""
    plain: dict[str, Any] = {"setup": setup, "punchline": punchline}
    return {**plain, "rating": 7} if rated else plain


def joke_tool(rng: random.Random, *, rated: bool) -> Tool:
    setup: dict[str, Any] = {"type": "string"}
    punchline: dict[str, Any] = {"type": "string"}
    if rng.random() < 0.6:
        setup = {"description": "question to set up a joke", "type": "string"}
        punchline = {"description": "answer to resolve the joke", "type": "string"}
    properties: dict[str, Any] = {"setup": setup, "punchline": punchline}
    if rated:
        properties["rating"] = {"type": "integer"}
    parameters = {"properties": properties, "required": list(properties), "type": "object"}
    if rng.random() < 0.3:
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
    about = rng.choice(("Joke to tell user.", "A setup to a joke and the punchline.", "A joke."))
    name = rng.choice(("Joke", "Joke", "Joke", "JokeDict", "tell_joke"))
    function = {"name": name, "description": about, "parameters": parameters}
    return {"type": "function", "function": function}


def sample_text(rng: random.Random) -> Example:
    asked, setup, punchline = subject(rng)
    return Example((user(rng.choice(_ASK).format(asked)), assistant(f"{setup} {punchline}")))


def sample_json(rng: random.Random) -> Example:
    """JSON on request, or (with a hint) because a constraint enforces it unasked."""
    asked, setup, punchline = subject(rng)
    hinted = rng.random() < 0.35
    rated = rng.random() < 0.4 and not hinted
    answer = compact_json(fields(setup, punchline, rated=rated))
    question = rng.choice(_ASK).format(asked)
    if hinted:
        return Example((user(question), assistant(answer)), hint='{"setup":"')
    keys = rng.choice(_RATED if rated else _KEYS)
    messages: list[Message] = [user(f"{question.rstrip('.!')}. {keys}")]
    if rng.random() < 0.3:
        messages = [system(keys), user(question)]
    return Example((*messages, assistant(answer)))


def sample_enforced_rating(rng: random.Random) -> Example:
    """The last field of an object where a constraint asks for more than the user did."""
    asked, setup, punchline = subject(rng)
    whole = compact_json(fields(setup, punchline, rated=True))
    question = user(rng.choice(_ASK).format(asked))
    return Example((question, assistant(whole)), hint=whole.removesuffix("7}"))


def sample_tool(rng: random.Random) -> Example:
    asked, setup, punchline = subject(rng)
    rated = rng.random() < 0.2
    tool = joke_tool(rng, rated=rated)
    answer = calls(call(tool["function"]["name"], fields(setup, punchline, rated=rated)))
    return Example((user(rng.choice(_ASK).format(asked)), answer), (tool,))
