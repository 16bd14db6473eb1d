"""A model's chat format: messages to prompts, answers to events, demands to grammars."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llamaherd.chat import harmony
from llamaherd.chat.grammar import Demand, grammar
from llamaherd.chat.learn import learn
from llamaherd.chat.messages import Message, adapted, checked, with_tools_described
from llamaherd.chat.parser import Parser, SyntaxParser
from llamaherd.chat.syntax import AnswerSyntax
from llamaherd.chat.template import ChatTemplate
from llamaherd.chat.text_format import TextFormat
from llamaherd.errors import ChatTemplateError, UnsupportedError

Tools = Sequence[Mapping[str, Any]]
_MARK = "qzcontinued"


@dataclass(frozen=True)
class Prompt:
    """A rendered conversation.

    Attributes:
        text: for the model.
        prefill: the end of ``text`` that already belongs to the answer: an opened thought, or what
            a trailing assistant message said.
        syntax: of the answer that follows.
        in_thought: whether the answer goes on inside a thought.
    """

    text: str
    prefill: str
    syntax: AnswerSyntax = field(repr=False)
    in_thought: bool


class ChatFormat:
    """All that a model's chat templates say. Any thread; what is learned is learned once.

    Args:
        templates: name -> Jinja source. ``default`` is used unless there are tools and a
            template called ``tool_use``.
        bos, eos: text of those tokens.
        now: wall clock in seconds, for templates that write a date.
        variables: further names for the templates, which a call may replace.
        specials: text of the vocabulary's control tokens -> token id.
        ends: text of the tokens that end an answer.

    Raises:
        ChatTemplateError: a source is not a template.
    """

    def __init__(
        self,
        templates: Mapping[str, str],
        *,
        bos: str = "",
        eos: str = "",
        now: Callable[[], float],
        variables: Mapping[str, Any] | None = None,
        specials: Mapping[str, int] | None = None,
        ends: Sequence[str] = (),
    ) -> None:
        make = functools.partial(_Learned, bos=bos, eos=eos, now=now)
        self._templates = {name: make(source) for name, source in templates.items()}
        self._specials, self._ends = specials or {}, tuple(ends)
        self._variables = variables or {}

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Tools = (),
        add_generation_prompt: bool = True,
        continue_final: bool | None = None,
        **variables: Any,
    ) -> Prompt:
        """The prompt for a conversation; a trailing assistant message is continued.

        Args:
            tools: normalised definitions (`tools.py`) that may be called. A template that writes
                calls but no definitions gets them in the system message, as JSON.
            continue_final: whether to go on with an assistant message at the end; None: if there
                is one, and ``add_generation_prompt``.
            variables: further names for the template (``chat_template_kwargs``).

        Raises:
            ChatTemplateError: a message is malformed, or the template refused the conversation.
            UnsupportedError: the template knows no tools.
        """
        chosen = self._chosen(tools)
        found = adapted(checked(messages), chosen.syntax, chosen.template.source)
        if tools and not chosen.lists_tools:
            found = with_tools_described(found, tools)
        is_open = _is_open(found[-1])
        if continue_final and not is_open:
            raise ChatTemplateError(
                "continue_final_message: the last message is not an assistant's text"
            )
        continued = is_open and (
            add_generation_prompt if continue_final is None else continue_final
        )
        if continued:
            found[-1] = _marked(found[-1], chosen.syntax)
        generate = add_generation_prompt and not continued
        names = {**self._variables, **variables}
        text = chosen.template.render_checked(found, list(tools) or None, generate, names)
        return self._prompt(_continued(text) if continued else text, chosen.syntax)

    def parser(self, prompt: Prompt, tools: Tools = ()) -> Parser:
        """A parser for the answer to ``prompt``."""
        if harmony.speaks(prompt.syntax):
            return harmony.HarmonyParser(tools, prompt.prefill)
        return SyntaxParser(prompt.syntax, tools, prompt.prefill)

    def grammar(
        self,
        prompt: Prompt,
        tools: Tools = (),
        *,
        required: bool = False,
        parallel: bool = True,
        text: TextFormat | None = None,
    ) -> str:
        """Lark text for llguidance that the answer to ``prompt`` must match.

        Args:
            tools: that may be called; one alone enforces a named choice.
            required: whether one must be.
            parallel: whether several calls may be made.
            text: what the answer's text must be; with ``tools``, a call or such a text.

        Raises:
            UnsupportedError: the template cannot write calls.
            GrammarError: a tool's schema has what this syntax cannot enforce.
        """
        demand = Demand(
            tools, required, parallel, text, prompt.in_thought, True, self._specials, self._ends
        )
        if harmony.speaks(prompt.syntax):
            return harmony.grammar(demand)
        return grammar(prompt.syntax, demand)

    def thinking(self, on: bool | None = None, effort: str | None = None) -> dict[str, Any]:
        """The template variables for what a caller wants of thoughts.

        Args:
            on: whether there should be any; None for the template's own choice.
            effort: how much, in the template's own words; "none" is ``on=False`` to a template
                that knows no efforts.

        Raises:
            UnsupportedError: the template has no switch for that.
        """
        switches = self._chosen(()).syntax.switches
        if effort is not None and "reasoning_effort" not in switches:
            if effort != "none":
                raise UnsupportedError("the model's chat template knows no reasoning_effort")
            on, effort = False, None
        found = {} if effort is None else {"reasoning_effort": effort}
        if on is None:
            return found
        named = {name: _SWITCHED[name][on] for name in switches if name in _SWITCHED}
        if not named and not (on and "thinking" in self.capabilities):
            raise UnsupportedError("the model's chat template has no switch for thinking")
        return {**named, **found}

    def thought_end(self, prompt: Prompt) -> str:
        """The text that ends a thought in the answer to ``prompt``; empty if there are none."""
        if harmony.speaks(prompt.syntax):
            return harmony.THOUGHT_END
        return prompt.syntax.reasoning.close if prompt.syntax.reasoning else ""

    @property
    def can_call(self) -> bool:
        """Whether the model's template can write tool calls."""
        chosen = self._templates.get("tool_use") or self._chosen(())
        return chosen.syntax.tools is not None

    @property
    def capabilities(self) -> frozenset[str]:
        """Of ``tools``, ``thinking``, ``thinking_switch``, ``reasoning_effort``: what it knows."""
        syntax = self._chosen(()).syntax
        found = {
            "tools": self.can_call,
            "thinking": syntax.reasoning is not None or harmony.speaks(syntax),
            "thinking_switch": any(name in _SWITCHED for name in syntax.switches),
            "reasoning_effort": "reasoning_effort" in syntax.switches,
        }
        return frozenset(name for name, known in found.items() if known)

    def markers(self, prompt: Prompt) -> frozenset[str]:
        """The control tokens that the parser must see as text."""
        return frozenset(s for s in self._specials if s and s in _literals(prompt.syntax))

    def _chosen(self, tools: Tools) -> _Learned:
        name = "tool_use" if tools and "tool_use" in self._templates else "default"
        if name not in self._templates:
            raise UnsupportedError("the model has no chat template of the name 'default'")
        chosen = self._templates[name]
        if tools and not chosen.lists_tools and chosen.syntax.tools is None:
            raise UnsupportedError("the model's chat template knows no tools")
        return chosen

    def _prompt(self, text: str, syntax: AnswerSyntax) -> Prompt:
        prefill = _prefill(text, syntax)
        parser = SyntaxParser(syntax, (), prefill)
        return Prompt(text, prefill, syntax, parser.in_thought)


