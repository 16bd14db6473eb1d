"""Macros whose texts are remembered: which they are, and that nothing stale is ever shown."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamaherd import ChatTemplateError
from llamaherd.chat import ChatTemplate
from llamaherd.chat.sandbox import BoundedEnvironment

HI = [{"role": "user", "content": "hi"}]
WALK = (
    "{% macro walk(value) %}{% if value is mapping %}{% for key, item in value.items() %}"
    "{{ key }}={{ walk(item) }};{% endfor %}{% elif value is string or value is not iterable %}"
    "{{ value | tojson }}{% else %}{% for item in value %}{{ walk(item) }},{% endfor %}{% endif %}"
    "{% endmacro %}{% for tool in tools %}{{ walk(tool) }}{% endfor %}"
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def _pure(source: str) -> set[str]:
    environment = BoundedEnvironment()
    with environment.bounded():
        environment.parse(source)
    return set(environment.pure)


def _template(source: str) -> ChatTemplate:
    return ChatTemplate(source, now=lambda: 0.0)


@settings(deadline=None, max_examples=30)
@given(tools=st.lists(st.dictionaries(st.text(max_size=3), PLAIN), max_size=3), data=st.data())
def test_a_tool_that_has_changed_is_written_anew(
    tools: list[dict[str, Any]], data: st.DataObject
) -> None:
    template = _template(WALK)
    for _ in range(3):
        text = template.render(HI, tools=tools)
        assert text == _template(WALK).render(HI, tools=copy.deepcopy(tools))
        for tool in tools:
            tool[data.draw(st.text(max_size=1))] = data.draw(PLAIN)


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, 0.0), (0.0, -0.0), ("1", 1), (None, "")])
def test_values_that_are_equal_but_not_the_same_are_apart(one: object, other: object) -> None:
    template = _template(WALK)
    texts = [template.render(HI, tools=[{"a": value}]) for value in (one, other)]
    assert texts[0] != texts[1]


def test_a_pure_macro_is_remembered() -> None:
    template = _template(WALK)
    memo = template._environment._memo
    template.render(HI, tools=[{"a": {"b": 1}}])
    known = len(memo)
    template.render(HI, tools=[{"a": {"b": 1}}])
    assert 0 < known == len(memo)


@pytest.mark.parametrize(
    "body",
    [
        "{{ bos_token }}",
        "{{ strftime_now('%H:%M') }}",
        "{{ caller() }}",
        "{{ varargs }}{{ x }}",
        "{% set _ = x.append(1) %}",
        "{% set _ = x.update(a=1) %}",
        "{% set other.n = other.n + 1 %}",
        "{{ impure(x) }}",
        "{{ unknown(x) }}",
        "{% set range = x %}{{ range(3) }}",
        "{{ x() }}",
        "{{ impure }}",
    ],
)
def test_a_macro_that_sees_or_changes_more_than_its_arguments_is_not(body: str) -> None:
    source = "{% set other = namespace(n=0) %}{% macro impure(x) %}{{ bos_token }}{% endmacro %}"
    assert _pure(source + "{% macro m(x) %}" + body + "{% endmacro %}") == set()


def test_a_variable_may_stand_in_for_a_name_that_is_set_only_sometimes() -> None:
    source = (
        "{% macro m(x) %}{% if x %}{% set y = 1 %}{% endif %}{{ y }}{% endmacro %}"
        "{{ m(false) }}{{ m(true) }}"
    )
    assert _pure(source) == {"m"}
    template = _template(source)
    assert [
        template.render_raw(HI, None, True, given) for given in ({}, {"y": 2}, {"y": 3}, {})
    ] == [
        "1",
        "21",
        "31",
        "1",
    ]
    assert _pure(source + "{% set y = 4 %}") == set()
    assert _pure(source + "{% for y in tools %}{% endfor %}") == set()


def test_a_macro_that_is_defined_twice_is_not() -> None:
    once = "{% macro m(x) %}{{ x }}{% endmacro %}"
    assert _pure(once) == {"m"}
    assert _pure(once + once) == set()
    assert _pure(once + "{% set m = 1 %}") == set()


def test_a_variable_may_not_take_the_place_of_a_helper() -> None:
    with pytest.raises(ChatTemplateError, match="'range'"):
        _template("{{ range(3) }}").render(HI, range=3)
