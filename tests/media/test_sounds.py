"""Sounds as strangers send them: whatever they claim, native code survives."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_mmproj import SOUND_TOKENS, wav

from llamaherd.errors import MediaError
from llamaherd.media import MediaPart, Projector
from llamaherd.media.sounds import LEAST_SAMPLES, SoundError, trusted_sound
from llamaherd.model import Model
from llamaherd.params import MediaParams

FRAME_BYTES = 144 * 128_000 // 44_100


def mp3(n_frames: int = 12, tag: bytes = b"") -> bytes:
    """Silence: MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono; side information of zeros."""
    head = b"\xff\xfb\x90\xc4"
    first = head + bytes(17) + tag
    frames = [first.ljust(FRAME_BYTES, b"\0"), *[head + bytes(FRAME_BYTES - 4)] * (n_frames - 1)]
    return b"".join(frames)


def flac(n_claimed: int = 4096, rate: int = 16000) -> bytes:
    """One block of 4096 equal samples, 16-bit mono (RFC 9639: a constant subframe)."""
    packed = rate << 44 | 0 << 41 | 15 << 36 | n_claimed
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    head = b"\xff\xf8\xc5\x08\x00"  # block size 4096, rate of 16 kHz, mono, 16 bits, number 0
    frame = head + bytes([_crc(head, 8, 0x07)]) + b"\x00" + struct.pack(">h", 900)
    frame += _crc(frame, 16, 0x8005).to_bytes(2, "big")
    return b"fLaC\x80\x00\x00\x22" + info + frame


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial * (crc >> bits - 1)) & (1 << bits) - 1
    return crc


SOUNDS = {"wav": wav(0.2), "mp3": mp3(), "flac": flac()}


@pytest.fixture(scope="module")
def projector(mmproj: Path) -> Iterator[Projector]:
    with Model("demo") as model:
        loaded = Projector(model, mmproj, MediaParams(max_audio_s=60), 1)
        yield loaded
        loaded.close()


@pytest.mark.parametrize("kind", SOUNDS)
def test_every_format_is_unpacked(projector: Projector, kind: str) -> None:
    projector.unpacked(MediaPart("audio", "here", SOUNDS[kind])).close()


@pytest.mark.parametrize("kind", SOUNDS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=6),
    cut=st.none() | st.floats(0, 1),
    more=st.binary(max_size=20),
)
def test_damaged_sounds_are_refused_or_unpacked(
    projector: Projector,
    kind: str,
    changes: list[tuple[int, int]],
    cut: float | None,
    more: bytes,
) -> None:
    data = bytearray(SOUNDS[kind])
    for place, value in changes:
        data[place % len(data)] = value
    damaged = bytes(data[: None if cut is None else int(cut * len(data))] + more)
    with suppress(MediaError), projector.unpacked(MediaPart("audio", "here", damaged)) as bitmap:
        assert bitmap.width >= LEAST_SAMPLES


def _wav_that_claims(n_samples: int) -> bytes:
    fact = b"fact" + struct.pack("<II", 4, n_samples)
    made = wav(0.2).replace(b"data", fact + b"data", 1)
    return made[:4] + struct.pack("<I", len(made) - 8) + made[8:]


def test_a_wav_counts_what_it_holds_and_not_what_it_claims(projector: Projector) -> None:
    sound = trusted_sound(_wav_that_claims(2**32 - 1))
    assert sound.seconds == pytest.approx(0.2)
    assert b"fact" not in sound.data
    projector.unpacked(MediaPart("audio", "here", _wav_that_claims(2**32 - 1))).close()


def test_an_mp3_counts_its_frames_and_not_what_a_tag_claims(projector: Projector) -> None:
    tag = b"Info" + struct.pack(">II", 1, 2**30)
    sound = trusted_sound(mp3(tag=tag))
    assert b"Info" not in sound.data
    assert sound.seconds == pytest.approx(12 * 1152 / 44_100)
    projector.unpacked(MediaPart("audio", "here", mp3(tag=tag))).close()


@pytest.mark.parametrize(
    ("data", "seconds"), [(flac(2**36 - 1), 4_294_967), (wav(70), 70), (mp3(4000), 104)]
)
def test_a_sound_that_is_too_long_is_refused(
    projector: Projector, data: bytes, seconds: int
) -> None:
    with pytest.raises(MediaError, match=f"lasts {seconds} s, of at most 60"):
        projector.unpacked(MediaPart("audio", "here", data))


def test_a_sound_of_one_sample_is_refused(projector: Projector) -> None:
    """24 samples at 384 kHz are one at 16 kHz, which libmtmd would not survive."""
    with pytest.raises(MediaError, match="no samples"):
        projector.unpacked(MediaPart("audio", "here", wav(24 / 384_000, rate=384_000)))


def test_the_shortest_sound_is_read(projector: Projector) -> None:
    part = MediaPart("audio", "here", wav(LEAST_SAMPLES / 16_000))
    with projector.unpacked(part) as bitmap:
        chunks, segments = projector.segments(part, bitmap)
    with chunks:
        assert projector.embeddings(part, segments[0]).shape == (SOUND_TOKENS, 256)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wav(0), "no samples"),
        (wav(0.2)[:40], "without samples"),
        (wav(0.2).replace(struct.pack("<HH", 1, 1), struct.pack("<HH", 2, 1), 1), "kind 2"),
        (wav(0.2, rate=16000).replace(struct.pack("<I", 16000), bytes(4), 1), "at 0 Hz"),
        (b"fLaC" + bytes(60), "without stream information"),
        (flac(0), "no samples"),
        (b"ID3" + bytes(60), "without a frame"),
        (b"\xff\xfb\x9c\xc4" + bytes(60), "without a frame"),
    ],
)
def test_what_is_wrong_with_a_sound_is_said(data: bytes, words: str) -> None:
    with pytest.raises(SoundError, match=words):
        trusted_sound(data)
