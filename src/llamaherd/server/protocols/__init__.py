"""Translations between a protocol and OpenAI's chat shape. Pure: no HTTP, no waiting."""
