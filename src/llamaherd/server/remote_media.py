"""Pictures that messages name by an address, fetched with care or refused.

Llama takes pictures as data: URLs. An address sent by a stranger could point into the network that
the server stands in, so it is resolved once, must be public, and is connected to as resolved; each
redirect is such an address again (``public_web.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llamaherd.errors import MediaError
from llamaherd.public_web import Address, fetch_picture, is_public
from llamaherd.server.errors import Refused
from llamaherd.server.settings import ServerParams

CODE = "invalid_image_url"
URL_PARTS = ("image_url", "input_image", "audio_url", "video_url")


class RemoteMedia:
    """Replaces addresses in messages by what is there.

    Args:
        may_reach: whether an address may be connected to.
    """

    def __init__(
        self, params: ServerParams, may_reach: Callable[[Address], bool] = is_public
    ) -> None:
        self._may_reach = may_reach
        self._allowed = params.remote_images
        self._most_bytes = int(params.remote_image_mib * 2**20)
        self._limit_s = params.remote_image_s

    async def fetched(self, messages: Any) -> Any:
        """The messages with data: URLs only; what is malformed is left for others to name.

        Raises:
            Refused: an address that may not be fetched, or cannot be.
        """
        if not isinstance(messages, list) or not any(map(_has_parts, messages)):
            return messages
        return [await self._message(message) for message in messages]

    async def _message(self, message: Any) -> Any:
        if not _has_parts(message):
            return message
        parts = [await self._part(part) for part in message["content"]]
        return {**message, "content": parts}

    async def _part(self, part: Any) -> Any:
        for kind in URL_PARTS:
            value = part.get(kind) if isinstance(part, Mapping) else None
            if isinstance(value, str):
                return {**part, kind: await self._data_url(value)}
            if isinstance(value, Mapping) and isinstance(value.get("url"), str):
                return {**part, kind: {**value, "url": await self._data_url(value["url"])}}
        return part

    async def _data_url(self, url: str) -> str:
        if url[:5].lower() == "data:":
            return url
        if url.partition(":")[0].lower() not in ("http", "https"):
            raise _refused(url, "only data: URLs (and http ones, where the server allows) are read")
        if not self._allowed:
            raise _refused(
                url, "this server fetches no pictures (remote_images): send it as a data: URL"
            )
        try:
            return await fetch_picture(
                "picture",
                url,
                most_bytes=self._most_bytes,
                limit_s=self._limit_s,
                may_reach=self._may_reach,
            )
        except MediaError as error:
            raise Refused(400, str(error), param="messages", code=CODE) from None


def _has_parts(message: Any) -> bool:
    return isinstance(message, Mapping) and isinstance(message.get("content"), list)


def _refused(url: str, why: str) -> Refused:
    return Refused(400, f"picture {url[:200]!r}: {why}", param="messages", code=CODE)
