"""Examples to token rows: several conversations share a row, none sees another."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .data import Example, segments, training_draw


@dataclass(frozen=True)
class Document:
    ids: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Batch:
    """`ids` (rows, length); `targets` the next ids; `weights` their share in the loss, 0 for
    padding; `documents` the number of the document a token belongs to, for the mask."""

    ids: Tensor
    targets: Tensor
    weights: Tensor
    documents: Tensor

    def mask(self) -> Tensor:
        """(rows, 1, length, length): causal within each document."""
        same = self.documents[:, :, None] == self.documents[:, None, :]
        return same.tril()[:, None]


def encode(tokenizer: Tokenizer, example: Example, prompt_weight: float) -> Document:
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in segments(example, prompt_weight):
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        weights += [weight] * len(piece)
    return Document(ids, weights)


def _pack(documents: Iterable[Document], rows: int, length: int) -> list[list[Document]]:
    """First fit, longest first; what fits nowhere is left out."""
    packed: list[list[Document]] = [[] for _ in range(rows)]
    room = [length + 1] * rows
    for document in sorted(documents, key=lambda d: -len(d.ids)):
        row = next((i for i, left in enumerate(room) if left >= len(document.ids)), None)
        if row is not None:
            packed[row].append(document)
            room[row] -= len(document.ids)
    return packed


def collate(packed: Sequence[Sequence[Document]], length: int) -> Batch:
    """Rows of documents to tensors of one length; a document's first token is no target."""
    shape = (len(packed), length + 1)
    ids, number = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    weights = torch.zeros(shape)
    for row, documents in enumerate(packed):
        at = 0
        for index, document in enumerate(documents):
            end = at + len(document.ids)
            ids[row, at:end] = torch.tensor(document.ids)
            weights[row, at:end] = torch.tensor([0.0, *document.weights[1:]])
            number[row, at:end] = index + 1
            at = end
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights[:, 1:], number[:, :-1])


def training_batch(
    tokenizer: Tokenizer, rng: random.Random, progress: float, rows: int, length: int
) -> Batch:
    """A batch of the curriculum; the same `rng` state gives the same batch."""
    documents: list[Document] = []
    total = 0
    while total < rows * length:
        document = encode(tokenizer, training_draw(rng, progress), prompt_weight=0.2)
        if len(document.ids) <= length:
            documents.append(document)
            total += len(document.ids)
    return collate(_pack(documents, rows, length), length)
