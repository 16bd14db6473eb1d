"""What is learned from templates that are odd or damaged."""

from __future__ import annotations

import random

import pytest
from chat_samples import OWN, TOOLS, chunked, learned, read

from llamaherd import LlamaHerdError
from llamaherd.chat.format import ChatFormat
from llamaherd.chat.learn import learn
from llamaherd.chat.syntax import ARGUMENTS, NAME, AnswerSyntax, Codec
from llamaherd.chat.template import ChatTemplate

HI = [{"role": "user", "content": "hi"}]


def _learned(source: str) -> AnswerSyntax:
    return learn(ChatTemplate(source, now=lambda: 0.0))


def test_a_call_is_what_differs() -> None:
    tools = learned("list with ids")[1].tools
    assert tools is not None
    assert (tools.open, tools.separator, tools.close) == ("[CALLS][", ", ", "]")
    assert tools.call.endswith(f'"tool": "{NAME}", "input": {ARGUMENTS}}}')


def test_types_have_forms_of_their_own() -> None:
    tools = learned("tagged with types")[1].tools
    assert tools is not None
    assert tools.parameters is not None
    forms = tools.parameters.forms
    assert forms["string"].codec is Codec.RAW
    assert "type=json" in forms["number"].pattern


@pytest.mark.parametrize(
    "source",
    [
        "always the same",
        "{{ raise_exception('no') }}",
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}"
        "{% for k, v in c.function.arguments.items() %}{{ k }}: {{ v }}\n{% endfor %}"
        "{% endfor %}{% endfor %}",
        "{% for m in messages %}{{ m.reasoning_content }}\n{{ m.content }}{% endfor %}",
    ],
)
def test_templates_that_show_no_calls_are_learned_as_such(source: str) -> None:
    assert _learned(source).tools is None


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_template_fails_in_a_typed_way_or_works(seed: int) -> None:
    chance = random.Random(seed)
    source = chance.choice(list(OWN.values()))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(source))
        source = source[:at] + source[at + chance.randint(1, 12) :]
    try:
        chat = ChatFormat({"default": source}, now=lambda: 0.0)
        prompt = chat.render(HI, tools=TOOLS)
        chat.grammar(prompt, TOOLS)
        text = f"hm </think> {OWN} <call>"
        found = read(chat.parser(prompt, TOOLS), chunked(text, 3))
        assert found.content or found.reasoning or found.calls
    except LlamaHerdError as error:
        assert str(error), "an error says what is wrong"  # noqa: PT017
