"""Pictures and sounds among the parts of a message, and what stands for them in its text.

A part is one of OpenAI's, or one that names a file or bytes of this process:

- ``{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}``, or with the URL as
  plain text;
- ``{"type": "input_audio", "input_audio": {"data": "<base64>", "format": "wav"}}``;
- ``{"type": "image", "image": bytes or pathlib.Path}`` and the same with ``audio``.

No URL is fetched and no file is opened because a string says so: strings come from strangers, and a
:class:`pathlib.Path` only from the program itself.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llamaherd.errors import MediaError

Kind = Literal["image", "audio"]

TYPES: Mapping[str, Kind] = {
    "image_url": "image",
    "image": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
}
FIRST_MARKER, LAST_MARKER = 0x100000, 0x10FFFD
"""A private plane of Unicode: no text means anything by these characters."""
_MARKERS = re.compile(f"[{chr(FIRST_MARKER)}-{chr(LAST_MARKER)}]")
GIVE_DATA = "Give it as a data: URL, or as bytes: {'type': 'image', 'image': ...}"


@dataclass(frozen=True)
class MediaPart:
    """A picture or a sound as it was given.

    Attributes:
        place: in the messages, for errors.
        data: the file's bytes.
    """

    kind: Kind
    place: str
    data: bytes


@dataclass(frozen=True)
class Taken:
    """Messages whose pictures and sounds were taken out.

    Attributes:
        messages: with a part of text, one character, in the place of each.
        parts: what each such character stands for.
    """

    messages: Any
    parts: Mapping[str, MediaPart]


def has_media(messages: Any) -> bool:
    """Whether any message has a picture or a sound."""
    return any(_is_media(part) for _, part in _all_parts(messages))


def take_media(messages: Any, most_bytes: int) -> Taken:
    """Take pictures and sounds out of messages.

    Args:
        most_bytes: of one of them.

    Raises:
        MediaError: names the part that is malformed or too large.
    """
    taken: dict[str, MediaPart] = {}
    unused = _unused_characters(messages)
    found = []
    for index, message in enumerate(messages):
        parts = _parts(message)
        kept = []
        for at, part in enumerate(parts):
            if not _is_media(part):
                kept.append(part)
                continue
            place = f"messages[{index}].content[{at}]"
            marker = next(unused)
            taken[marker] = MediaPart(TYPES[part["type"]], place, _data(place, part, most_bytes))
            kept.append({"type": "text", "text": marker})
        found.append({**message, "content": kept} if parts else message)
    return Taken(found, taken)


def _all_parts(messages: Any) -> list[tuple[int, Any]]:
    listed = messages if isinstance(messages, (list, tuple)) else ()
    return [(index, part) for index, message in enumerate(listed) for part in _parts(message)]


def _parts(message: Any) -> Sequence[Any]:
    content = message.get("content") if isinstance(message, Mapping) else None
    return content if isinstance(content, (list, tuple)) else ()


def _is_media(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and kind in TYPES


def _unused_characters(messages: Any) -> Iterator[str]:
    """Characters that no text of the messages holds, from a place that nobody can foresee."""
    contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
    texts = [content for content in contents if isinstance(content, str)]
    texts += [part["text"] for _, part in _all_parts(messages) if _is_text(part)]
    used = {character for text in texts for character in _MARKERS.findall(text)}
    n = LAST_MARKER - FIRST_MARKER
    start = secrets.randbelow(n)
    every = (chr(FIRST_MARKER + (start + at) % n) for at in range(n))
    return (each for each in every if each not in used)


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def _data(place: str, part: Mapping[str, Any], most_bytes: int) -> bytes:
    kind = part["type"]
    given = part.get(kind)
    if kind in ("image", "audio"):
        data = _own_data(place, kind, given)
    elif kind == "input_audio":
        encoded = given.get("data") if isinstance(given, Mapping) else None
        if not isinstance(encoded, str):
            wanted = "Write {'type': 'input_audio', 'input_audio': {'data': <base64>, ...}}"
            raise MediaError(place, "has no data of a sound", wanted)
        data = _from_base64(place, encoded, most_bytes)
    else:
        url = part.get("image_url") if kind == "input_image" else given
        data = _from_url(place, url, most_bytes)
    if len(data) > most_bytes:
        raise _too_large(place, len(data), most_bytes)
    if not data:
        raise MediaError(place, "is empty", GIVE_DATA)
    return data


def _own_data(place: str, kind: str, given: Any) -> bytes:
    if isinstance(given, Path):
        try:
            return given.expanduser().read_bytes()
        except OSError as error:
            raise MediaError(place, f"{given}: {error.strerror}", "Name a readable file") from None
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    wanted = f"Write {{'type': {kind!r}, {kind!r}: <bytes or pathlib.Path>}}"
    raise MediaError(place, f"has no bytes or path under {kind!r}", wanted)


def _from_url(place: str, given: Any, most_bytes: int) -> bytes:
    url = given.get("url") if isinstance(given, Mapping) else given
    if not isinstance(url, str):
        raise MediaError(place, "has no url", GIVE_DATA)
    head, comma, body = url.partition(",")
    if head[:5].lower() != "data:":
        scheme = url.partition(":")[0][:20]
        remedy = "Fetch it first, then give it as a data: URL or as bytes"
        raise MediaError(place, f"a URL of scheme {scheme!r} is not fetched", remedy)
    if not comma or not head.lower().endswith(";base64"):
        raise MediaError(place, "a data: URL without base64", "Write data:<type>;base64,<data>")
    return _from_base64(place, body, most_bytes)


def _from_base64(place: str, text: str, most_bytes: int) -> bytes:
    if len(text) > 2 * most_bytes + 4:  # spaces and line breaks are allowed
        raise _too_large(place, len(text) * 3 // 4, most_bytes)
    try:
        compact = "".join(text.split())
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MediaError(place, "is not base64", "Encode the file's bytes as base64") from None


def _too_large(place: str, n_bytes: int, most_bytes: int) -> MediaError:
    return MediaError(
        place,
        f"has {n_bytes / 2**20:.1f} MiB, of at most {most_bytes / 2**20:.0f}",
        "Make it smaller, or load the model with a larger max_media_mib",
    )
