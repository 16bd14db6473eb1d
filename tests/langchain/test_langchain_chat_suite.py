"""The official integration suite for chat models, on the demo model."""

from __future__ import annotations

from typing import Any

import pytest
from chat_suite import ChatSuite

pytestmark = [
    pytest.mark.usefixtures("downloads", "sensing"),
    # test_stream_time measures only what a cassette of HTTP replays; here is no HTTP.
    pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"),
    pytest.mark.filterwarnings("ignore:.*is in beta:langchain_core._api.LangChainBetaWarning"),
]


class TestInProcess(ChatSuite):
    """Structured output by calling a function, the default."""


class TestJsonSchema(ChatSuite):
    """Structured output by masking the answer."""

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_schema"}
