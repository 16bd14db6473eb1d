"""What models say they can do."""

from __future__ import annotations

from pathlib import Path

from bert import random_bert

from llamaherd import Llama

THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)


def test_the_demo_model_chats_calls_and_fills_in(llm: Llama) -> None:
    assert llm.capabilities == {"completion", "insert", "tools"}


def test_thoughts_and_their_switch_are_the_templates() -> None:
    with Llama("demo", chat_template=THINKING, n_ctx=64) as llm:
        assert llm.capabilities >= {"thinking", "thinking_switch"}
        assert "tools" not in llm.capabilities


def test_without_a_chat_template_a_model_completes(tiny_model: Path) -> None:
    with Llama(tiny_model) as llm:
        assert llm.capabilities == {"completion"}


def test_an_encoder_embeds_and_nothing_else(tmp_path: Path) -> None:
    with Llama(random_bert().write(tmp_path / "bert.gguf")) as llm:
        assert llm.capabilities == {"embedding"}
