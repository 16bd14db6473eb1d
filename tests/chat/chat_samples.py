"""Templates, tools and answers that several tests use."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamaherd.chat import events
from llamaherd.chat.learn import learn
from llamaherd.chat.messages import adapted, checked
from llamaherd.chat.parser import Parser
from llamaherd.chat.strings import common_prefix, common_suffix
from llamaherd.chat.syntax import AnswerSyntax
from llamaherd.chat.template import ChatTemplate

_HERE = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LLAMAHERD_DATA", _HERE.parent / "shared" / "data"))
REAL = sorted((DATA / "templates").glob("*.jinja"))

WITHOUT_CALLS = {
    "HuggingFaceTB-SmolLM3-3B": "leaves tools and calls out",
    "LFM2-8B-A1B": "leaves calls out",
    "LFM2.5-Instruct": "leaves calls out",
    "google-gemma-2-2b-it": "knows no tools",
    "ibm-granite-granite-3.3-2B-Instruct": "leaves calls out",
    "llama-cpp-rwkv-world": "knows no tools",
    "microsoft-Phi-3.5-mini-instruct": "knows no tools",
}
"""The real templates in which no call can be seen, and why."""

_BEGIN = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content or '' }}{% if m.tool_calls %}"
)
_END = (
    "{% endif %}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    "{% if tools %}{% endif %}"
)
_EACH = "{% for c in m.tool_calls %}{% set f = c.function %}"
_JSON = "{{ f.arguments | tojson }}"


def _chat(calls: str) -> str:
    return f"{_BEGIN}{calls}{_END}"


OWN = {
    "object in markers": _chat(
        _EACH + '<call>{"name": "{{ f.name }}", "arguments": ' + _JSON + "}</call>{% endfor %}"
    ),
    "arguments before the name": _chat(
        _EACH + '<call>{"parameters": ' + _JSON + ', "function": "{{ f.name }}"}</call>{% endfor %}'
    ),
    "list with ids": _chat(
        "[CALLS][" + _EACH + '{"id": "{{ c.id }}", "tool": "{{ f.name }}", "input": ' + _JSON
        + "}{{ '' if loop.last else ', ' }}{% endfor %}]"
    ),
    "name and arguments": _chat(
        _EACH + "<fn={{ f.name }}>" + _JSON + "</fn>{{ '' if loop.last else '\\n' }}{% endfor %}"
    ),
    "numbered in a section": _chat(
        "<|calls|>" + _EACH + "<|call|>{{ f.name }}#{{ loop.index }}<|args|>" + _JSON
        + "<|done|>{% endfor %}<|calls_end|>"
    ),
    "tagged": _chat(
        _EACH + "<invoke {{ f.name }}>\n{% for k, v in f.arguments.items() %}"
        "<arg name={{ k }}>\n{{ v if v is string else v | tojson }}\n</arg>\n"
        "{% endfor %}</invoke>\n{% endfor %}"
    ),
    "tagged with types": _chat(
        _EACH + "<run>{{ f.name }}{% for k, v in f.arguments.items() %}"
        "<k>{{ k }}</k><v type={{ 'str' if v is string else 'json' }}>"
        "{{ v if v is string else v | tojson }}</v>{% endfor %}</run>{% endfor %}"
    ),
    "like Python": _chat(
        "<|py|>[" + _EACH + "{{ f.name }}({% for k, v in f.arguments.items() %}"
        "{{ k }}={{ v | tojson }}{{ '' if loop.last else ', ' }}{% endfor %})"
        "{{ '' if loop.last else ', ' }}{% endfor %}]<|/py|>"
    ),
    "like Python with raw texts": _chat(
        "<|py|>[" + _EACH + "{{ f.name }}({% for k, v in f.arguments.items() %}{{ k }}="
        "{% if v is string %}'{{ v }}'{% else %}{{ v }}{% endif %}"
        "{{ '' if loop.last else ', ' }}{% endfor %}){{ '' if loop.last else ', ' }}"
        "{% endfor %}]<|/py|>"
    ),
    "bare object": (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.tool_calls %}"
        "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call') }}{% endif %}"
        '{% set f = m.tool_calls[0].function %}{"name": "{{ f.name }}", "parameters": '
        + _JSON + "}{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    ),
}  # fmt: skip
"""Templates of nobody's, one for each way to write a call."""

