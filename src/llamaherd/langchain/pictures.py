"""Pictures that messages name by an address, fetched where the user allowed it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llamaherd.public_web import fetch_picture

JSON = dict[str, Any]

MOST_BYTES, LIMIT_S = 20 << 20, 20.0


async def afetched(messages: list[JSON]) -> list[JSON]:
    """The messages with data: URLs only.

    Raises:
        MediaError: names the part whose picture cannot be had.
    """
    for place, image in _addressed(messages):
        image["url"] = await fetch_picture(
            place, image["url"], most_bytes=MOST_BYTES, limit_s=LIMIT_S
        )
    return messages


def fetched(messages: list[JSON]) -> list[JSON]:
    """:func:`afetched` for threads, also for one that runs an event loop."""
    if not any(_addressed(messages)):
        return messages
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, afetched(messages)).result()


def _addressed(messages: list[JSON]) -> Iterator[tuple[str, JSON]]:
    """Where addresses stand; ``messages.as_openai`` made these dictionaries, so they may change."""
    for i, message in enumerate(messages):
        parts = message["content"] if isinstance(message["content"], list) else ()
        for j, part in enumerate(parts):
            image = part.get("image_url")
            if image is not None and image["url"].lower().startswith(("http://", "https://")):
                yield f"messages[{i}].content[{j}]", image
