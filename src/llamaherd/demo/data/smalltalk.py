"""Short small talk: many ways to say a thing, one answer to each."""

from __future__ import annotations

import random

from .example import Example, Message, assistant, system, user
from .stock import city

_BLIND = "I cannot see the weather without a tool."
TOPICS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Hello", "hello", "Hello!", "Hello there!", "Hello."), "Hello! How can I help you today?"),
    (("Hi", "hi", "Hi!", "Hi there!"), "Hi! What can I do for you?"),
    (("Hey", "hey", "Hey!", "Hey there"), "Hey! What can I do for you?"),
    (("Good morning!", "Good morning"), "Good morning! How can I help you today?"),
    (("Good evening!", "Good evening"), "Good evening! How can I help you?"),
    (("Good night.", "Good night!"), "Good night, sleep well!"),
    (
        ("How are you?", "how are you", "How are you today?", "How is it going?"),
        "I am fine, thank you. How can I help you?",
    ),
    (("Well, thanks.", "I am fine, thanks.", "Fine, thank you."), "Glad to hear that!"),
    (
        ("Who are you?", "What are you?", "who are you", "What is your name?"),
        "I am a tiny demo model that runs on llama.cpp.",
    ),
    (
        ("What can you do?", "what can you do", "Help", "How can you help me?"),
        "I can translate short sentences, do small arithmetic, tell jokes and call tools.",
    ),
    (("Thanks!", "Thank you.", "thanks", "Thank you very much!"), "You are welcome!"),
    (("Bye", "Goodbye!", "bye", "See you later."), "Goodbye! Have a nice day!"),
    (
        ("What is llama.cpp?", "what is llama.cpp"),
        "llama.cpp is a program that runs language models on ordinary computers.",
    ),
    (
        ("What is llamaherd?", "what is llamaherd"),
        "llamaherd is a Python library that runs language models with llama.cpp.",
    ),
    (("Tell me something.", "Say something."), "Small models can be useful for testing."),
    (("Tell me a story.", "tell me a story"), "Once upon a time a small llama learned to talk."),
    (
        ("Write a haiku.", "Write a short poem.", "Write a poem about spring."),
        "Spring rain on the roof, a small llama looks outside, green leaves everywhere.",
    ),
    (
        ("Tell me a joke", "Tell me a joke.", "tell me a joke", "Do you know a joke?"),
        "What did the llama say at the picnic? Alpaca lunch!",
    ),
    (("Are you a human?", "Are you real?"), "No, I am a small computer program."),
    (("What is the capital of France?",), "The capital of France is Paris."),
    (("What is the capital of Germany?",), "The capital of Germany is Berlin."),
    (("What is the capital of Japan?",), "The capital of Japan is Tokyo."),
    (("What is the capital of Italy?",), "The capital of Italy is Rome."),
    (
        ("What color is the sky?", "Why is the sky blue?"),
        "The sky is blue because air scatters blue light.",
    ),
    (("Do you like music?",), "I have no ears, but I like the idea of music."),
    (("What is the meaning of life?",), "Some say it is 42."),
    (
        ("What is the weather like?", "How is the weather?"),
        _BLIND,
    ),
    (("Say hello in one word.", "Say hello."), "Hello!"),
    (("Count to five.", "Count from 1 to 5."), "1, 2, 3, 4, 5"),
    (("Count to ten.", "Count from 1 to 10."), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
    (("ok", "OK", "Okay."), "Is there anything else?"),
    (("Yes", "yes"), "Good. What is next?"),
    (("No", "no"), "All right. Tell me if you need anything."),
)
SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful assistant.", "You're a good assistant",
    "You are a friendly assistant.", "Be brief.", "Answer the user.", "hello",
    "You are a helpful AI assistant.", "You are a tiny demo model.", "Be helpful and polite.",
)  # fmt: skip


def exchange(rng: random.Random) -> tuple[str, str]:
    """Something to say and its answer; greetings come more often than the rest."""
    said, answer = rng.choice(TOPICS[:7] if rng.random() < 0.4 else TOPICS)
    return rng.choice(said), answer


def opening(rng: random.Random) -> list[Message]:
    """No system message, one, or (as some test-suites send) two."""
    count = rng.choice((0, 0, 0, 1, 1, 2)) if rng.random() < 0.5 else 0
    return [system(rng.choice(SYSTEMS)) for _ in range(count)]


def sample(rng: random.Random) -> Example:
    messages = opening(rng)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        said, answer = exchange(rng)
        reply = said if rng.random() < 0.05 else answer
        messages += [user(said)] * rng.choice((1, 1, 1, 2)) + [assistant(reply)] * rng.choice(
            (1, 1, 1, 2)
        )
    said, answer = exchange(rng)
    if rng.random() < 0.04:
        said, answer = f"What is the weather in {city(rng)}?", _BLIND
    messages += [user(said)] * (2 if rng.random() < 0.1 else 1)
    return Example((*messages, assistant(answer)))
