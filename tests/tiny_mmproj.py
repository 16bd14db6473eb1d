"""Multimodal projectors with random weights for any model, and pictures and sounds to give them.

``tiny_mmproj(n_embd)`` is a file that llama.cpp loads beside a model of that width: what it says of
a picture means nothing, but the same picture always says the same and another one something else.
A test that only needs some model that sees and hears takes the fixture ``mmproj`` (conftest.py)::

    with Llama("demo", mmproj=mmproj) as llm:
        llm.create_chat_completion([{"role": "user", "content": [image_part(png(8, 8))]}])
"""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
import zlib
from typing import Any

import numpy as np
from tiny_gguf import F16, F32, Tensor, Writer, write

WIDTH, HEADS, HIDDEN, LAYERS = 32, 2, 64, 2
IMAGE_SIZE, PATCH_SIZE = 28, 7
IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
WHOLE_IMAGE_TOKENS = IMAGE_TOKENS // 4
MEL_BINS, AUDIO_POSITIONS, STACK = 80, 1500, 60
SOUND_TOKENS = 25
"""Of up to 30 seconds: 3000 frames, halved and stacked by 60."""

VISION = {"mlp": IMAGE_TOKENS, "gemma3": WHOLE_IMAGE_TOKENS}
"""Kinds of projector for pictures, and tokens of a picture: llava's, whose places are read like
text, and gemma3's, whose places see each other. Beside them, ``qwen2vl_merger`` gives places two
dimensions: a picture of 56 x 28 pixels has 4 x 2; it goes with ``tiny_qwen2vl.py``."""


def tiny_mmproj(n_embd: int, **options: Any) -> bytes:
    """A projector for a model of width ``n_embd``; options as for :func:`mmproj_writer`."""
    return bytes(mmproj_writer(n_embd, **options).data)


def mmproj_writer(
    n_embd: int,
    *,
    vision: str | None = "mlp",
    audio: bool = False,
    seed: int = 0,
    changes: dict[str, object] | None = None,
) -> Writer:
    """A projector, and where in its bytes each number of the header lies.

    Args:
        vision: of :data:`VISION`; None: it does not see.
        audio: whether it hears.
        changes: metadata to replace or add; None removes a key.
    """
    random = np.random.default_rng(seed)
    metadata: dict[str, object] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.name": "tiny",
        "clip.has_vision_encoder": vision is not None,
        "clip.has_audio_encoder": audio,
        "clip.use_gelu": True,
    }
    tensors: list[Tensor] = []
    if vision is not None:
        metadata |= _vision_metadata(n_embd, vision)
        tensors += _vision_tensors(random, n_embd, vision)
    if audio:
        metadata |= _audio_metadata(n_embd)
        tensors += _audio_tensors(random, n_embd)
    metadata |= changes or {}
    kept = {key: value for key, value in metadata.items() if value is not None}
    return write(kept, tensors)


def _common(kind: str, n_embd: int) -> dict[str, object]:
    return {
        f"clip.{kind}.embedding_length": WIDTH,
        f"clip.{kind}.feed_forward_length": HIDDEN,
        f"clip.{kind}.block_count": LAYERS,
        f"clip.{kind}.projection_dim": n_embd,
        f"clip.{kind}.attention.head_count": HEADS,
        f"clip.{kind}.attention.layer_norm_epsilon": 1e-5,
    }


def _vision_metadata(n_embd: int, projector: str) -> dict[str, object]:
    return {
        **_common("vision", n_embd),
        "clip.vision.projector_type": projector,
        "clip.vision.image_size": IMAGE_SIZE,
        "clip.vision.patch_size": PATCH_SIZE,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
        "clip.vision.projector.scale_factor": 2,
    }


def _audio_metadata(n_embd: int) -> dict[str, object]:
    return {
        **_common("audio", n_embd),
        "clip.audio.projector_type": "ultravox",
        "clip.audio.num_mel_bins": MEL_BINS,
        "clip.audio.projector.stack_factor": STACK,
    }


def _weights(
    random: np.random.Generator, name: str, *shape: int, kind: int = F32, scale: float = 0.3
) -> Tensor:
    values = random.normal(0, scale, int(np.prod(shape)))
    return Tensor(name, shape, kind, values.astype("<f4" if kind == F32 else "<f2").tobytes())


def _ones(name: str, n: int) -> Tensor:
    return Tensor(name, (n,), F32, np.ones(n, "<f4").tobytes())


