"""Rendering conversations with templates that may be hostile."""

from __future__ import annotations

import re
from typing import Any

import pytest

from llamaherd import ChatTemplateError
from llamaherd.chat import ChatFormat, ChatTemplate

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
    "branching recursion": "{% macro m(n) %}{{ eos_token }}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}"
    "{% endif %}{% endmacro %}{{ m(99) }}",
    "a recursive loop": "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "tabs": "{{ ('\\t' * 99999).expandtabs(99999) }}",
    "lorem ipsum": "{{ lipsum(n=99999) }}",
    "a long body": "{% for i in range(99999) %}" + "{% set a = b %}" * 5000 + "{% endfor %}",
    "a long body of a macro": "{% macro m() %}" + "{% set a = b %}" * 5000 + "{% endmacro %}"
    "{% for i in range(99999) %}{{ m() }}{{ m() }}{% endfor %}",
    "a long condition": "{% for i in range(99999) if " + "b or " * 5000 + "b %}{% endfor %}",
    "looking into a text": "{% set x = 'x' * 9999999 %}{% for i in range(99999) %}"
    "{% if 'y' in x %}{% endif %}{% endfor %}",
    "comparing": "{% set x, y = [1] * 499999, [1] * 499999 %}{% for i in range(99999) %}"
    "{% if x == y %}{% endif %}{% endfor %}",
    "cutting": "{% set x = [1] * 499999 %}{% for i in range(99999) %}{% set y = x[1:] %}"
    "{% endfor %}",
    "texts in a block": "{% set o %}{% for i in range(3000) %}{{ 'x' * 9999999 ~ i }}{% endfor %}"
    "{% endset %}",
    "writing a list again and again": "{% set x = ['x' * 9999999] %}{% macro m() %}"
    + "{{ x }}" * 999
    + "{% endmacro %}{{ m() | length }}",
    "a format that repeats": "{{ ('{0}' * 99999).format('x' * 999999) }}",
    "an old format that repeats": "{{ ('%(a)s' * 99999) % {'a': 'x' * 999999} }}",
    "a text as indent": "{{ ('\n' * 16000) | indent('x' * 9999999) }}",
    "grouping": "{{ (range(99999) | list * 5) | groupby('real') | length }}",
    "a sum of lists": "{{ ([[1]] * 240000) | sum(start=[]) | length }}",
    "changing its bounds": "{{ 1 | _paid(-99999999) }}",
    "a recursive loop over a text": "{% for x in 'xx' recursive %}{{ loop('x' * 9999999) }}"
    "{% endfor %}",
    "a set of what is doubled": "{% set o = namespace(x=(1, 2)) %}{% for i in range(17) %}"
    "{% set o.x = (o.x, o.x) %}{% endfor %}{% set d = {}.fromkeys(range(9999), o.x) %}"
    "{{ (d.items() - d.items()) | length }}",
    "keys that are doubled": "{% set o = namespace(x=(1, 2)) %}{% for i in range(40) %}"
    "{% set o.x = ({o.x: o.x}.items() | list)[0] %}{% endfor %}",
    "lists that are doubled from the top": "{% set o = namespace(x=[]) %}{% for i in range(41) %}"
    "{% set o.x = o.x + [[]] %}{% endfor %}{% for i in range(40) %}"
    "{% set _ = o.x[i].append(o.x[i + 1]) %}{% set _ = o.x[i].append(o.x[i + 1]) %}{% endfor %}"
    "{{ o.x[0] }}",
}
_DOUBLED = (
    "{% set o = namespace(x=1, y=1) %}{% for i in range(40) %}{% set o.x = [o.x, o.x] %}"
    "{% set o.y = [o.y, o.y] %}{% endfor %}"
)
HOSTILE |= {
    f"{use} of what is doubled": _DOUBLED + use
    for use in (
        "{{ o.x }}",
        "{{ o }}",
        "{{ o.x ~ '' }}",
        "{{ o.x == o.y }}",
        "{{ o.x in [o.y] }}",
        "{{ [o.x].index(o.y) }}",
        "{{ [o.x, o.y] | sort | length }}",
        "{{ [o.x] | select('equalto', o.y) | list | length }}",
        "{{ [{'a': o.x}] | map(attribute='a') | join }}",
        "{{ {'a': o.x}.items() }}",
        "{{ '{}'.format(o.x) }}",
        "{{ '%s' % o.x }}",
        "{{ o.x | string | length }}",
        "{{ raise_exception(o.x) }}",
        "{% if o.x is upper %}{% endif %}",
    )
}
HOSTILE |= {
    f"doubling by {way}": "{% set o = namespace(x=1) %}{% macro m() %}{% set o.x = varargs %}"
    "{% endmacro %}{% macro k() %}{% set o.x = kwargs %}{% endmacro %}{% for i in range(40) %}"
    + way
    + "{% endfor %}{{ o.x }}"
    for way in (
        "{% set o.x = namespace(a=o.x, b=o.x) %}",
        "{% set o.x = dict(a=o.x, b=o.x) %}",
        "{% set o.x = {}.fromkeys([1, 2], o.x) %}",
        "{% set o.x = cycler(o.x, o.x).items %}",
        "{{ m(o.x, o.x) }}",
        "{{ k(a=o.x, b=o.x) }}",
    )
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.timeout(20)
def test_a_template_that_loops_or_explodes_is_an_error(source: str) -> None:
    with pytest.raises(ChatTemplateError):
        _template(source).render(HI)


@pytest.mark.timeout(20)
def test_a_template_that_is_slow_only_with_calls_is_an_error_at_the_first_question() -> None:
    """All that learns how it writes calls has the time of one rendering."""
    slow = (
        "{% for m in messages %}{% if m.tool_calls %}{% for i in range(999) %}"
        "{% for j in range(400) %}{% set a = b %}{% endfor %}{% endfor %}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    chat = ChatFormat({"default": slow}, now=lambda: 0.0)
    with pytest.raises(ChatTemplateError, match="stopped"):
        chat.render(HI)


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
