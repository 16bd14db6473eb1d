"""The data generator: skills to draw examples from, and how often training draws each."""

from __future__ import annotations

import random

from . import (
    arithmetic,
    conversation,
    copying,
    extraction,
    infill,
    jokes,
    memory,
    smalltalk,
    tool_calls,
    tool_results,
    translation,
)
from .example import Example, Message, Skill, Tool
from .render import Segment, prompt_and_answer, render_chat, segments

__all__ = [
    "SKILLS",
    "TRAINING_ONLY",
    "Example",
    "Message",
    "Segment",
    "Skill",
    "Tool",
    "held_out",
    "prompt_and_answer",
    "render_chat",
    "segments",
    "training_draw",
]

SKILLS: dict[str, Skill] = {
    "translation": translation.sample,
    "arithmetic": arithmetic.sample,
    "small_talk": smalltalk.sample,
    "memory": memory.sample,
    "long_chat": conversation.sample,
    "joke_text": jokes.sample_text,
    "joke_json": jokes.sample_json,
    "joke_tool": jokes.sample_tool,
    "json_fields": extraction.sample,
    "tool_known": tool_calls.sample_known,
    "tool_unseen": tool_calls.sample_unseen,
    "tool_choice": tool_calls.sample_choice,
    "tool_two_calls": tool_calls.sample_two,
    "tool_none": tool_calls.sample_none,
    "tool_forced": tool_calls.sample_forced,
    "tool_result": tool_results.sample_result,
    "tool_results": tool_results.sample_results,
    "tool_dialogue": tool_results.sample_dialogue,
    "infill": infill.sample,
}
"""Every skill that is taught and measured."""

TRAINING_ONLY: dict[str, Skill] = {
    "repeat": copying.sample_repeat,
    "lookup": copying.sample_lookup,
    "say": copying.sample_say,
    "json_enforced": extraction.sample_enforced,
    "drill": arithmetic.sample_drill,
    "rating": jokes.sample_enforced_rating,
}
"""Tasks that only training draws: mostly copying, with no single right answer to measure."""

SHARES: dict[str, float] = {
    "translation": 6, "arithmetic": 6, "small_talk": 6, "memory": 4, "long_chat": 5,
    "joke_text": 2, "joke_json": 4, "joke_tool": 2, "json_fields": 30, "tool_known": 4,
    "tool_unseen": 22, "tool_choice": 30, "tool_two_calls": 30, "tool_none": 5,
    "tool_forced": 14, "tool_result": 3, "tool_results": 14, "tool_dialogue": 4, "infill": 8,
    "repeat": 1, "lookup": 4, "say": 1, "json_enforced": 2, "drill": 12, "rating": 1,
}  # fmt: skip
"""How often training draws each skill once it runs at full breadth."""


def held_out(skill: str, index: int) -> Example:
    """The measuring draw number `index`: its seeds are strings that training never uses."""
    return SKILLS[skill](random.Random(f"held-out {skill} {index}"))


def _weights(progress: float) -> dict[str, float]:
    """Copying alone at first (0), then short lists of tools, at last (1) the full mixture."""
    early = max(0.0, 1.0 - progress)
    factors = {"tool_choice": progress, "tool_results": progress}
    shares = {name: share * factors.get(name, 1.0) for name, share in SHARES.items()}
    for name, most in (("repeat", 60.0), ("lookup", 40.0), ("say", 15.0)):
        shares[name] += early * most
    return shares


def training_draw(rng: random.Random, progress: float) -> Example:
    """One example of the curriculum at `progress` from 0 (start) to 1."""
    shares = _weights(progress)
    name = rng.choices(list(shares), list(shares.values()))[0]
    return (SKILLS.get(name) or TRAINING_ONLY[name])(rng)
