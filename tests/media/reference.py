"""llama.cpp's own way through a prompt with pictures: mtmd_helper_eval_chunks on a bare context."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native.media import Bitmap, ProjectorHandle

MARKER = "<__media__>"


def reference_logits(
    model: Model, mmproj: Path, prompt: str, media: Sequence[bytes], n_drawn: int
) -> list[npt.NDArray[np.float32]]:
    """The logits after the prompt, in which markers stand for ``media``, and after each greedily
    drawn token."""
    params = c.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = 1024, 1, 1
    context = c.llama_init_from_model(model.handle.pointer, params)
    # As Model does: llamaherd-kernels then rounds alike from the first graph on.
    c.llama_set_abort_callback(context, c.ggml_abort_callback(), None)
    native = c.mtmd_context_params_default()
    native.n_threads = 1
    projector = ProjectorHandle(model.handle, str(mmproj).encode(), native)
    try:
        n_past = _eval(projector, context, prompt, media)
        return _draw(model, context, n_past, n_drawn)
    finally:
        projector.close()
        c.llama_free(context)


def _eval(
    projector: ProjectorHandle, context: c.llama_context_p, prompt: str, media: Sequence[bytes]
) -> int:
    bitmaps = [Bitmap(projector, data) for data in media]
    pointers = (c.mtmd_bitmap_p * len(bitmaps))(*(bitmap.pointer for bitmap in bitmaps))
    text = c.mtmd_input_text(prompt.encode(), len(prompt.encode()), True, True)
    chunks = c.mtmd_input_chunks_init()
    assert not c.mtmd_tokenize(projector.pointer, chunks, text, pointers, len(bitmaps))
    n_past = c.llama_pos(0)
    code = c.mtmd_helper_eval_chunks(
        projector.pointer, context, chunks, 0, 0, 512, True, ctypes.byref(n_past)
    )
    assert code == 0
    c.mtmd_input_chunks_free(chunks)
    for bitmap in bitmaps:
        bitmap.close()
    return n_past.value


def _draw(
    model: Model, context: c.llama_context_p, n_past: int, n_drawn: int
) -> list[npt.NDArray[np.float32]]:
    n_vocab = len(model.vocab)
    found = []
    for at in range(n_drawn):
        row = np.ctypeslib.as_array(c.llama_get_logits_ith(context, -1), (n_vocab,)).copy()
        found.append(row)
        token = (c.llama_token * 1)(int(row.argmax()))
        batch = c.llama_batch_get_one(token, 1)
        assert c.llama_memory_seq_pos_max(c.llama_get_memory(context), 0) == n_past + at - 1
        assert c.llama_decode(context, batch) == 0
    return found