PROPERTIES: dict[str, Any] = {
    "text": {"type": "string", "description": "a text"},
    "count": {"type": "integer", "description": "a number"},
    "ratio": {"type": "number", "description": "a number"},
    "flag": {"type": "boolean", "description": "yes or no"},
    "names": {"type": "array", "description": "texts", "items": {"type": "string"}},
    "deep": {
        "type": "object",
        "description": "an object",
        "properties": {
            "inner": {"type": "array", "items": {"type": "integer"}},
            "word": {"type": "string"},
        },
        "additionalProperties": {"type": "string"},
    },
}


def tool(name: str, properties: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    parameters = {"type": "object", "properties": dict(properties), "required": list(required)}
    function = {"name": name, "description": "a tool", "parameters": parameters}
    return {"type": "function", "function": function}


_QUESTION = "How many roads?"
TOOLS = [tool("get", PROPERTIES), tool("get_more", PROPERTIES)]
Call = tuple[str, dict[str, Any]]


def source_of(name: str) -> str:
    if name in OWN:
        return OWN[name]
    return (DATA / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


@functools.cache
def learned(name: str) -> tuple[ChatTemplate, AnswerSyntax]:
    template = ChatTemplate(source_of(name), bos="<BOS>", eos="<EOS>", now=lambda: 1.7e9)
    return template, learn(template)


def rendered(
    name: str,
    calls: Sequence[Call],
    content: str = "",
    reasoning: str = "",
    tools: Sequence[Mapping[str, Any]] = TOOLS,
) -> str:
    """What the model would have to write for the template to render this answer."""
    template, syntax = learned(name)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": f"callid{i:03}", "function": {"name": n, "arguments": a}}
            for i, (n, a) in enumerate(calls)
        ]
    if reasoning:
        message["reasoning_content"] = reasoning
    question = {"role": "user", "content": _QUESTION}
    messages = adapted(checked([question, message]), syntax)
    whole = template.render_raw(messages, tools, False, {})
    if syntax.header:
        begin = whole.index(syntax.header, whole.rindex(_QUESTION))
        answer = whole[begin + len(syntax.header) :]
    else:
        prompt = template.render_raw([question], tools, True, {})
        answer = whole[len(common_prefix(whole, prompt)) :]
    return answer[: len(answer) - len(common_suffix(answer, syntax.end))]


@dataclass
class Read:
    """A parsed answer, put together again."""

    content: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(parser: Parser, chunks: Iterator[str] | Sequence[str]) -> Read:
    """The answer in ``chunks``; checks that events come in order."""
    found, texts = Read(), dict[int, tuple[str, list[str]]]()
    seen = [event for chunk in chunks for event in parser.feed(chunk)] + parser.finish()
    for event in seen:
        if isinstance(event, events.ContentDelta):
            found.content += event.text
        elif isinstance(event, events.ReasoningDelta):
            found.reasoning += event.text
        elif isinstance(event, events.CallStart):
            assert event.index not in texts
            texts[event.index] = event.name, []
            found.ids.append(event.id)
        elif isinstance(event, events.CallArguments):
            texts[event.index][1].append(event.text)
        elif isinstance(event, events.CallBroken):
            del texts[event.index]
            found.notes.append(event.note)
        elif isinstance(event, events.Note):
            found.notes.append(event.note)
    found.calls = [(name, json.loads("".join(parts))) for name, parts in texts.values()]
    return found


def chunked(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]
