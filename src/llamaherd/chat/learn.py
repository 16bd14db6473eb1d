"""A model's answer syntax, learned from its chat template.

Conversations whose parts are known (`probe.py`) are rendered with and without thoughts, with one
call and with two. What stands before, between and behind the known parts is the syntax; what
differs from one rendering to the next is a slot. No model family is named here.
"""

from __future__ import annotations

import re

from llamaherd.chat.learn_tools import learn_tools
from llamaherd.chat.probe import CONTENT, THOUGHT, Bench
from llamaherd.chat.strings import common_prefix, common_suffix, markers, without_prefix
from llamaherd.chat.syntax import NAME, AnswerSyntax, ToolSyntax, Wrapper
from llamaherd.chat.template import ChatTemplate

REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
SWITCHES = ("enable_thinking", "thinking", "reasoning_effort", "thinking_mode", "thinking_budget")
_THOUGHT_MARKER = re.compile(r"</([\w:|-]*think[\w:|-]*)>", re.IGNORECASE)


def learn(template: ChatTemplate) -> AnswerSyntax:
    """What the template shows; ``tools`` is None if it shows no calls."""
    bench = Bench(template)
    plain = bench.answer()
    if plain is None or CONTENT not in plain:
        return AnswerSyntax()
    key, thought = _thought(bench)
    header = _header(bench, plain, thought)
    tools = learn_tools(bench, header)
    reasoning = _reasoning(template, header, thought, tools)
    if reasoning and header:
        header, reasoning = _with_opened(header, reasoning)
    opened, rest = plain[len(header) :].split(CONTENT, 1)
    content = Wrapper(_content_open(opened, reasoning), _content_close(bench, rest))
    return AnswerSyntax(
        header=_role(bench, header),
        content=content,
        reasoning=_closed(reasoning, content),
        reasoning_key=key,
        switches=tuple(name for name in SWITCHES if name in template.names),
        tools=tools,
        end=rest[len(content.close) :],
    )


def _thought(bench: Bench) -> tuple[str | None, str | None]:
    """The field that the template reads thoughts from, and an answer with some."""
    for key in REASONING_KEYS:
        for text in (bench.answer(**{key: THOUGHT}), bench.calls({}, **{key: THOUGHT})):
            if text is not None and THOUGHT in text:
                return key, text
    return None, None


def _header(bench: Bench, plain: str, thought: str | None) -> str:
    """All that comes before an answer, whatever the answer begins with."""
    asked = bench.prompt(generate=False) or ""
    least = len(common_prefix(plain, asked))
    texts = [plain, thought, bench.prompt(), bench.calls({})]
    for name in SWITCHES[:2]:
        texts += [bench.prompt(**{name: True}), bench.prompt(**{name: False})]
    return common_prefix(*(t for t in texts if t and len(common_prefix(plain, t)) >= least))


def _role(bench: Bench, header: str) -> str:
    """The part of ``header`` that asks for an answer."""
    asked = bench.prompt(generate=False) or ""
    return header[len(common_prefix(header, asked)) :]


def _reasoning(
    template: ChatTemplate, header: str, thought: str | None, tools: ToolSyntax | None
) -> Wrapper | None:
    if thought is None:
        found = _THOUGHT_MARKER.search(template.source)
        return Wrapper(f"<{found[1]}>", found[0]) if found else None
    opened, rest = thought[len(header) :].split(THOUGHT, 1)
    if CONTENT in rest:
        return Wrapper(opened, rest[: rest.index(CONTENT)])
    start = (tools.open + tools.head).partition(NAME)[0] if tools else ""
    return Wrapper(opened, rest[: rest.index(start)] if start and start in rest else rest)


def _with_opened(header: str, reasoning: Wrapper) -> tuple[str, Wrapper]:
    """Where every answer begins with a thought, its marker does not belong to the header."""
    last = reasoning.open.strip() or next(iter(markers(header)[-1:]), "")
    if not last or not header.rstrip().endswith(last):
        return header, reasoning
    at = header.rindex(last)
    opened = reasoning.open if reasoning.open.strip() else header[at:] + reasoning.open
    return header[:at], Wrapper(opened, reasoning.close)


def _content_open(opened: str, reasoning: Wrapper | None) -> str:
    """What stands before a text, without the empty thought that may come first."""
    if reasoning:
        for prefixes in ((reasoning.open, reasoning.close), (reasoning.close,)):
            rest = without_prefix(opened, prefixes)
            if rest is not None:
                opened = rest
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
