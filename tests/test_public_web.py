"""Pictures from addresses: public ones only, bounded, by a real server where one can be had."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sample_files import png

from llamaherd.errors import MediaError
from llamaherd.public_web import fetch_picture

PICTURE = png()


class Web(BaseHTTPRequestHandler):
    """Pictures, and what pretends to be one."""

    def do_GET(self) -> None:
        found = {"/a.png": (200, "image/png", PICTURE), "/page": (200, "text/html", b"<p>")}
        status, kind, body = found.get(self.path, (404, "text/plain", b"none"))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "/a.png")
            self.send_header("content-length", "0")
            self.end_headers()
        elif self.path == "/forever":
            self.send_response(302)
            self.send_header("location", "/forever")
            self.send_header("content-length", "0")
            self.end_headers()
        else:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nothing on the screen."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


async def _fetch(url: str, most_bytes: int = 1 << 20) -> str:
    return await fetch_picture(
        "here", url, most_bytes=most_bytes, limit_s=10, may_reach=lambda _address: True
    )


@pytest.mark.parametrize("path", ["/a.png", "/moved"])
async def test_a_picture_comes_as_a_data_url(web: str, path: str) -> None:
    expected = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    assert await _fetch(web + path) == expected


@pytest.mark.parametrize(
    ("path", "said"),
    [("/page", "text/html"), ("/nothing", "404"), ("/forever", "redirects more than 3 times")],
)
async def test_what_is_no_picture_is_refused(web: str, path: str, said: str) -> None:
    with pytest.raises(MediaError, match=said) as caught:
        await _fetch(web + path)
    assert str(caught.value).startswith("here: ")


async def test_large_pictures_are_refused(web: str) -> None:
    with pytest.raises(MediaError, match="larger"):
        await _fetch(web + "/a.png", most_bytes=10)


async def test_private_addresses_are_refused(web: str) -> None:
    with pytest.raises(MediaError, match="no public address"):
        await fetch_picture("here", web + "/a.png", most_bytes=1 << 20, limit_s=10)


@pytest.mark.parametrize("url", ["file:///etc/hosts", "http://a:b@example.org/", "http://"])
async def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(MediaError):
        await _fetch(url)
