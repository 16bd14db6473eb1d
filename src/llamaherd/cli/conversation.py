"""What was said so far, and how the next answer joins it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llamaherd.cli.answer import Answer, show_answer

if TYPE_CHECKING:
    from llamaherd.llama import Llama

Message = dict[str, Any]
Part = dict[str, Any]


class Conversation:
    """The messages of one conversation with a model; answers appear on stdout.

    Args:
        media: pictures and sounds of the first question.
    """

    def __init__(self, llm: Llama, system: str | None = None, media: Sequence[Part] = ()) -> None:
        self._llm, self._media = llm, media
        self._opening = [] if system is None else [_message("system", system)]
        self.messages: list[Message] = list(self._opening)

    def ask(self, text: str) -> Answer:
        """Answer ``text`` and remember both, an interrupted answer as far as it came.

        Raises:
            LlamaHerdError: nothing is remembered then.
        """
        asked = [*self.messages, self._question(text)]
        answer = show_answer(self._llm.create_chat_completion(asked, stream=True))
        if answer.text:
            self.messages = [*asked, _message("assistant", answer.text)]
            self._media = ()
        return answer

    def _question(self, text: str) -> Message:
        if not self._media:
            return _message("user", text)
        return {"role": "user", "content": [*self._media, {"type": "text", "text": text}]}

    def reset(self) -> None:
        """Forget everything but the system message."""
        self.messages = list(self._opening)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
