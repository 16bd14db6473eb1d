"""Pictures by address: off, or public ones only, hop by hop, bounded."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from serving import Running

from llamaherd.public_web import is_public
from llamaherd.server.errors import Refused
from llamaherd.server.remote_media import RemoteMedia
from llamaherd.server.settings import ServerParams

PIXEL = b"\x89PNG\r\n\x1a\n and so on"


class Pictures(BaseHTTPRequestHandler):
    """A site with a picture, and some tricks."""

    def do_GET(self) -> None:
        """Answer."""
        port = self.connection.getsockname()[1]
        paths = {
            "/moved": f"http://127.0.0.1:{port}/pixel.png",
            "/inside": f"http://127.0.0.2:{port}/pixel.png",
            "/file": "file:///etc/passwd",
            "/round": "/round",
        }
        if self.path in paths:
            self.send_response(302)
            self.send_header("location", paths[self.path])
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("content-type", "text/html" if self.path == "/page" else "image/png")
        self.end_headers()
        if self.path == "/slow":
            time.sleep(2)
        self.wfile.write(b"x" * 20_000 if self.path == "/large" else PIXEL)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A web server on all loopback addresses."""
    server = ThreadingHTTPServer(("", 0), Pictures)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _fetched(url: str, **params: Any) -> str:
    """What becomes of an address, where only 127.0.0.1 counts as public."""
    settings = ServerParams(**{"remote_images": True, "remote_image_mib": 0.01, **params})
    media = RemoteMedia(settings, lambda address: str(address) == "127.0.0.1")
    part = {"type": "image_url", "image_url": {"url": url}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]
    found = asyncio.run(media.fetched(messages))
    assert found[0]["content"][0] == {"type": "text", "text": "?"}
    return found[0]["content"][1]["image_url"]["url"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", ["/pixel.png", "/moved"])
def test_a_picture_becomes_a_data_url(site: str, path: str) -> None:
    expected = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    assert _fetched(site + path) == expected


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/inside", "no public address"),
        ("/file", "no plain http"),
        ("/round", "redirects more than"),
        ("/large", "larger than"),
        ("/page", "content text/html"),
    ],
)
def test_tricks_are_seen_through(site: str, path: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as caught:
        _fetched(site + path)
    assert caught.value.status == 400


def test_a_slow_picture_is_given_up(site: str) -> None:
    with pytest.raises(Refused, match="did not arrive"):
        _fetched(f"{site}/slow", remote_image_s=0.2)


def test_off_means_off(site: str) -> None:
    with pytest.raises(Refused, match="remote_images"):
        _fetched(f"{site}/pixel.png", remote_images=False)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_the_server_names_the_switch(server: Running) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    body = {"messages": [{"role": "user", "content": [part]}]}
    refused = httpx.post(f"{server.url}/v1/chat/completions", json=body)
    assert refused.status_code == 400
    assert "remote_images" in refused.json()["error"]["message"]
