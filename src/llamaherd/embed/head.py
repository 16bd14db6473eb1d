"""Keeps llama.cpp from computing logits that nobody reads.

A context that gives embeddings still runs the output head over every token. With a vocabulary of
128k that is a fifth of a 1B model's weights. llama.cpp's scheduler asks an
evaluation callback about every node before it runs (``cb_eval`` in llama.h). This one turns the
head's product into a node without operation, which every backend passes over. Its callback is
never asked for data, so the graph still runs as a whole. Nothing but the logits depends on it.
"""

from __future__ import annotations

from typing import Any

from llamaherd.native import bindings as c
from llamaherd.native.callbacks import Callback

HEADS = (b"output.weight", b"token_embd.weight")  # the second where both share their weights


def head_skipper() -> Callback:
    """A callback for ``cb_eval``; keep it alive as long as its context."""
    return Callback(c.ggml_backend_sched_eval_callback, _skip_head, on_error=False)


def _skip_head(node: Any, _ask: bool, _user_data: Any) -> bool:
    tensor = node.contents
    if tensor.op == c.GGML_OP_MUL_MAT and tensor.src[0].contents.name in HEADS:
        tensor.op = c.GGML_OP_NONE
    return False  # its data is not wanted
