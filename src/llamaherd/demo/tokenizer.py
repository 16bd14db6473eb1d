"""A byte-level BPE whose cuts llama.cpp makes too (its pre-tokenizer "smollm": single digits)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from .data import segments, training_draw

PRE_TOKENIZER = "smollm"
CONTROL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
)
MARKERS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<tools>",
    "</tools>",
)
"""Tokens that are text as well: they are printed when the model says them."""


def _texts(draws: int, seed: int) -> Iterator[str]:
    for index in range(draws):
        rng = random.Random(f"tokenizer {seed} {index}")
        yield "".join(text for text, _ in segments(training_draw(rng, 1.0), 1.0))


def train_tokenizer(size: int, draws: int = 15000, seed: int = 0) -> Tokenizer:
    """A vocabulary of `size` tokens learned from `draws` examples of the full mixture."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*CONTROL, *MARKERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(draws, seed), trainer)
    return tokenizer


def load_or_train(path: Path, size: int) -> Tokenizer:
    """The tokenizer of a run; trained and saved on first use."""
    if not path.exists():
        train_tokenizer(size).save(str(path))
    return Tokenizer.from_file(str(path))
