"""OpenAI's Responses API, as the official clients and Codex speak it. Pure."""

from llamaherd.server.protocols.responses.answer import Events, whole
from llamaherd.server.protocols.responses.kept import Kept, KeptResponses
from llamaherd.server.protocols.responses.request import chat_call, input_items

__all__ = ["Events", "Kept", "KeptResponses", "chat_call", "input_items", "whole"]
