"""Runs calls as translators make them, in process, on the demo model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llamaherd import Llama
from llamaherd.server.calls import ChatCall
from llamaherd.server.streams import Encoder

JSON = dict[str, Any]


def whole_response(llm: Llama, call: ChatCall, **options: Any) -> JSON:
    """OpenAI's response to a call; hints are left out, as for any model without switches."""
    response: JSON = llm.create_chat_completion(
        call.messages, temperature=0, **call.options, **options
    )
    return response


def streamed(llm: Llama, call: ChatCall, encoder: Encoder) -> bytes:
    """What a client would get of a stream."""
    chunks = llm.create_chat_completion(call.messages, stream=True, temperature=0, **call.options)
    return b"".join([*(encoder.chunk(chunk) for chunk in chunks), encoder.end()])


def named_events(data: bytes) -> Iterator[JSON]:
    """The data of server-sent events, each of which must have its type for a name."""
    for event in data.decode().strip().split("\n\n"):
        name, _, text = event.partition("\n")
        found = json.loads(text.removeprefix("data: "))
        assert name == f"event: {found['type']}"
        yield found
