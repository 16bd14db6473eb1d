"""Bodies of ``/api/chat`` and ``/api/generate`` -> calls in OpenAI's shape. Pure.

Fields: Ollama's API reference, and the types of its Python client.
"""

from __future__ import annotations

from typing import Any

from llamaherd.errors import OptionError
from llamaherd.params import SamplingParams
from llamaherd.server.calls import ChatCall, TextCall
from llamaherd.server.protocols.conversation import Conversation, image_part, text_part
from llamaherd.server.protocols.effort import effort_hints
from llamaherd.server.protocols.fields import Fields
from llamaherd.server.protocols.shapes import (
    JSON,
    as_count,
    as_flag,
    as_list,
    as_object,
    as_text,
    objects,
)

_ANSWER = ("model", "stream", "format", "options", "think", "logprobs", "top_logprobs")
_HARMLESS = ("keep_alive", "truncate", "shift")
"""How long models stay in memory is the server's to say; prompts are never cut to fit."""
_CHAT = Fields(known=(), harmless=_HARMLESS, own=(*_ANSWER, "messages", "tools"))
_GENERATE = Fields(
    known=(),
    harmless=_HARMLESS,
    own=(*_ANSWER, "prompt", "suffix", "system", "raw", "images"),
    refused={
        "template": (("",), "nothing: the template is the model's, or the server's to replace"),
        "context": (([],), "nothing: send the conversation to /api/chat"),
    },
)
_EMBED = Fields(
    known=("truncate", "dimensions"),
    harmless=("keep_alive", "options"),
    own=("model", "input", "prompt"),
)
OPTIONS = Fields(
    known=[name for name in SamplingParams.names() if name != "n"],
    harmless=(
        "num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread", "low_vram", "f16_kv", "numa",
        "logits_all", "vocab_only", "use_mmap", "use_mlock", "embedding_only", "penalize_newline",
    ),
    refused={"tfs_z": ((1, 1.0), "1: llama.cpp has no tail-free sampling any more")},
    own=("num_predict",),
)  # fmt: skip
UNTIL_FULL = -2
"""As ``num_predict``: until the context is full; -1 is that, too."""


def chat_call(body: JSON) -> ChatCall:
    """A body of ``/api/chat``.

    Raises:
        OptionError: names the field.
    """
    _, ignored = _CHAT.sort(body)
    options, hints, unread = _answer(body)
    tools = as_list("tools", body.get("tools") or [])
    if tools:
        options["tools"] = tools
    return ChatCall(model_name(body), _messages(body), options, [*ignored, *unread], hints)


def generate_call(body: JSON) -> ChatCall | TextCall:
    """A body of ``/api/generate``: a question, or with ``raw`` or ``suffix`` a text to go on from.

    Raises:
        OptionError: names the field.
    """
    _, ignored = _GENERATE.sort(body)
    options, hints, unread = _answer(body)
    ignored += unread
    prompt = as_text("prompt", body.get("prompt") or "")
    suffix = as_text("suffix", body.get("suffix") or "")
    if suffix or as_flag("raw", body.get("raw")):
        return TextCall(model_name(body), prompt, suffix or None, _for_text(body, options), ignored)
    conversation = Conversation()
    if body.get("system"):
        conversation.say("system", [text_part(as_text("system", body["system"]))])
    conversation.say("user", [text_part(prompt), *_images("images", body.get("images") or [])])
    return ChatCall(model_name(body), conversation.messages, options, ignored, hints)


def embed_options(body: JSON) -> tuple[JSON, list[str]]:
    """Options of a body of ``/api/embed``, and the names of fields that nobody knows.

    Raises:
        OptionError: names the field.
    """
    options, ignored = _EMBED.sort(body)
    return {"truncate": True, **options}, ignored


def only_loads(body: JSON) -> bool:
    """Whether a request has nothing to answer: by it clients have a model loaded."""
    return not any(body.get(name) for name in ("messages", "prompt", "suffix", "images"))


def wants_stream(body: JSON) -> bool:
    """The field ``stream``, which is true unless a client says otherwise.

    Raises:
        OptionError: it is no boolean.
    """
    return body.get("stream") is None or as_flag("stream", body["stream"])


def model_name(body: JSON) -> str:
    """The field ``model``, without the tag that Ollama's clients may add.

    Raises:
        OptionError: it is missing.
    """
    name = body.get("model", body.get("name"))  # "name" in old clients' /api/show
    return as_text("model", name).removesuffix(":latest")