def _layers(random: np.random.Generator, prefix: str) -> list[Tensor]:
    def layer(at: int) -> list[Tensor]:
        blk = f"{prefix}.blk.{at}"
        biased = ["attn_q", "attn_v", "attn_out"]
        biased += ["attn_k"] if prefix == "v" else []  # whisper's keys have none
        return [
            *(_ones(f"{blk}.{name}.weight", WIDTH) for name in ("ln1", "ln2")),
            *(_weights(random, f"{blk}.{name}.bias", WIDTH) for name in ("ln1", "ln2", *biased)),
            *(
                _weights(random, f"{blk}.{name}.weight", WIDTH, WIDTH)
                for name in ("attn_q", "attn_k", "attn_v", "attn_out")
            ),
            _weights(random, f"{blk}.ffn_up.weight", WIDTH, HIDDEN),
            _weights(random, f"{blk}.ffn_down.weight", HIDDEN, WIDTH),
        ]

    return [tensor for at in range(LAYERS) for tensor in layer(at)]


def _vision_tensors(random: np.random.Generator, n_embd: int, projector: str) -> list[Tensor]:
    if projector == "qwen2vl_merger":
        return _grid_tensors(random, n_embd)
    start = [
        _weights(random, "v.patch_embd.weight", PATCH_SIZE, PATCH_SIZE, 3, WIDTH),
        _weights(random, "v.position_embd.weight", WIDTH, IMAGE_TOKENS),
        *_layers(random, "v"),
    ]
    if projector == "gemma3":
        return [
            *start,
            _weights(random, "mm.input_projection.weight", n_embd, WIDTH),
            _ones("mm.soft_emb_norm.weight", WIDTH),
        ]
    return [
        *start,
        _weights(random, "mm.0.weight", WIDTH, n_embd),
        _weights(random, "mm.0.bias", n_embd),
        _weights(random, "mm.2.weight", n_embd, n_embd, scale=0.1),
        _weights(random, "mm.2.bias", n_embd),
    ]


def _grid_tensors(random: np.random.Generator, n_embd: int) -> list[Tensor]:
    """Two convolutions, for two frames of a film; four patches become one place."""
    patch, merged = (PATCH_SIZE, PATCH_SIZE, 3, WIDTH), 4 * WIDTH
    return [
        _weights(random, "v.patch_embd.weight", *patch),
        _weights(random, "v.patch_embd.weight.1", *patch),
        *_layers(random, "v"),
        _ones("v.post_ln.weight", WIDTH),
        _weights(random, "v.post_ln.bias", WIDTH),
        _weights(random, "mm.0.weight", merged, merged, scale=0.1),
        _weights(random, "mm.0.bias", merged),
        _weights(random, "mm.2.weight", merged, n_embd, scale=0.1),
        _weights(random, "mm.2.bias", n_embd),
    ]


def _audio_tensors(random: np.random.Generator, n_embd: int) -> list[Tensor]:
    stacked, hidden = WIDTH * STACK, 32
    return [
        _weights(random, "a.conv1d.1.weight", 3, MEL_BINS, WIDTH, kind=F16),
        _weights(random, "a.conv1d.1.bias", 1, WIDTH),
        _weights(random, "a.conv1d.2.weight", 3, WIDTH, WIDTH, kind=F16),
        _weights(random, "a.conv1d.2.bias", 1, WIDTH),
        _weights(random, "a.position_embd.weight", WIDTH, AUDIO_POSITIONS),
        *_layers(random, "a"),
        _ones("mm.a.norm_pre.weight", stacked),
        _weights(random, "mm.a.mlp.1.weight", stacked, 2 * hidden),
        _ones("mm.a.norm_mid.weight", hidden),
        _weights(random, "mm.a.mlp.2.weight", hidden, n_embd),
    ]


# -- pictures and sounds ---------------------------------------------------------------------------


def png(width: int, height: int, seed: int = 0) -> bytes:
    """A picture of coloured noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, 1 + 3 * width), dtype=np.uint8)
    pixels[:, 0] = 0  # each row: no filter
    return png_of(width, height, zlib.compress(pixels.tobytes()))


def png_of(width: int, height: int, packed: bytes) -> bytes:
    """A PNG file of 8-bit RGB that claims this size and holds these bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, body) for kind, body in chunks)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def wav(seconds: float = 0.5, pitch_hz: float = 440.0, rate: int = 16000) -> bytes:
    """A tone, 16-bit mono."""
    times = np.arange(int(seconds * rate)) / rate
    samples = (np.sin(2 * math.pi * pitch_hz * times) * 20000).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def image_part(data: bytes, kind: str = "png") -> dict[str, Any]:
    """A picture as OpenAI's chat API writes it."""
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def audio_part(data: bytes, kind: str = "wav") -> dict[str, Any]:
    """A sound as OpenAI's chat API writes it."""
    given = {"data": base64.b64encode(data).decode(), "format": kind}
    return {"type": "input_audio", "input_audio": given}
