"""Muon (Keller Jordan, 2024): momentum whose step is made orthogonal, for weight matrices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315  # quintic Newton-Schulz coefficients of the reference code


def orthogonalise(stack: Tensor, rounds: int = 4) -> Tensor:
    """The nearest matrices with singular values about 1, for a stack (n, rows <= columns)."""
    stack = stack / (stack.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        gram = stack @ stack.mT
        stack = _A * stack + (_B * gram + _C * (gram @ gram)) @ stack
    return stack


def _by_shape(weights: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """Matrices whose shapes are equal, or each other's transpose, together."""
    shapes: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
    for weight in weights:
        rows, columns = weight.shape
        shapes[(min(rows, columns), max(rows, columns))].append(weight)
    return shapes.values()


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Matrices of one shape are orthogonalised together; `lr` is the step's RMS-like size."""

    def __init__(self, weights: Iterable[Tensor], lr: float = 0.01, momentum: float = 0.95) -> None:
        super().__init__(list(weights), {"lr": lr, "momentum": momentum})

    def step(self, closure: Any = None) -> None:
        assert closure is None
        with torch.no_grad():
            for group in self.param_groups:
                for weights in _by_shape(group["params"]):
                    self._step_together(weights, group["lr"], group["momentum"])

    def _direction(self, weight: Tensor, momentum: float) -> Tensor:
        assert weight.grad is not None
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight)
        velocity: Tensor = state["velocity"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(velocity, momentum)

    def _step_together(self, weights: list[Tensor], lr: float, momentum: float) -> None:
        directions = [self._direction(weight, momentum) for weight in weights]
        wide = [d if d.shape[0] <= d.shape[1] else d.mT for d in directions]
        for weight, step in zip(weights, orthogonalise(torch.stack(wide)), strict=True):
            rows, columns = weight.shape
            scale = max(1.0, rows / columns) ** 0.5
            weight.add_(step if rows <= columns else step.mT, alpha=-lr * scale)
