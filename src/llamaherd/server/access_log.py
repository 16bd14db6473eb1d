"""One line of JSON for each request: who, what, how long; never what was said."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

logger = logging.getLogger("llamaherd.access")
KEY = "llamaherd.record"
"""Under which a request's scope holds its :class:`Record`."""


@dataclass
class Record:
    """What is known of a request. Times in milliseconds.

    Attributes:
        id: which the response names as ``x-request-id``.
        client: name of its API key, or its address.
        first_byte_ms: until the response began.
        finish_reason: of the (first) answer.
        ignored: fields that nobody knows.
    """

    id: str
    client: str
    method: str
    path: str
    status: int = 0
    ms: float = 0.0
    first_byte_ms: float = 0.0
    bytes_sent: int = 0
    model: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generated_tokens: int | None = None
    finish_reason: str | None = None
    ignored: list[str] = field(default_factory=list)

    def note(self, response: Mapping[str, Any]) -> None:
        """What a whole response, or the last chunk of a choice, tells."""
        if usage := response.get("usage"):
            self.prompt_tokens = usage["prompt_tokens"]
            self.generated_tokens = usage.get("completion_tokens")
        timings = response.get("timings")
        if timings is None:
            return
        choices = response["choices"]
        if not choices or choices[0]["finish_reason"] is None:
            return
        self.cached_tokens = timings["cache_n"]
        if not usage:
            self.prompt_tokens = timings["cache_n"] + timings["prompt_n"]
            self.generated_tokens = (self.generated_tokens or 0) + timings["predicted_n"]
        self.finish_reason = choices[0]["finish_reason"]

    def write(self) -> None:
        """Log it."""
        told = {key: value for key, value in asdict(self).items() if value not in (None, [])}
        logger.info(json.dumps({"time": round(time.time(), 3), **told}, ensure_ascii=True))


def record_of(scope: Mapping[str, Any]) -> Record:
    """The record that the gate made for a request."""
    record: Record = scope[KEY]
    return record
