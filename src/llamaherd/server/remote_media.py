"""Pictures that messages name by an address, fetched with care or refused.

Llama takes pictures as data: URLs. An address sent by a stranger could point into the network that
the server stands in, so it is resolved once, must be public, and is connected to as resolved; each
redirect is such an address again.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio
import httpx

from llamaherd.server.errors import Refused
from llamaherd.server.settings import ServerParams

MOST_REDIRECTS = 3
URL_PARTS = ("image_url", "input_image", "audio_url", "video_url")


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RemoteMedia:
    """Replaces addresses in messages by what is there.

    Args:
        may_reach: whether an address may be connected to.
    """

    def __init__(
        self, params: ServerParams, may_reach: Callable[[Address], bool] | None = None
    ) -> None:
        self._may_reach = may_reach or is_public
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
            with anyio.fail_after(self._limit_s):
                return await self._fetch(url)
        except TimeoutError:
            raise _refused(url, f"it did not arrive within {self._limit_s:g} s") from None
        except (httpx.HTTPError, OSError, UnicodeError, ValueError) as error:
            raise _refused(url, f"it cannot be fetched ({type(error).__name__})") from None

    async def _fetch(self, url: str) -> str:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as client:
            for _ in range(MOST_REDIRECTS + 1):
                async with client.stream("GET", **await self._pinned(url)) as response:
                    if response.is_redirect:
                        url = urljoin(url, response.headers["location"])
                        continue
                    return await self._read(url, response)
        raise _refused(url, f"it redirects more than {MOST_REDIRECTS} times")

    async def _pinned(self, url: str) -> dict[str, Any]:
        """A request to the address that a name has now, if that is a public one."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise _refused(url, "it is no plain http(s) address")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        if not all(map(self._may_reach, addresses)):
            raise _refused(url, "it is no public address")
        address = addresses[0]
        literal = f"[{address}]" if address.version == 6 else str(address)
        return {
            "url": parts._replace(netloc=f"{literal}:{port}", fragment="").geturl(),
            "headers": {"host": parts.netloc, "accept": "image/*", "accept-encoding": "identity"},
            "extensions": {"sni_hostname": parts.hostname},
        }

    async def _read(self, url: str, response: httpx.Response) -> str:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code != 200 or not kind.startswith("image/"):
            raise _refused(url, f"status {response.status_code}, content {kind or 'unknown'}")
        data = b""
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > self._most_bytes:
                raise _refused(url, f"it is larger than {self._most_bytes >> 20} MiB")
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def is_public(address: Address) -> bool:
    """Whether it lies in the public internet, also as what an IPv6 address wraps."""
    wrapped = None
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        wrapped = wrapped or (address.teredo or (None, None))[1]
        if address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (wrapped or address).is_global and not (wrapped or address).is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _has_parts(message: Any) -> bool:
    return isinstance(message, Mapping) and isinstance(message.get("content"), list)


def _refused(url: str, why: str) -> Refused:
    return Refused(400, f"picture {url[:200]!r}: {why}", param="messages", code="invalid_image_url")
