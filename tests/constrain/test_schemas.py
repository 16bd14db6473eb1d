"""Any schema is enforced or refused: answers of a random-weight model are instances of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamaherd import GrammarError, Llama

Schema = dict[str, Any]
NAMES = st.sampled_from(["a", "b", "name", "größe", 'quo"te', "x y", "日本"])
SCALARS: st.SearchStrategy[Schema] = st.one_of(
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-2000, 2000),
        st.integers(0, 3000),
    ),
    st.builds(
        lambda low, more: {"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": more},
        st.integers(-20, 20),
        st.integers(22, 90),
    ),
    st.builds(
        lambda step: {"type": "integer", "multipleOf": step, "minimum": 0, "maximum": 100},
        st.integers(1, 9),
    ),
    st.builds(
        lambda low, more: {"type": "number", "minimum": low, "maximum": low + more},
        st.integers(-5, 5),
        st.floats(0.25, 8),
    ),
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["boolean", "null"]},
            {"type": "string", "pattern": "^[a-c]{1,3}-\\d$"},
            {"type": "string", "pattern": "^(on|off)$"},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "time"},
            {"type": "string", "format": "uuid"},
            {"type": "string", "format": "ipv4"},
        ]
    ),
    st.builds(
        lambda values: {"enum": values},
        st.lists(
            st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
            min_size=1,
            max_size=4,
            unique_by=lambda value: json.dumps(value),
        ),
    ),
    st.builds(lambda value: {"const": value}, st.text(max_size=6) | st.integers() | st.none()),
)


def _objects(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    @st.composite
    def build(draw: st.DrawFn) -> Schema:
        properties = draw(st.dictionaries(NAMES, inner, max_size=3))
        schema: Schema = {"type": "object", "properties": properties}
        required = [name for name in properties if draw(st.booleans())]
        if required:
            schema["required"] = required
        if draw(st.integers(0, 4)):
            schema["additionalProperties"] = False
        return schema

    return build()


def _arrays(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    plain = st.builds(
        lambda items, low, more: {
            "type": "array", "items": items, "minItems": low, "maxItems": low + more,
        },
        inner, st.integers(0, 2), st.integers(0, 2),
    )  # fmt: skip
    tuples = st.builds(
        lambda first: {"type": "array", "prefixItems": first, "items": False},
        st.lists(inner, min_size=1, max_size=2),
    )
    return plain | tuples


def _compound(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    either = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        _objects(inner),
        _arrays(inner),
        st.builds(lambda parts: {"anyOf": parts}, either),
        st.builds(lambda parts: {"oneOf": parts}, either),
        st.builds(lambda one, other: {"allOf": [one, other]}, inner, inner),
    )


def _referring(part: Schema) -> Schema:
    reference = {"$ref": "#/$defs/it"}
    return {"type": "array", "items": reference, "maxItems": 2, "$defs": {"it": part}}


ENFORCED = st.recursive(SCALARS, _compound, max_leaves=6)
REFUSED = [
    st.builds(lambda part: {"not": part}, SCALARS),
    st.builds(lambda part: {"type": "array", "items": part, "uniqueItems": True}, SCALARS),
]
KINDS = [ENFORCED] * 10 + [ENFORCED.map(_referring)] * 2 + REFUSED
SCHEMAS = st.sampled_from(range(len(KINDS))).flatmap(lambda n: KINDS[n])


@pytest.fixture(scope="module")
def random_llm(tiny_model: Path) -> Iterator[Llama]:
    with Llama(tiny_model, n_ctx=1024, n_threads=1) as llm:
        yield llm


def test_every_schema_is_enforced_or_refused(random_llm: Llama) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(schema=SCHEMAS, seed=st.integers(0, 99))
    def holds(schema: Schema, seed: int) -> None:
        try:
            done = random_llm(
                "x", json_schema=schema, seed=seed, temperature=2.0, min_p=0, max_tokens=600
            )
        except GrammarError:
            seen["refused"] += 1
            return
        (choice,) = done["choices"]
        seen[choice["finish_reason"]] += 1
        if choice["finish_reason"] == "stop":
            checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
            jsonschema.Draft202012Validator(schema, format_checker=checker).validate(
                json.loads(choice["text"])
            )

    holds()
    assert seen["stop"] > 150
    assert 0 < seen["refused"] < 100
    assert set(seen) <= {"stop", "refused", "length"}


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {"type": "integer"}}, "contains"),
        ({"not": {"type": "integer"}}, "not"),
        ({"if": {"type": "integer"}, "then": {"minimum": 3}}, "if"),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"type": "object", "propertyNames": {"pattern": "^a"}}, "propertyNames"),
        ({"type": "object", "dependentSchemas": {"a": {}}}, "dependentSchemas"),
        ({"type": "object", "unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"type": "string", "format": "no-such-format"}, "format"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
    ],
)
def test_a_keyword_that_cannot_be_enforced_is_named(
    random_llm: Llama, schema: Schema, keyword: str
) -> None:
    with pytest.raises(GrammarError, match=keyword):
        random_llm("x", json_schema=schema)
