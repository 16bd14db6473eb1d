"""The Llama architecture at toy size, in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class NetworkConfig:
    vocab_size: int
    width: int = 256
    layers: int = 6
    heads: int = 8
    feed_forward: int = 640
    context: int = 2048
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def _angles(config: NetworkConfig) -> Tensor:
    half = torch.arange(0, config.head_width, 2).float() / config.head_width
    return torch.outer(torch.arange(config.context).float(), config.rope_base**-half)


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on halves; the exporter permutes rows to llama.cpp's interleaved order."""
    first, second = states.chunk(2, -1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), -1)


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.feed_forward
        self.heads = config.heads
        self.norm_attention = nn.RMSNorm(width, eps=config.norm_epsilon)
        self.norm_feed = nn.RMSNorm(width, eps=config.norm_epsilon)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def _split(self, states: Tensor) -> Tensor:
        batch, length, width = states.shape
        return states.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        normed = self.norm_attention(states)
        query = _rotate(self._split(self.query(normed)), cos, sin)
        key = _rotate(self._split(self.key(normed)), cos, sin)
        mixed = functional.scaled_dot_product_attention(
            query, key, self._split(self.value(normed)), attn_mask=mask, is_causal=mask is None
        )
        states = states + self.output(mixed.transpose(1, 2).reshape(states.shape))
        normed = self.norm_feed(states)
        return states + self.down(functional.silu(self.gate(normed)) * self.up(normed))


class Network(nn.Module):  # type: ignore[misc]
    """Token ids (batch, length) to logits (batch, length, vocabulary); embeddings are tied."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        angles = _angles(config)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, weight in self.blocks.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=self.config.width**-0.5)
                if name.endswith(("output.weight", "down.weight")):
                    nn.init.zeros_(weight)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (batch, 1, length, length) is true where attention may look; else causal."""
        length = ids.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        states = self.embedding(ids)
        for block in self.blocks:
            states = block(states, cos, sin, mask)
        return functional.linear(self.norm(states), self.embedding.weight)

    def parameter_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())