def _prefill(text: str, syntax: AnswerSyntax) -> str:
    """The end of a prompt that belongs to the answer."""
    opened = syntax.reasoning.open.strip() if syntax.reasoning else ""
    if syntax.header and syntax.header in text:
        return text[text.rindex(syntax.header) + len(syntax.header) :]
    return opened if opened and text.rstrip().endswith(opened) else ""


class _Learned:
    """A template, and what it shows when it is first asked."""

    def __init__(self, source: str, *, bos: str, eos: str, now: Callable[[], float]) -> None:
        self.template = ChatTemplate(source, bos=bos, eos=eos, now=now)

    @property
    def lists_tools(self) -> bool:
        """Whether the template tells the model which tools there are."""
        return bool(self.template.names & {"tools", "functions"})

    @functools.cached_property
    def syntax(self) -> AnswerSyntax:
        with self.template.bounded():
            return learn(self.template)


_SWITCHED: dict[str, tuple[Any, Any]] = {
    "enable_thinking": (False, True),
    "thinking": (False, True),
    "thinking_mode": ("disabled", "enabled"),
    "thinking_budget": (0, -1),
}


def _is_open(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and not message.get("tool_calls")


def _marked(message: Mapping[str, Any], syntax: AnswerSyntax) -> dict[str, Any]:
    """The message with a mark where it goes on: behind its text, or its thought without text."""
    thought = message.get(syntax.reasoning_key or "")
    if thought and not message["content"]:
        return {**message, syntax.reasoning_key: f"{thought}{_MARK}"}  # type: ignore[dict-item]
    return {**message, "content": f"{message['content'] or ''}{_MARK}"}


def _continued(text: str) -> str:
    found, mark, _ = text.rpartition(_MARK)
    if not mark:
        raise ChatTemplateError("the chat template leaves the last message out: it cannot go on")
    return found


def _literals(syntax: AnswerSyntax) -> str:
    """All literal text of a syntax."""
    reasoning, tools = syntax.reasoning, syntax.tools
    found = [syntax.content.open, syntax.content.close]
    if reasoning is not None:
        found += [reasoning.open, reasoning.close]
    if tools is not None:
        found += [tools.call, tools.open, tools.close, tools.separator, tools.after_text or ""]
        if tools.parameters is not None:
            forms = tools.parameters.forms.values()
            found += [form.pattern for form in forms] + [tools.parameters.quote]
    return "\n".join(found)
