"""How much of each skill the model has: `python -m llamaherd.demo.evaluate` prints a table.

Every draw comes from seeds that training never used, and is answered at temperature 0.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import track

from llamaherd import Llama

from .data import SKILLS, Example, held_out, prompt_and_answer

Generate = Callable[[Example], str]
"""What a model says to an example's prompt, after its hint; end markers may be left on."""

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_END = re.compile(r"(<\|im_end\|>|<\|endoftext\|>)\s*$")


@dataclass(frozen=True)
class Miss:
    skill: str
    prompt: str
    expected: str
    got: str


def llamaherd_generate(llm: Any, max_tokens: int = 160) -> Generate:
    """Fill-in-the-middle, or the model's own template with the hint behind it."""

    def generate(example: Example) -> str:
        prompt, suffix = _prompt(llm, example)
        answer = llm.create_completion(prompt, suffix=suffix, max_tokens=max_tokens, temperature=0)
        return str(answer["choices"][0]["text"])

    return generate


def _prompt(llm: Any, example: Example) -> tuple[str | list[int], str | None]:
    """(prompt, suffix); a chat's prompt as tokens, the markers among them."""
    if example.fim is not None:
        return example.fim[0], example.fim[1]
    chat = llm.apply_chat_template(example.messages[:-1], tools=example.tools or None)
    return llm.tokenize(chat + example.hint, add_bos=False, special=True), None


def _calls(text: str) -> list[Any] | None:
    """The calls in a text, as objects; none where one is not JSON."""
    try:
        return [json.loads(block) for block in _CALL.findall(text)]
    except ValueError:
        return None


def same_answer(expected: str, got: str) -> bool:
    """Equal text, or text that holds equal calls: JSON's spacing does not count."""
    expected, got = (_END.sub("", text).strip() for text in (expected, got))
    if expected == got:
        return True
    wanted = _calls(expected)
    return bool(wanted) and wanted == _calls(got) and _CALL.sub("", got).strip() == ""


def misses(skill: str, generate: Generate, draws: int) -> Iterator[Miss]:
    """The draws of a skill that were answered wrongly."""
    console = Console(stderr=True)
    quiet = not console.is_terminal
    for index in track(range(draws), skill, console=console, transient=True, disable=quiet):
        example = held_out(skill, index)
        prompt, expected = prompt_and_answer(example)
        got = generate(example)
        if not same_answer(example.hint + expected, example.hint + got):
            yield Miss(skill, prompt, expected, got)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--draws", type=int, default=100, help="draws a skill")
    parser.add_argument("--skill", action="append", choices=sorted(SKILLS), help="default: all")
    parser.add_argument("--show", type=int, default=0, help="misses to print, a skill")
    args = parser.parse_args()
    generate = llamaherd_generate(Llama(args.model, n_ctx=2048, n_threads=args.threads))
    print(f"| skill | right of {args.draws} |\n|---|---|", flush=True)
    for skill in args.skill or SKILLS:
        wrong = list(misses(skill, generate, args.draws))
        print(f"| {skill} | {1 - len(wrong) / args.draws:.0%} |", flush=True)
        for miss in wrong[: args.show]:
            print(f"{miss.prompt}\n  expected: {miss.expected}\n  got:      {miss.got}", flush=True)


if __name__ == "__main__":
    main()
