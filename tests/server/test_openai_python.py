"""openai-python drives the server."""

from __future__ import annotations

import openai as openai_package
import pytest
from openai import OpenAI


def test_chat_answers(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "what is 3 plus 4?"}],
        temperature=0,
    )
    assert "7" in (answer.choices[0].message.content or "")
    assert answer.model == "demo"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_ends_with_usage(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(
            model="demo",
            messages=[{"role": "user", "content": "what is 3 plus 4?"}],
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "7" in text
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_an_unknown_model_is_not_found(openai: OpenAI) -> None:
    with pytest.raises(openai_package.NotFoundError, match="there are: demo") as caught:
        openai.chat.completions.create(model="x", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_models_are_listed(openai: OpenAI) -> None:
    assert [model.id for model in openai.models.list()] == ["demo"]
    assert openai.models.retrieve("demo").id == "demo"