def _answer(body: JSON) -> tuple[JSON, JSON, list[str]]:
    """Options and hints of an answer, and the names of options that nobody read."""
    given = as_object("options", body.get("options") or {})
    options, ignored = OPTIONS.sort(given)
    if given.get("num_predict") is not None:
        n = as_count("options.num_predict", given["num_predict"], UNTIL_FULL)
        options["max_tokens"] = max(n, -1)
    if (form := body.get("format")) not in (None, ""):
        options["response_format"] = _format(form)
    if as_flag("logprobs", body.get("logprobs")):
        options["logprobs"] = True
        options["top_logprobs"] = as_count("top_logprobs", body.get("top_logprobs") or 0)
    options["stream_options"] = {"include_usage": True}
    thinking, hints = _thinking(body.get("think"))
    return {**options, **thinking}, hints, [f"options.{name}" for name in ignored]


def _format(form: Any) -> JSON:
    if form == "json":
        return {"type": "json_object"}
    if not isinstance(form, dict):
        raise OptionError("format", form, "'json' or a JSON schema")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": form}}


def _for_text(body: JSON, options: JSON) -> JSON:
    """Options of a chat as those of the completions API."""
    for name in ("images", "logprobs", "think"):
        if body.get(name):
            raise OptionError(name, body[name], "nothing beside raw or suffix")
    form = options.pop("response_format", None)
    if form is not None:
        wrapped = form.get("json_schema", {"schema": {"type": "object"}})
        options["json_schema"] = wrapped["schema"]
    return options


def _thinking(think: Any) -> tuple[JSON, JSON]:
    """Options and hints: who wants a model to think that cannot is told so."""
    if think is None:
        return {}, {}
    if think is True:
        return {"enable_thinking": True}, {}
    if think is False:
        return {}, {"enable_thinking": False}
    return {}, effort_hints("think", think)


# -- messages ---------------------------------------------------------------------------------


def _messages(body: JSON) -> list[JSON]:
    conversation = Conversation()
    called: list[tuple[str, str]] = []  # ids and names of calls without a result so far
    for place, message in objects("messages", body.get("messages")):
        role = as_text(f"{place}.role", message.get("role"))
        content = as_text(f"{place}.content", message.get("content") or "")
        if role == "tool":
            conversation.result(_answered(place, message, called), [text_part(content)])
        elif role == "assistant":
            called = _assistant(conversation, place, message, content)
        elif role in ("user", "system"):
            images = _images(f"{place}.images", message.get("images") or [])
            conversation.say(role, [text_part(content), *images])
        else:
            raise OptionError(f"{place}.role", role, "'system', 'user', 'assistant' or 'tool'")
    return conversation.messages


def _assistant(
    conversation: Conversation, place: str, message: JSON, content: str
) -> list[tuple[str, str]]:
    """Adds what it said; ids and names of its calls, which Ollama's clients may leave out."""
    if message.get("thinking"):
        conversation.think(as_text(f"{place}.thinking", message["thinking"]))
    conversation.answer(content)
    called: list[tuple[str, str]] = []
    for at, call in objects(f"{place}.tool_calls", message.get("tool_calls") or []):
        function = as_object(f"{at}.function", call.get("function"))
        name = as_text(f"{at}.function.name", function.get("name"))
        arguments = as_object(f"{at}.function.arguments", function.get("arguments") or {})
        call_id = as_text(f"{at}.id", call.get("id") or f"call_{len(called)}")
        conversation.call(call_id, name, arguments)
        called.append((call_id, name))
    return called


def _answered(place: str, message: JSON, called: list[tuple[str, str]]) -> str:
    """The id of the call that a result is of: named, or the first of that name, or the first."""
    if message.get("tool_call_id"):
        return as_text(f"{place}.tool_call_id", message["tool_call_id"])
    name = message.get("tool_name")
    found = next((call for call in called if call[1] == name), called[0] if called else None)
    if found is None:
        raise OptionError(place, message, "a call before it that it is the result of")
    called.remove(found)
    return found[0]


_BEGINNINGS = {
    "/9j/": "jpeg",
    "iVBOR": "png",
    "R0lGOD": "gif",
    "UklGR": "webp",
    "Qk": "bmp",
}
"""How files of a kind begin in Base64."""


def _images(place: str, given: Any) -> list[JSON]:
    return [_image(f"{place}[{index}]", each) for index, each in enumerate(as_list(place, given))]


def _image(place: str, given: Any) -> JSON:
    data = as_text(place, given)
    kind = next((kind for begin, kind in _BEGINNINGS.items() if data.startswith(begin)), None)
    if kind is None:
        raise OptionError(place, data[:32], "a JPEG, PNG, GIF, WebP or BMP file in Base64")
    return image_part(f"data:image/{kind};base64,{data}")
