"""Rendering conversations with templates that may be hostile."""

from __future__ import annotations

import re
from typing import Any

import pytest

from llamaherd import ChatTemplateError
from llamaherd.chat import ChatTemplate

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HI = [{"role": "user", "content": "hi"}]


def _template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos="<s>", eos="</s>", now=lambda: 0.0)


def test_messages_become_a_prompt() -> None:
    expected = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert _template(CHATML).render(HI) == expected


def test_text_parts_become_one_string() -> None:
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
    assert _template(CHATML).render([{"role": "user", "content": parts}]) == _template(
        CHATML
    ).render(HI)


def test_templates_find_the_helpers_that_they_expect() -> None:
    source = (
        "{{ bos_token }}{{ {'a': '<é>'} | tojson }}{% for i in [1, 2] %}{% break %}{% endfor %}"
        "{{ strftime_now('%Y') }}{{ thinking }}{{ eos_token }}"
    )
    rendered = _template(source).render(HI, thinking="on")
    assert re.fullmatch(r'<s>\{"a": "<é>"\}(1969|1970)on</s>', rendered)


def test_a_template_that_refuses_the_roles_says_why() -> None:
    source = "{{ raise_exception('system role not supported') }}"
    with pytest.raises(ChatTemplateError, match=r"roles: user.*system role not supported"):
        _template(source).render(HI)


def test_a_format_string_finds_no_class() -> None:
    """CVE-2024-56326: str.format reached through a filter was not sandboxed."""
    assert "class" not in _template("{{ ('{0.__class__}' | attr('format'))(1) }}").render(HI)


def test_a_broken_template_is_an_error_at_once() -> None:
    with pytest.raises(ChatTemplateError, match="broken"):
        _template("{% for %}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append.__self__.__class__.__mro__ }}",
        "{{ raise_exception.__globals__['__builtins__'] }}",
        "{{ messages.append({'role': 'user'}) }}",
        "{% set x = messages.__setitem__ %}{{ x(0, 1) }}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(source: str) -> None:
    with pytest.raises(ChatTemplateError):
        _template(source).render(HI)


@pytest.mark.parametrize(
    "message",
    [
        "hi",
        {"content": "no role"},
        {"role": 3, "content": "hi"},
        {"role": "user", "content": 3},
        {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
    ],
)
def test_a_malformed_message_is_named_by_its_place(message: Any) -> None:
    with pytest.raises(ChatTemplateError, match=r"messages\[1\]"):
        _template(CHATML).render([*HI, message])
