"""What was said so far, and how the next answer joins it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamaherd.cli.answer import Answer, show_answer

if TYPE_CHECKING:
    from llamaherd.llama import Llama

Message = dict[str, str]


class Conversation:
    """The messages of one conversation with a model; answers appear on stdout."""

    def __init__(self, llm: Llama, system: str | None = None) -> None:
        self._llm = llm
        self._opening = [] if system is None else [_message("system", system)]
        self.messages: list[Message] = list(self._opening)

    def ask(self, text: str) -> Answer:
        """Answer ``text`` and remember both, an interrupted answer as far as it came.

        Raises:
            LlamaHerdError: nothing is remembered then.
        """
        asked = [*self.messages, _message("user", text)]
        answer = show_answer(self._llm.create_chat_completion(asked, stream=True))
        if answer.text:
            self.messages = [*asked, _message("assistant", answer.text)]
        return answer

    def reset(self) -> None:
        """Forget everything but the system message."""
        self.messages = list(self._opening)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
