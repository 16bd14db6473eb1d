"""A model's answer syntax, learned from its chat template.

Conversations whose parts are known (`probe.py`) are rendered with and without thoughts, with one
call and with two. What stands before, between and behind the known parts is the syntax; what
differs from one rendering to the next is a slot. No model family is named here.
"""

from __future__ import annotations

import re

from llamaherd.chat.check import verified
from llamaherd.chat.learn_tools import learn_tools
from llamaherd.chat.probe import CONTENT, REASONING_KEYS, THOUGHT, Bench
from llamaherd.chat.strings import common_prefix, common_suffix, markers, without_prefix
from llamaherd.chat.syntax import AnswerSyntax, Wrapper
from llamaherd.chat.template import ChatTemplate

SWITCHES = ("enable_thinking", "thinking", "reasoning_effort", "thinking_mode", "thinking_budget")
_THOUGHT_MARKER = re.compile(r"</([\w:|-]*think[\w:|-]*)>", re.IGNORECASE)


def learn(template: ChatTemplate) -> AnswerSyntax:
    """What the template shows; ``tools`` is None if it shows no calls."""
    bench = Bench(template)
    plain = bench.answer()
    if plain is None or CONTENT not in plain:
        return AnswerSyntax()
    key, thought = _thought(bench)
    header, role = _header(bench, [t for t in (plain, thought, bench.calls({})) if t])
    if CONTENT not in plain[len(header) :]:
        return AnswerSyntax()  # it writes the same whatever it is given
    reasoning = _reasoning(bench, header, thought)
    if reasoning and not reasoning.close.strip():
        reasoning = None  # nothing tells where a thought ends
    if reasoning and header:
        cut = _opened_at(header, reasoning)
        marker = reasoning.open if reasoning.open.strip() else header[cut:] + reasoning.open
        reasoning = Wrapper(marker, reasoning.close)
        role = role[: max(0, len(role) - len(header) + cut)]
        header = header[:cut]
    opened, rest = plain[len(header) :].split(CONTENT, 1)
    content = Wrapper(_content_open(opened, reasoning), _content_close(bench, rest))
    found = AnswerSyntax(
        header=role,
        content=content,
        reasoning=_closed(reasoning, content),
        reasoning_key=key,
        switches=tuple(name for name in SWITCHES if name in template.names),
        tools=learn_tools(bench, header, reasoning, opened, rest[len(content.close) :]),
        end=rest[len(content.close) :],
    )
    return verified(found, bench, header)


def _thought(bench: Bench) -> tuple[str | None, str | None]:
    """The field that the template reads thoughts from, and an answer with some."""
    for key in REASONING_KEYS:
        for text in (bench.answer(**{key: THOUGHT}), bench.calls({}, **{key: THOUGHT})):
            if text is not None and THOUGHT in text:
                return key, text
    return None, None


def _header(bench: Bench, answers: list[str]) -> tuple[str, str]:
    """All that comes before every answer, and the end of that by which a prompt asks for one."""
    asked, tails = bench.prompt(generate=False) or "", _tails(bench)
    if tails and all(answer.startswith(asked) for answer in answers):
        role = common_prefix(*tails, *(answer[len(asked) :] for answer in answers))
        return asked + role, role
    prompt, header = bench.prompt() or "", common_prefix(*answers)
    last = (list(markers(header)) or [""])[-1]
    if asked == prompt and len(common_prefix(header, prompt)) == len(prompt):
        return common_prefix(header, prompt), ""
    return header, last if header.endswith(last) else ""


def _tails(bench: Bench) -> list[str]:
    """What a prompt adds to a question to have it answered, thinking switched on and off."""
    switched = [{name: on} for name in SWITCHES[:2] for on in (True, False)]
    found = []
    for variables in ({}, *switched):
        asked, prompt = bench.prompt(generate=False, **variables), bench.prompt(**variables)
        if asked and prompt and prompt != asked and prompt.startswith(asked):
            found.append(prompt[len(asked) :])
    return found


def _reasoning(bench: Bench, header: str, thought: str | None) -> Wrapper | None:
    if thought is None or THOUGHT not in thought[len(header) :]:
        found = _THOUGHT_MARKER.search(bench.template.source)
        return Wrapper(f"<{found[1]}>", found[0]) if found else None
    opened, rest = thought[len(header) :].split(THOUGHT, 1)
    if CONTENT in rest:
        return Wrapper(opened, rest[: rest.index(CONTENT)])
    call = (bench.calls({}) or "")[len(header) :]
    if call == opened + rest:  # an empty thought is written, too
        return Wrapper(opened, next(iter(markers(rest)), rest))
    return Wrapper(opened, rest[: len(rest) - len(common_suffix(rest, call))])


def _opened_at(header: str, reasoning: Wrapper) -> int:
    """Where ``header`` ends if every answer begins with a thought, whose marker is none of it."""
    last = reasoning.open.strip() or next(iter(markers(header)[-1:]), "")
    return header.rindex(last) if last and header.rstrip().endswith(last) else len(header)


def _content_open(opened: str, reasoning: Wrapper | None) -> str:
    """What stands before a text, without the empty thought that may come first."""
    if reasoning:
        for prefixes in ((reasoning.open, reasoning.close), (reasoning.close,)):
            rest = without_prefix(opened, prefixes)
            if rest is not None:
                opened = rest
        if opened.strip() == reasoning.open.strip():
            opened = ""
    return opened if opened.strip() else ""


def _content_close(bench: Bench, rest: str) -> str:
    """What ends a text before the turn ends; ``rest`` is all that follows a text."""
    call, both = bench.calls({}), bench.calls({}, content=CONTENT)
    if call is None:
        return ""
    if both is not None and CONTENT in both:
        closed = common_prefix(both[both.rindex(CONTENT) + len(CONTENT) :], rest)
    else:
        closed = rest[: len(rest) - len(common_suffix(rest, call))]
    return closed if closed.strip() and len(closed) < len(rest) else ""


def _closed(reasoning: Wrapper | None, content: Wrapper) -> Wrapper | None:
    """Thoughts end before the text begins."""
    if reasoning is None or not content.open:
        return reasoning
    return Wrapper(reasoning.open, reasoning.close.removesuffix(content.open))
