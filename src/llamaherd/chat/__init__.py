"""Messages to text and answers to messages, by the model's own Jinja template."""

from llamaherd.chat.events import (
    CallArguments,
    CallBroken,
    CallEnd,
    CallStart,
    ContentDelta,
    Event,
    Note,
    ReasoningDelta,
)
from llamaherd.chat.format import ChatFormat, Prompt
from llamaherd.chat.parser import Parser
from llamaherd.chat.schemas import closed_throughout
from llamaherd.chat.template import ChatTemplate
from llamaherd.chat.text_format import (
    ChoiceFormat,
    GrammarFormat,
    JsonFormat,
    RegexFormat,
    TextFormat,
)
from llamaherd.chat.tools import normalised

__all__ = [
    "CallArguments",
    "CallBroken",
    "CallEnd",
    "CallStart",
    "ChatFormat",
    "ChatTemplate",
    "ChoiceFormat",
    "ContentDelta",
    "Event",
    "GrammarFormat",
    "JsonFormat",
    "Note",
    "Parser",
    "Prompt",
    "ReasoningDelta",
    "RegexFormat",
    "TextFormat",
    "closed_throughout",
    "normalised",
]
