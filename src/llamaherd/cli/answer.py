"""One streamed answer on the terminal: its text and its statistics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llamaherd.cli.console import AnswerWriter, remark
from llamaherd.cli.interrupt import on_interrupt

if TYPE_CHECKING:
    from llamaherd.completion import CompletionStream

Chunk = dict[str, Any]


@dataclass
class Answer:
    """What was written.

    Attributes:
        text: all of it, as far as it came.
        reason: why it ended, as in the last chunk; ``cancelled`` after Ctrl-C.
        timings: the last chunk's.
    """

    text: str = ""
    reason: str | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.reason == "cancelled"


def show_answer(stream: CompletionStream, *, end_line: bool = True) -> Answer:
    """Write an answer to stdout as it comes. Ctrl-C cancels it and returns what came.

    Args:
        end_line: end the last line also where stdout is no terminal.

    Raises:
        LlamaHerdError: the request failed; its text so far has been written.
    """
    answer, writer = Answer(), AnswerWriter()
    with stream, on_interrupt(stream.cancel):
        try:
            for chunk in stream:
                writer.write(_note(chunk, answer))
        finally:
            writer.end(always=end_line)
    return answer


def _note(chunk: Chunk, answer: Answer) -> str:
    """Add a chunk to the answer; returns its text."""
    answer.timings = chunk.get("timings", answer.timings)
    text = ""
    for choice in chunk["choices"]:
        text += choice.get("text") or choice.get("delta", {}).get("content") or ""
        answer.reason = choice["finish_reason"] or answer.reason
    answer.text += text
    return text


_ENDINGS = {
    "length": "cut off: the token limit or the context is full",
    "deadline": "cut off: out of time",
    "cancelled": "interrupted",
}


def show_statistics(answer: Answer) -> None:
    """A line of counts and rates on stderr, for people."""
    times = answer.timings
    if not times:
        return
    parts = [
        _rate("prompt", times["prompt_n"], times["prompt_per_second"], times.get("cache_n", 0)),
        _rate("answer", times["predicted_n"], times["predicted_per_second"]),
        _ENDINGS.get(answer.reason or "", ""),
    ]
    remark("[" + ", ".join(part for part in parts if part) + "]")


def _rate(name: str, count: float, per_second: float, reused: float = 0) -> str:
    kept = f" + {reused:.0f} kept" if reused else ""
    return f"{name} {count:.0f}{kept} tokens at {per_second:.1f}/s"
