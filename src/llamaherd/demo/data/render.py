"""Examples to text, through the same Jinja template that the GGUF carries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .example import Example, Message, Tool, to_json

FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
END_OF_TEXT = "<|endoftext|>"
_ANSWERS = re.compile(r"(?<=<\|im_start\|>assistant\n).*?<\|im_end\|>", re.DOTALL)

Segment = tuple[str, float]
"""Text and its weight in the loss: 1 for what the model says, less for what it reads."""


def template_text() -> str:
    return (Path(__file__).parent.parent / "chat_template.jinja").read_text(encoding="utf-8")


@cache
def _template() -> Template:
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = to_json
    return env.from_string(template_text())


def render_chat(
    messages: Sequence[Message], tools: Sequence[Tool] = (), *, add_generation_prompt: bool = False
) -> str:
    """The text of a conversation."""
    return _template().render(
        messages=list(messages),
        tools=list(tools) or None,
        add_generation_prompt=add_generation_prompt,
    )


def prompt_and_answer(example: Example) -> tuple[str, str]:
    """What the model gets and what it must say, the end marker included."""
    if example.fim is not None:
        prefix, suffix, middle = example.fim
        prompt = f"{FIM_PREFIX}{prefix}{FIM_SUFFIX}{suffix}{FIM_MIDDLE}"
        return prompt, middle + END_OF_TEXT
    if example.raw is not None:
        return example.raw[0], example.raw[1] + END_OF_TEXT
    prompt = render_chat(example.messages[:-1], example.tools, add_generation_prompt=True)
    whole = render_chat(example.messages, example.tools)
    assert whole.startswith(prompt)
    return prompt + example.hint, whole[len(prompt) + len(example.hint) :].removesuffix("\n")


def segments(example: Example, prompt_weight: float) -> list[Segment]:
    """The example cut into weighted pieces; earlier assistant turns count like the last."""
    prompt, answer = prompt_and_answer(example)
    pieces: list[Segment] = []
    at = 0
    for found in _ANSWERS.finditer(prompt):
        pieces += [(prompt[at : found.start()], prompt_weight), (found.group(), 1.0)]
        at = found.end()
    return [*pieces, (prompt[at:], prompt_weight), (answer, 1.0)]
