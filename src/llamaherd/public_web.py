"""Pictures from the public web, fetched with care.

An address may come from a stranger and point into the network that this program stands in. So it
is resolved once, must be public, and is connected to as resolved; so is each redirect.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio
import httpx

from llamaherd.errors import MediaError

MOST_REDIRECTS = 3


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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


async def fetch_picture(
    place: str,
    url: str,
    *,
    most_bytes: int,
    limit_s: float,
    may_reach: Callable[[Address], bool] = is_public,
) -> str:
    """The picture at a public address, as a data: URL.

    Args:
        place: where the address stands, for errors.
        most_bytes: of the picture.
        limit_s: seconds for all of it, redirects included.
        may_reach: whether an address may be connected to.

    Raises:
        MediaError: it is no public address, no picture, too large, or did not arrive in time.
    """
    try:
        with anyio.fail_after(limit_s):
            return await _fetch(place, url, most_bytes, may_reach)
    except TimeoutError:
        raise _failed(place, url, f"did not arrive within {limit_s:g} s") from None
    except (httpx.HTTPError, OSError, UnicodeError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise _failed(place, url, f"cannot be fetched ({type(error).__name__})") from None


async def _fetch(
    place: str, url: str, most_bytes: int, may_reach: Callable[[Address], bool]
) -> str:
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as client:
        for _ in range(MOST_REDIRECTS + 1):
            pinned = await _pinned(place, url, may_reach)
            async with client.stream("GET", **pinned) as response:
                if response.is_redirect:
                    url = urljoin(url, response.headers["location"])
                    continue
                return await _read(place, url, response, most_bytes)
    raise _failed(place, url, f"redirects more than {MOST_REDIRECTS} times")


async def _pinned(place: str, url: str, may_reach: Callable[[Address], bool]) -> dict[str, Any]:
    """A request to the address that a name has now, if that is a public one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise _failed(place, url, "is no plain http(s) address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if not all(map(may_reach, addresses)):
        raise _failed(place, url, "is no public address")
    address = addresses[0]
    literal = f"[{address}]" if address.version == 6 else str(address)
    return {
        "url": parts._replace(netloc=f"{literal}:{port}", fragment="").geturl(),
        "headers": {"host": parts.netloc, "accept": "image/*", "accept-encoding": "identity"},
        "extensions": {"sni_hostname": parts.hostname},
    }


async def _read(place: str, url: str, response: httpx.Response, most_bytes: int) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code != 200 or not kind.startswith("image/"):
        raise _failed(
            place, url, f"gives status {response.status_code}, content {kind or 'unknown'}"
        )
    data = b""
    async for piece in response.aiter_raw():
        data += piece
        if len(data) > most_bytes:
            raise _failed(place, url, f"is larger than {most_bytes >> 20} MiB")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _failed(place: str, url: str, finding: str) -> MediaError:
    return MediaError(place, f"{url[:200]!r} {finding}", "Give the picture as a data: URL")
