"""schemathesis asks what our OpenAPI description admits, and more: nothing is our fault."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from serving import Running, serving

BOUNDED = settings(
    max_examples=10,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def limited() -> Iterator[Running]:
    """A server that answers briefly, whatever is asked."""
    with serving(max_answer_tokens=4, request_timeout_s=5.0) as running:
        running.llm.stats()
        yield running


def test_nothing_that_the_description_admits_is_a_server_error(limited: Running) -> None:
    schema = schemathesis.openapi.from_url(f"{limited.url}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    asked = {operation.label: _statuses(operation) for operation in operations}
    assert {"POST /v1/chat/completions", "POST /infill", "GET /props"} <= set(asked)
    assert {label: max(each) for label, each in asked.items() if max(each) >= 500} == {}


def _statuses(operation: Any) -> set[int]:
    """What the server says to requests that are as described, and to some that are not."""
    found = set()

    @seeded(5)
    @BOUNDED
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        found.add(case.call().status_code)

    @seeded(6)
    @BOUNDED
    @given(case=operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
    def ask_wrongly(case: Any) -> None:
        found.add(case.call().status_code)

    ask()
    with contextlib.suppress(Unsatisfiable):  # nothing that could be wrong
        ask_wrongly()
    return found
