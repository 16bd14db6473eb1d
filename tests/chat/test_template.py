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


def test_a_template_that_reads_only_parts_gets_parts() -> None:
    """SmolVLM's way: it goes through a content's parts, and finds none in a text."""
    source = (
        "{% for m in messages %}{{ m.role }}:{% for part in m.content %}"
        "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %};{% endfor %}"
    )
    assert (
        _template(source).render([{"role": "system", "content": "sy"}, *HI]) == "system:sy;user:hi;"
    )


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
        "{% set x = messages.__setitem__ %}{{ x(0, 1) }}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(source: str) -> None:
    with pytest.raises(ChatTemplateError):
        _template(source).render(HI)


def test_templates_may_change_their_own_lists_but_not_the_callers() -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hi", "tags": []}]
    source = "{% set _ = messages[0].tags.append('x') %}{{ messages[0].tags | length }}"
    assert _template(source).render(messages) == "1"
    assert messages[0]["tags"] == []


def test_generation_blocks_are_their_text() -> None:
    assert _template("a{% generation %}b{% endgeneration %}c").render(HI) == "abc"


HOSTILE = {
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}"
    "{% endfor %}{% endfor %}",
    "a loop over what it makes": "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}"
    "{% endfor %}{% for x in l * 999999 %}{% endfor %}",
    "a huge text": "{{ 'x' * 10**9 }}",
    "a huge constant": "{{ 'x' * 10000000000 }}",
    "doubling": "{% set n = namespace(x='xx') %}{% for i in range(99) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling by addition": "{% set n = namespace(x='xx') %}{% for i in range(99) %}"
    "{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling a list": "{% set n = namespace(x=[1]) %}{% for i in range(99) %}"
    "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
    "extending a list by itself": "{% set l = [1] %}{% for i in range(99) %}"
    "{% set _ = l.extend(l) %}{% endfor %}",
    "a list that holds itself": "{% set l = [1] %}{% set _ = l.append(l) %}{{ l | tojson }}",
    "a huge number": "{{ 9 ** (9 ** 9) }}",
    "squaring": "{% set n = namespace(x=9) %}{% for i in range(99) %}"
    "{% set n.x = n.x * n.x %}{% endfor %}",
    "a wide format": "{{ '%999999999d' % 1 }}",
    "a computed width": "{{ '%*d' % (999999999, 1) }}",
    "a wide format method": "{{ '{:>999999999}'.format(1) }}",
    "a nested width": "{{ '{:>{}}'.format(1, 999999999) }}",
    "a wide filter": "{{ 'x' | center(999999999) }}",
    "a wide method": "{{ 'x'.ljust(999999999) }}",
    "a wide indent": "{{ {'a': 1} | tojson(indent=999999999) }}",
    "replacing": "{% set x = 'x' * 9999999 %}{{ x | replace('x', x) }}",
    "replacing by method": "{% set x = 'x' * 9999999 %}{{ x.replace('x', x) }}",
    "joining": "{% set x = 'x' * 9999999 %}{{ range(99999) | join(x) }}",
    "joining by method": "{% set x = 'x' * 9999999 %}{{ x.join('y' * 9999) }}",
    "long output": "{% set x = 'x' * 9999999 %}{% for i in range(99) %}{{ x }}{% endfor %}",
    "long output in a macro": "{% set x = 'x' * 9999999 %}{% macro m() %}"
    "{% for i in range(99) %}{{ x }}{% endfor %}{% endmacro %}{{ m() | length }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "branching recursion": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}"
    "{% endmacro %}{{ m(99) }}",
    "a recursive loop": "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "tabs": "{{ ('\\t' * 99999).expandtabs(99999) }}",
    "lorem ipsum": "{{ lipsum(n=99999) }}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.timeout(20)
def test_a_template_that_loops_or_explodes_is_an_error(source: str) -> None:
    with pytest.raises(ChatTemplateError):
        _template(source).render(HI)


def test_the_message_that_is_refused_is_named() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'tool' %}"
        "{{ raise_exception('no tools here') }}{% endif %}{% endfor %}"
    )
    messages = [*HI, {"role": "tool", "content": "x"}, *HI]
    with pytest.raises(ChatTemplateError, match=r"at messages\[1\]: no tools here"):
        _template(source).render(messages)


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
