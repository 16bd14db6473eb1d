"""Pictures as strangers send them: whatever their bytes, native code survives."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_mmproj import png, png_of

from llamaherd.errors import MediaError
from llamaherd.media import MediaPart, Projector
from llamaherd.media.images import picture_finding
from llamaherd.model import Model
from llamaherd.params import MediaParams

MOST_PIXELS = 1 << 20


def bmp(width: int, height: int) -> bytes:
    """24-bit, one colour."""
    row = (3 * width + 3) // 4 * 4
    pixels = bytes([40, 90, 200] * width).ljust(row, b"\0") * height
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + info + pixels


def gif(width: int, height: int) -> bytes:
    """Two colours; codes of three bits: clear, then each pixel, with a clear before they grow."""
    codes = [c for at in range(width * height) for c in ([4, at % 2] if at % 2 == 0 else [at % 2])]
    bits = "".join(f"{code:03b}"[::-1] for code in [*codes, 5])
    packed = bytes(int(bits[at : at + 8][::-1].rjust(8, "0"), 2) for at in range(0, len(bits), 8))
    blocks = b"".join(
        bytes([len(packed[at : at + 255])]) + packed[at : at + 255]
        for at in range(0, len(packed), 255)
    )
    table = bytes([0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 255, 0])
    screen = struct.pack("<HHBBB", width, height, 0x81, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return b"GIF89a" + screen + table + frame + b"\x02" + blocks + b"\0;"


def jpeg() -> bytes:
    """8 x 8 pixels of one grey, baseline, one component: tables of one code each."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body

    one_code = bytes([1, *[0] * 15, 0])  # a code of one bit, which means 0
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, bytes([0, *[1] * 64])),
            segment(0xC0, struct.pack(">BHHBBBB", 8, 8, 8, 1, 1, 0x11, 0)),
            segment(0xC4, b"\x00" + one_code),
            segment(0xC4, b"\x10" + one_code),
            segment(0xDA, bytes([1, 1, 0, 0, 63, 0])),
            b"\x3f\xff\xd9",
        ]
    )


PICTURES = {"png": png(13, 9), "bmp": bmp(13, 9), "gif": gif(13, 9), "jpeg": jpeg()}


@pytest.fixture(scope="module")
def projector(mmproj: Path) -> Iterator[Projector]:
    with Model("demo") as model:
        loaded = Projector(model, mmproj, MediaParams(max_image_pixels=MOST_PIXELS), 1)
        yield loaded
        loaded.close()


@pytest.mark.parametrize("kind", PICTURES)
def test_every_format_is_unpacked(projector: Projector, kind: str) -> None:
    data = PICTURES[kind]
    assert picture_finding(data, MOST_PIXELS) is None
    projector.unpacked(MediaPart("image", "here", data)).close()


@pytest.mark.parametrize("kind", PICTURES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    cut=st.none() | st.floats(0, 1),
    more=st.binary(max_size=20),
)
def test_damaged_pictures_are_refused_or_unpacked(
    projector: Projector,
    kind: str,
    changes: list[tuple[float, int]],
    cut: float | None,
    more: bytes,
) -> None:
    data = bytearray(PICTURES[kind])
    for place, value in changes:
        data[int(place * len(data))] = value
    damaged = bytes(data[: None if cut is None else int(cut * len(data))] + more)
    with suppress(MediaError):
        projector.unpacked(MediaPart("image", "here", damaged)).close()


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([d[:n] for d in PICTURES.values() for n in (4, 12)]), rest=st.binary())
def test_nonsense_behind_a_picture_s_first_bytes_is_no_crash(
    projector: Projector, head: bytes, rest: bytes
) -> None:
    with suppress(MediaError):
        projector.unpacked(MediaPart("image", "here", head + rest)).close()


def test_sizes_are_known_before_anything_is_unpacked() -> None:
    huge = {
        "png": png_of(50_000, 50_000, zlib.compress(b"")),
        "bmp": bmp(1, 1)[:18] + struct.pack("<ii", 50_000, -50_000) + bmp(1, 1)[26:],
        "gif": b"GIF89a" + struct.pack("<HH", 50_000, 50_000) + bytes(40),
        "jpeg": jpeg().replace(
            struct.pack(">BHH", 8, 8, 8), struct.pack(">BHH", 8, 50_000, 50_000)
        ),
    }
    for data in huge.values():
        assert "50000 x 50000 pixels" in (picture_finding(data, MOST_PIXELS) or "")


def test_a_png_that_unpacks_to_more_than_it_says_is_refused() -> None:
    bomb = png_of(8, 8, zlib.compress(bytes(50_000_000)))
    assert len(bomb) < 60_000
    assert picture_finding(bomb, MOST_PIXELS) == "unpacks to more than its header says"


def test_no_program_is_started_for_unknown_bytes(projector: Projector, tmp_path: Path) -> None:
    """libmtmd would hand them to ffprobe; the path it is given leads nowhere."""
    no_filter = png_of(4, 4, zlib.compress((b"\x09" + bytes(12)) * 4))
    assert picture_finding(no_filter, MOST_PIXELS) is None
    ran = tmp_path / "ran"
    for name in ("ffprobe", "ffmpeg"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {ran}\n")
        program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path), prepend=":")
        with pytest.raises(MediaError, match="damaged"):
            projector.unpacked(MediaPart("image", "here", no_filter))
    assert not ran.exists()
