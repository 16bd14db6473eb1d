"""A model's chat template, rendered in Jinja2's sandbox.

A template comes out of a downloaded file, so it is hostile input: it runs in the immutable sandbox,
without loaders, and with the helpers that Hugging Face templates expect (``raise_exception``,
``strftime_now``, a ``tojson`` without HTML escapes, loop controls). Source of those names:
Hugging Face transformers' documentation on chat templating.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llamaherd.errors import ChatTemplateError

Message = Mapping[str, Any]


class ChatTemplate:
    """One template. Any thread.

    Args:
        source: Jinja source.
        bos, eos: text of those tokens, as the template's ``bos_token`` and ``eos_token``.
        now: wall clock in seconds, for templates that write a date.

    Raises:
        ChatTemplateError: the source is not a template.
    """

    def __init__(
        self, source: str, *, bos: str = "", eos: str = "", now: Callable[[], float]
    ) -> None:
        self.source, self._now = source, now
        self._tokens = {"bos_token": bos, "eos_token": eos}
        if not isinstance(source, str):
            raise ChatTemplateError(f"chat_template is {source!r}: expected Jinja source")
        try:
            self._template = self._environment().from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise ChatTemplateError(f"the chat template is broken: {error}") from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The prompt for ``messages``.

        Args:
            tools: OpenAI tool definitions that the template may list.
            add_generation_prompt: end with the beginning of the assistant's answer.
            variables: further names for the template.

        Raises:
            ChatTemplateError: a message is malformed, or the template refused the conversation.
        """
        names = {"messages", "tools", "add_generation_prompt", *self._tokens, "self"}
        if reserved := names & set(variables):
            raise ChatTemplateError(f"a template variable may not be called {min(reserved)!r}")
        checked = _all_checked(messages)
        try:
            return self._template.render(
                messages=checked,
                tools=None if tools is None else list(tools),
                add_generation_prompt=add_generation_prompt,
                **self._tokens,
                **variables,
            )
        except Exception as error:  # whatever a stranger's template does
            roles = ", ".join(message["role"] for message in checked)
            reason = str(error) or type(error).__name__
            raise ChatTemplateError(
                f"the model's chat template refused the messages (roles: {roles}): {reason}"
            ) from error

    def _environment(self) -> ImmutableSandboxedEnvironment:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = self._strftime_now
        return environment

    def _strftime_now(self, pattern: str) -> str:
        return datetime.datetime.fromtimestamp(self._now()).strftime(pattern)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _all_checked(messages: object) -> list[dict[str, Any]]:
    if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence) or not messages:
        raise ChatTemplateError(f"messages is {messages!r}: expected a list of messages")
    return [_checked(i, message) for i, message in enumerate(messages)]


def _checked(index: int, message: Message) -> dict[str, Any]:
    """A copy of a message whose shape the template may rely on; text parts become one string."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise ChatTemplateError(f"messages[{index}] is {message!r}: expected an object with a role")
    return {**message, "content": _text(index, message.get("content"))}


def _text(index: int, content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, bytes) or not isinstance(content, Sequence):
        raise ChatTemplateError(f"messages[{index}].content is {content!r}: expected a string")
    parts = [part for part in content if isinstance(part, Mapping)]
    texts = [part.get("text") for part in parts if part.get("type", "text") == "text"]
    if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
        raise ChatTemplateError(f"messages[{index}].content has a part that is not text")
    return "".join(texts)  # type: ignore[arg-type]
