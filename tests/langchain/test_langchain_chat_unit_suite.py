"""The official unit suite for chat models: every test on, none overridden."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from llamaherd.langchain import ChatLlamaCpp


class InProcess(ChatModelUnitTests):
    """The demo model in this process."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlamaCpp

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model_path": "demo", "n_threads": 1}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"LLAMAHERD_API_KEY": "a-key"},
            {"base_url": "http://127.0.0.1:8080", "model": "demo"},
            {"api_key": "a-key"},
        )


@pytest.mark.filterwarnings("ignore:Benchmarks are automatically disabled")
class TestUnitSuite(InProcess):
    """All of it."""
