"""ollama-python drives the server, and a client that looks for models as VS Code's Copilot does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from ollama import AsyncClient, Client, ResponseError
from openai import OpenAI
from pydantic import BaseModel
from serving import DEMO, Running, serving

from llamaherd.server.settings import ModelSettings

QUESTION = [{"role": "user", "content": "what is the weather in Paris?"}]
SUM = [{"role": "user", "content": "what is 3 plus 4?"}]
GREEDY = {"temperature": 0}


def get_weather(location: str) -> str:
    """Get the current weather in a given location.

    Args:
        location: the city
    """
    return f"18 C and sunny in {location}"


@pytest.fixture
def ollama(server: Running) -> Iterator[Client]:
    """The official client, pointed at the server."""
    with Client(host=server.url) as client:
        yield client


def test_models_are_listed_and_shown(ollama: Client) -> None:
    (model,) = ollama.list().models
    assert model.model == "demo"
    assert model.size
    assert model.details is not None
    assert (model.details.family, model.details.parameter_size) == ("llama", "5.2M")
    shown = ollama.show("demo")
    assert shown.capabilities == ["completion", "tools", "insert"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["llama.context_length"] == 4096
    assert shown.template


def test_loaded_models_are_running(server: Running, ollama: Client) -> None:
    assert server.llm
    (model,) = ollama.ps().models
    assert (model.model, model.context_length) == ("demo", 4096)


def test_a_chat_answers_and_streams(ollama: Client) -> None:
    whole = ollama.chat("demo", SUM, options=GREEDY)
    assert "7" in (whole.message.content or "")
    assert whole.done_reason == "stop"
    assert whole.eval_count
    parts = list(ollama.chat("demo", SUM, options=GREEDY, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


async def test_coroutines_stream_too(server: Running) -> None:
    async with AsyncClient(host=server.url) as client:
        stream = await client.chat("demo", SUM, options=GREEDY, stream=True)
        assert "7" in "".join([part.message.content or "" async for part in stream])


def test_a_tool_is_called_and_its_result_read(ollama: Client) -> None:
    answer = ollama.chat("demo", QUESTION, tools=[get_weather], options=GREEDY)
    (call,) = answer.message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("get_weather", {"location": "Paris"})
    result = {"role": "tool", "tool_name": "get_weather", "content": get_weather("Paris")}
    said = ollama.chat(
        "demo", [*QUESTION, answer.message, result], tools=[get_weather], options=GREEDY
    )
    assert "sunny" in (said.message.content or "")


def test_an_answer_follows_a_schema(ollama: Client) -> None:
    class Joke(BaseModel):
        setup: str
        punchline: str

    asked = [{"role": "user", "content": "Tell me a joke about cats."}]
    answer = ollama.chat("demo", asked, format=Joke.model_json_schema(), options=GREEDY)
    assert Joke.model_validate_json(answer.message.content or "").setup


def test_texts_are_generated(ollama: Client) -> None:
    answer = ollama.generate("demo", "what is 3 plus 4?", options=GREEDY)
    assert "7" in (answer.response or "")
    parts = ollama.generate("demo", "what is 3 plus 4?", options=GREEDY, stream=True)
    assert "".join(part.response or "" for part in parts) == answer.response
    raw = ollama.generate("demo", "Hello", raw=True, options={"num_predict": 3, "ignore_eos": True})
    assert (raw.done_reason, raw.eval_count) == ("length", 3)
    gap = ollama.generate("demo", "def add(a, b):\n    return ", suffix="\n", options=GREEDY)
    assert gap.response


def test_texts_are_embedded(server: Running, ollama: Client) -> None:
    found = ollama.embed("demo", ["hello", "world"])
    expected = server.llm.embed(["hello", "world"])
    assert np.allclose(found.embeddings, expected, atol=1e-5)
    assert found.prompt_eval_count
    one = ollama.embeddings("demo", "hello").embedding
    assert np.allclose(one, expected[0], atol=2e-4)  # a batch of one text rounds otherwise


def test_a_model_is_loaded_by_asking_nothing(ollama: Client) -> None:
    assert ollama.chat("demo").done_reason == "load"
    assert ollama.generate("demo").done_reason == "load"


def test_errors_are_the_clients_own(ollama: Client) -> None:
    with pytest.raises(ResponseError, match="there are: demo") as caught:
        ollama.chat("llama3", SUM)
    assert caught.value.status_code == 404
    with pytest.raises(ResponseError, match="no switch for thinking"):
        ollama.chat("demo", SUM, think=True)
    with pytest.raises(ResponseError) as streamed:
        list(ollama.chat("demo", [{"role": "robot", "content": "hi"}], stream=True))
    assert streamed.value.status_code == 400


def test_copilot_finds_a_model_and_chats(server: Running, openai: OpenAI) -> None:
    """Request by request what the Ollama provider of VS Code's Copilot sends."""
    with httpx.Client(base_url=server.url) as http:
        version = [int(part) for part in http.get("/api/version").json()["version"].split(".")]
        assert version >= [0, 6, 4], "the oldest that it talks to"
        (model,) = http.get("/api/tags").json()["models"]
        shown = http.post("/api/show", json={"model": model["model"]}).json()
    info = shown["model_info"]
    assert info["general.basename"]
    assert info[f"{info['general.architecture']}.context_length"] == 4096
    assert "tools" in shown["capabilities"]
    assert shown["details"]["family"]
    answer = openai.chat.completions.create(
        model=model["model"],
        messages=[{"role": "user", "content": "what is 3 plus 4?"}],
        temperature=0,
        stream=True,
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
    assert "7" in text


def test_models_are_shown_without_loading_them(tiny_model: Path) -> None:
    asleep = ModelSettings(name="asleep", file="demo", preload=False, options={"n_ctx": 512})
    tiny = ModelSettings(name="tiny", file=str(tiny_model), preload=False)
    with serving(DEMO, asleep, tiny) as running, Client(host=running.url) as client:
        shown = client.show("asleep:latest")
        assert shown.modelinfo is not None
        assert shown.modelinfo["llama.context_length"] == 512
        assert shown.capabilities == ["completion", "tools"]
        assert client.show("tiny").capabilities == ["completion"]
        assert [each.model for each in client.list().models] == ["demo", "asleep", "tiny"]
        assert running.llm
        assert [each.model for each in client.ps().models] == ["demo"]
