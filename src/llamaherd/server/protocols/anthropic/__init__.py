"""Anthropic's Messages API, as the official clients and Claude Code speak it. Pure."""

from llamaherd.server.protocols.anthropic.answer import Events, error, whole
from llamaherd.server.protocols.anthropic.request import chat_call, counted_call

__all__ = ["Events", "chat_call", "counted_call", "error", "whole"]
