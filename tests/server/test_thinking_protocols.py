"""Thoughts through the three protocols, on a template that opens them unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from anthropic import Anthropic
from ollama import Client
from openai import OpenAI
from serving import Running, serving

from llamaherd.server.settings import ModelSettings

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>"
    "{% else %}<think>{% endif %}{% endif %}"
)
HI = "what is 3 plus 4?"


@pytest.fixture(scope="module")
def thinker() -> Iterator[Running]:
    """A server whose model thinks, or is made to believe so."""
    options = {"chat_template": TEMPLATE, "n_ctx": 1024, "n_threads": 1, "temperature": 0.0}
    with serving(ModelSettings(name="thinker", file="demo", options=options)) as running:
        assert running.llm.capabilities >= {"thinking", "thinking_switch"}
        yield running


def test_a_budget_ends_the_thought_and_the_text_follows(thinker: Running) -> None:
    with Anthropic(base_url=thinker.url, api_key="none") as client:
        with client.messages.stream(
            model="thinker",
            max_tokens=60,
            messages=[{"role": "user", "content": HI}],
            thinking={"type": "enabled", "budget_tokens": 4},
            extra_body={"ignore_eos": True},
        ) as stream:
            message = stream.get_final_message()
        thought, text = message.content
        assert (thought.type, text.type) == ("thinking", "text")
        assert thought.thinking  # type: ignore[union-attr]
        assert thought.signature  # type: ignore[union-attr]
        again = client.messages.create(
            model="thinker",
            max_tokens=8,
            messages=[
                {"role": "user", "content": HI},
                message.to_param(),
                {"role": "user", "content": "and 4 plus 4?"},
            ],
        )
        assert [block.type for block in again.content] == ["text"], "nobody asked for thoughts"


def test_an_effort_of_none_is_no_thought(thinker: Running) -> None:
    with OpenAI(base_url=f"{thinker.url}/v1", api_key="none") as client:

        def kinds(effort: str) -> list[str]:
            response = client.responses.create(
                model="thinker",
                input=HI,
                max_output_tokens=12,
                extra_body={"reasoning": {"effort": effort}, "ignore_eos": True},
            )
            return [item.type for item in response.output]

        assert kinds("none") == ["message"]
        assert kinds("high") == ["reasoning"]


def test_thinking_is_switched_as_ollamas_clients_do(thinker: Running) -> None:
    with Client(host=thinker.url) as client:
        assert "thinking" in (client.show("thinker").capabilities or [])

        def said(think: bool | None) -> tuple[bool, bool]:
            options = {"num_predict": 12, "ignore_eos": True}
            messages = [{"role": "user", "content": HI}]
            message = client.chat("thinker", messages, think=think, options=options).message
            return bool(message.thinking), bool(message.content)

        assert said(False) == (False, True)
        assert said(True) == (True, False)
        assert said(None) == (True, False)
