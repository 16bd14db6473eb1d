"""What a client asked for, in the one shape that all protocols translate to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass
class ChatCall:
    """An answer in a conversation, as ``Llama.acreate_chat_completion`` takes it.

    Attributes:
        model: as the client named it; None: it did not.
        messages: in OpenAI's shape.
        options: of ``create_chat_completion``, without ``stream``.
        ignored: fields of the body that nobody knows.
    """

    model: str | None
    messages: Any
    options: JSON = field(default_factory=dict)
    ignored: Sequence[str] = ()


@dataclass
class TextCall:
    """Text to go on from, as ``Llama.acreate_completion`` takes it.

    Attributes:
        prompt: text, token ids, or a list of these.
        suffix: what follows the gap to fill.
    """

    model: str | None
    prompt: Any
    suffix: str | None = None
    options: JSON = field(default_factory=dict)
    ignored: Sequence[str] = ()
