"""Sounds in a form that native code can trust.

llama.cpp reads WAV, MP3 and FLAC, and makes room for as many samples as the file says it has; more
than there is memory for ends the process. A WAV file is therefore written anew with nothing but
its samples, what counts frames in other formats is blanked out, and the length is known before.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

FORMATS = "WAV, MP3 or FLAC"
RATES_HZ = range(1000, 384001)
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
WAV_KINDS = {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}
FRAME_COUNTS = b"Xing", b"Info", b"VBRI"
LEAST_SAMPLES = 16


@dataclass(frozen=True)
class Sound:
    """A file that may be unpacked.

    Attributes:
        seconds: its length; of an MP3 an upper bound.
    """

    data: bytes
    seconds: float


class SoundError(ValueError):
    """What is wrong with a sound."""


def trusted_sound(data: bytes) -> Sound:
    """A sound as native code may see it.

    Raises:
        SoundError: it cannot be read, and why.
    """
    try:
        if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
            return _wav(data)
        if data[:4] == b"fLaC":
            return _flac(data)
        if data[:3] == b"ID3" or (data[:1] == b"\xff" and data[1:2] >= b"\xe0"):
            return _mp3(data)
    except (struct.error, IndexError):
        raise SoundError("is damaged or cut short") from None
    raise SoundError(f"is not a {FORMATS}")


def _wav(data: bytes) -> Sound:
    """The same samples with the plainest header."""
    fmt: tuple[int, ...] | None = None
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if name == b"fmt ":
            fmt = _wav_format(body)
        elif name == b"data" and fmt is not None:
            return _plain_wav(fmt, body)
        at += 8 + length + length % 2
    raise SoundError("is a WAV without samples")


def _wav_format(body: bytes) -> tuple[int, ...]:
    """Kind, channels, rate, bytes a second, bytes a frame, bits."""
    kind, *rest = struct.unpack_from("<HHIIHH", body)
    if kind == EXTENSIBLE:
        kind = struct.unpack_from("<H", body, 24)[0]
    return (kind, *rest)


def _plain_wav(fmt: tuple[int, ...], samples: bytes) -> Sound:
    kind, channels, rate, _, _, bits = fmt
    if (kind, bits) not in WAV_KINDS:
        raise SoundError(f"is a WAV of kind {kind} with {bits} bits, not PCM or floats")
    if not 1 <= channels <= 8 or rate not in RATES_HZ:
        raise SoundError(f"has {channels} channels at {rate} Hz")
    frame = channels * bits // 8
    samples = samples[: len(samples) // frame * frame]
    n = len(samples) // frame
    _check_length(n)
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(samples))
    riff = b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(samples)) + b"WAVE"
    return Sound(riff + chunks + samples, n / rate)


def _flac(data: bytes) -> Sound:
    """https://www.rfc-editor.org/rfc/rfc9639: a first block of 34 bytes says what follows."""
    if data[4] & 0x7F != 0 or int.from_bytes(data[5:8], "big") != 34 or len(data) < 42:
        raise SoundError("is a FLAC without stream information")
    largest_block = int.from_bytes(data[10:12], "big")
    packed = int.from_bytes(data[18:26], "big")
    rate, n = packed >> 44, packed & (1 << 36) - 1
    if largest_block < 16 or rate not in RATES_HZ:
        raise SoundError("is a FLAC with broken stream information")
    _check_length(n)
    # Should its decoder refuse it after all, that of MP3 gets it.
    return Sound(_without_counts(data), max(n / rate, _most_mp3_seconds(data)))


def _mp3(data: bytes) -> Sound:
    seconds = _most_mp3_seconds(data)
    if not seconds:
        raise SoundError("is an MP3 without a frame")
    return Sound(_without_counts(data), seconds)


def _without_counts(data: bytes) -> bytes:
    """Frames say themselves how many there are; a tag of the encoder could say anything."""
    for name in FRAME_COUNTS:
        data = data.replace(name, bytes(len(name)))
    return data


def _most_mp3_seconds(data: bytes) -> float:
    """The length of all that could be a frame of MPEG audio, by the four bytes of its header.

    Eleven set bits, then version (0: 2.5, 2: 2, 3: 1), layer, bit rate and sampling rate.
    """
    raw = np.frombuffer(data + bytes(3), np.uint8)
    at = np.flatnonzero((raw[:-3] == 0xFF) & (raw[1:-2] >= 0xE0))
    version, layer = raw[at + 1] >> 3 & 3, raw[at + 1] >> 1 & 3
    rate_hz = np.array([44100, 48000, 32000, 0])[raw[at + 2] >> 2 & 3]
    rate_hz = rate_hz // np.array([4, 1, 2, 1])[version]
    valid = (version != 1) & (layer != 0) & (rate_hz > 0) & (raw[at + 2] >> 4 != 15)
    samples = np.where((layer == 1) & (version != 3), 576, 1152)  # layer 1 is called III
    return float((samples[valid] / rate_hz[valid]).sum())


def _check_length(n_samples: int) -> None:
    if n_samples < LEAST_SAMPLES:
        raise SoundError("has no samples, or does not say how many")
