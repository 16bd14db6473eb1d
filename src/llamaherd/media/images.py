"""What a picture's file claims to be, before native code unpacks it.

llama.cpp reads PNG, JPEG, GIF and BMP. A small file may claim or unpack to something enormous, so
its size in pixels is read from its header, and a PNG's data is unpacked once to count it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
FORMATS = "PNG, JPEG, GIF or BMP"
MOST_SIDES_RATIO = 200
"""Longer strips are cut into absurdly many tiles by some projectors."""
STEP_BYTES = 1 << 16


def picture_finding(data: bytes, most_pixels: int) -> str | None:
    """What is wrong with a picture; None: native code may see it."""
    try:
        size = _size(data)
        if size is None:
            return f"is not a {FORMATS}"
        width, height = size
        if not width or not height:
            return "has no pixels"
        if width * height > most_pixels:
            return f"has {width} x {height} pixels, of at most {most_pixels} (max_image_pixels)"
        if max(width, height) > MOST_SIDES_RATIO * min(width, height):
            return f"is a strip of {width} x {height} pixels"
        return _png_finding(data) if data.startswith(PNG) else None
    except (struct.error, IndexError, zlib.error):
        return "is damaged or cut short"


def _size(data: bytes) -> tuple[int, int] | None:
    """Width and height; None for an unknown format."""
    if data.startswith(PNG):
        return struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else (0, 0)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return struct.unpack_from("<HH", data, 6)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_size(data)
    if data.startswith(b"BM") and len(data) >= 26:
        return _bmp_size(data)
    return None


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return struct.unpack_from("<HH", data, 18)
    width, height = struct.unpack_from("<ii", data, 18)
    return max(width, 0), abs(height)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """From the first frame header (SOF0 to SOF2: the kinds that are read)."""
    at = 2
    while True:
        while data[at] != 0xFF:
            at += 1
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack_from(">HH", data, at + 4)
            return width, height
        at += 1 + struct.unpack_from(">H", data, at + 1)[0]


def _png_finding(data: bytes) -> str | None:
    """Whether its data unpacks to what its header says, and to no more."""
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour)
    if channels is None or bits not in (1, 2, 4, 8, 16):
        return "is damaged: no PNG has such colours"
    rows = height + (7 + height if interlaced else 0)  # seven passes, each with rows of its own
    most = rows * (1 + (width * channels * bits + 7) // 8)
    unpack = zlib.decompressobj()
    n = 0
    for body in _png_data(data):
        rest = body
        while rest and not unpack.eof:
            n += len(unpack.decompress(rest, STEP_BYTES))
            rest = unpack.unconsumed_tail
            if n > most:
                return "unpacks to more than its header says"
    if not unpack.eof:
        return "is damaged or cut short"
    return None


def _png_data(data: bytes) -> Iterator[bytes]:
    """The bodies of its IDAT chunks."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        if kind == b"IDAT":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length
