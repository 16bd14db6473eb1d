"""A model's chat template, rendered in a bounded sandbox.

A template comes out of a downloaded file, so it is hostile input: it runs in `sandbox.py`'s
environment, without loaders, and with the helpers that Hugging Face templates expect
(``raise_exception``, ``strftime_now``, a ``tojson`` without HTML escapes, loop controls). Source of
those names: Hugging Face transformers' documentation on chat templating.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jinja2
from jinja2 import meta

from llamaherd.chat.limits import MAX_SOURCE_CHARS, LimitError
from llamaherd.chat.messages import Message, checked
from llamaherd.chat.sandbox import BoundedEnvironment
from llamaherd.errors import ChatTemplateError

_PROBE = "qzparts"


class ChatTemplate:
    """One template. Any thread.

    Args:
        source: Jinja source.
        bos, eos: text of those tokens, as the template's ``bos_token`` and ``eos_token``.
        now: wall clock in seconds, for templates that write a date.

    Attributes:
        names: the variables that the template reads.

    Raises:
        ChatTemplateError: the source is not a template, or too large to be one.
    """

    def __init__(
        self, source: str, *, bos: str = "", eos: str = "", now: Callable[[], float]
    ) -> None:
        self.source, self._now = source, now
        self._tokens = {"bos_token": bos, "eos_token": eos}
        if not isinstance(source, str) or len(source) > MAX_SOURCE_CHARS:
            raise ChatTemplateError(f"chat_template is {source!r:.200}: expected Jinja source")
        self._environment = self._new_environment()
        self._reserved = {"messages", "tools", "add_generation_prompt", "self", *self._tokens}
        self._reserved.update(self._environment.globals)
        try:
            with self._environment.bounded():
                self._template = self._environment.from_string(source)
                self.names = meta.find_undeclared_variables(self._environment.parse(source))
        except Exception as error:  # whatever a stranger's source does to a compiler
            raise ChatTemplateError(f"the chat template is broken: {_reason(error)}") from error

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
        return self.render_checked(checked(messages), tools, add_generation_prompt, variables)

    def render_checked(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        variables: Mapping[str, Any],
    ) -> str:
        """The same for messages whose shape is known to be right.

        Raises:
            ChatTemplateError: names the message that the template refused, and why.
        """
        try:
            return self.render_raw(messages, tools, add_generation_prompt, variables)
        except ChatTemplateError as error:
            if was_limited(error):
                raise
            raise self._refusal(messages, tools, variables, error) from error

    def render_raw(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        variables: Mapping[str, Any],
    ) -> str:
        """What the template makes of messages that nobody checked.

        Raises:
            ChatTemplateError: the template refused them; the message is its own.
        """
        if reserved := self._reserved & set(variables):
            raise ChatTemplateError(f"a template variable may not be called {min(reserved)!r}")
        if self._wants_parts:
            messages = [_in_parts(message) for message in messages]
        return self._rendered(messages, tools, add_generation_prompt, variables)

    def bounded(self) -> AbstractContextManager[None]:
        """Whatever is rendered inside shares the time and steps of one rendering."""
        return self._environment.bounded()

    @functools.cached_property
    def _wants_parts(self) -> bool:
        """Whether it writes a text only if that comes as a list of parts, as SmolVLM's does."""
        message = {"role": "user", "content": _PROBE}
        try:
            if _PROBE in self._rendered([message], None, True, {}):
                return False
        except ChatTemplateError as error:
            if was_limited(error):
                raise
        try:
            return _PROBE in self._rendered([_in_parts(message)], None, True, {})
        except ChatTemplateError:
            return False

    def _rendered(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        variables: Mapping[str, Any],
    ) -> str:
        try:
            names = {
                "messages": _copy(list(messages)),  # templates may change their lists
                "tools": None if tools is None else _copy(list(tools)),
                "add_generation_prompt": add_generation_prompt,
                **self._tokens,
                **self._old_names(tools),
                **variables,
            }
            with self._environment.bounded(names):
                return self._template.render(names)
        except LimitError as error:
            raise ChatTemplateError(f"the model's chat template was stopped: {error}") from error
        except Exception as error:  # whatever a stranger's template does
            raise ChatTemplateError(_reason(error)) from error

    def _refusal(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, Any],
        error: ChatTemplateError,
    ) -> ChatTemplateError:
        """The error with the message that it is about: the first without which all is well."""
        roles = ", ".join(message["role"] for message in messages)
        place = ""
        for count in range(1, len(messages)):
            try:
                self.render_raw(messages[:count], tools, False, variables)
            except ChatTemplateError as earlier:
                if str(earlier) == str(error):
                    place = f" at messages[{count - 1}]"
                    break
        else:
            place = f" at messages[{len(messages) - 1}]" if len(messages) > 1 else ""
        return ChatTemplateError(
            f"the model's chat template refused the messages (roles: {roles}){place}: {error}"
        )

    def _old_names(self, tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
        """What templates from before ``tools`` call them, for those that read nothing else."""
        found: dict[str, Any] = {}
        if "functions" in self.names and "tools" not in self.names:
            functions = [tool.get("function", tool) for tool in tools or ()]
            found["functions"] = json.dumps(functions, ensure_ascii=False, indent=4)
        if "datetime" in self.names:
            found["datetime"] = self._strftime_now("%B %d %Y %H:%M:%S GMT")
        return found

    def _new_environment(self) -> BoundedEnvironment:
        environment = BoundedEnvironment()
        environment.add_filter("tojson", _tojson)
        environment.add_filter("from_json", json.loads)
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = self._strftime_now
        return environment

    def _strftime_now(self, pattern: str) -> str:
        return datetime.datetime.fromtimestamp(self._now()).strftime(pattern[:1000])


def was_limited(error: ChatTemplateError) -> bool:
    """Whether the template did too much, and would do so again."""
    return isinstance(error.__cause__, LimitError)


def _copy(value: Any) -> Any:
    """A copy of something like JSON; what is none of it is shared."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _in_parts(message: Message) -> Message:
    """The same with its text as a list of one part."""
    content = message.get("content")
    if not isinstance(content, str):
        return message
    return {**message, "content": [{"type": "text", "text": content}]}


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    return str(error) or type(error).__name__


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    pair = None if separators is None else tuple(separators)
    return _encoder(ensure_ascii, indent, pair, sort_keys).encode(value)


@functools.lru_cache(maxsize=32, typed=True)
def _encoder(
    ensure_ascii: bool, indent: int | None, separators: tuple[str, str] | None, sort_keys: bool
) -> json.JSONEncoder:
    return json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
