"""Training: `python -m llamaherd.demo.train RUN_FOLDER`; stops and resumes at any checkpoint.

The rate warms up, stays, and falls linearly over the last `--decay` steps, so that a run can be
continued from any checkpoint taken before the fall. Batches depend on the step number alone.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from .batches import Batch, collate, encode, training_batch
from .data import SKILLS, held_out
from .muon import Muon
from .network import Network, NetworkConfig
from .tokenizer import load_or_train

log = logging.getLogger("llamaherd.demo.train")
EMA_DECAY = 0.995


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder for tokenizer, checkpoints and the log")
    parser.add_argument("--steps", type=int, default=4200, help="the last step")
    parser.add_argument("--decay", type=int, default=1700, help="steps over which the rate falls")
    parser.add_argument("--rows", type=int, default=7, help="rows a batch")
    parser.add_argument("--length", type=int, default=448, help="tokens a row")
    parser.add_argument("--vocabulary", type=int, default=2560)
    parser.add_argument("--matrix-rate", type=float, default=0.012, help="Muon's rate")
    parser.add_argument("--other-rate", type=float, default=3e-3, help="AdamW's rate")
    parser.add_argument("--warm-up", type=int, default=300, help="steps of the curriculum")
    parser.add_argument("--checkpoint-every", type=int, default=250)
    parser.add_argument("--measure-every", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-compile", action="store_true")
    return parser.parse_args()


class Trainer:
    """Network, its averaged copy (the one to release), optimisers, and the step number."""

    def __init__(self, args: argparse.Namespace, tokenizer: Tokenizer) -> None:
        self.args, self.tokenizer, self.step = args, tokenizer, 0
        config = NetworkConfig(tokenizer.get_vocab_size())
        self.network, self.average = Network(config), Network(config)
        self.average.load_state_dict(self.network.state_dict())
        matrices = [w for w in self.network.blocks.parameters() if w.dim() == 2]
        rest = [w for w in self.network.parameters() if w.dim() == 1]
        rest.append(self.network.embedding.weight)
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(rest, betas=(0.9, 0.97), weight_decay=0.0)
        self.loss = _loss if args.no_compile else torch.compile(_loss)

    def _rate(self) -> float:
        start = min(1.0, (self.step + 1) / 100)
        end = min(1.0, (self.args.steps - self.step) / max(1, self.args.decay))
        return float(min(start, end))

    def train_step(self) -> float:
        progress = min(1.0, max(0.0, (self.step - 300) / self.args.warm_up))
        rng = random.Random(f"train {self.args.seed} {self.step}")
        batch = training_batch(self.tokenizer, rng, progress, self.args.rows, self.args.length)
        loss = self.loss(self.network, batch.ids, batch.targets, batch.weights, batch.mask())
        loss.backward()
        self._update()
        self.step += 1
        return float(loss.item())

    def _update(self) -> None:
        for optimiser, rate in (
            (self.muon, self.args.matrix_rate),
            (self.adam, self.args.other_rate),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * self._rate()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in (self.muon, self.adam):
            optimiser.step()
            optimiser.zero_grad()
        decay = min(EMA_DECAY, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.network.parameters()), 1 - decay
            )

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "config": asdict(self.network.config),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        for name in ("network", "average", "muon", "adam"):
            getattr(self, name).load_state_dict(state[name])


def _loss(network: Network, ids: Tensor, targets: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy, weighted by who speaks."""
    logits = network(ids, mask)
    each = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return (each * weights.flatten()).sum() / weights.sum()


def _exact(network: Network, batch: Batch) -> Tensor:
    """Per row: is every token of the answer the likeliest? Then greedy decoding says just that."""
    with torch.no_grad():
        right = network(batch.ids).argmax(-1) == batch.targets
    return (right | (batch.weights == 0)).all(dim=1)


def measure(network: Network, tokenizer: Tokenizer, draws: int) -> dict[str, float]:
    """Share of held-out draws answered exactly, by skill (only the last answer counts)."""
    rates = {}
    for skill in SKILLS:
        documents = []
        for index in range(draws):
            document = encode(tokenizer, held_out(skill, index), prompt_weight=0.0)
            last = max(i for i, w in enumerate(document.weights) if w == 0.0)
            document.weights[: last + 1] = [0.0] * (last + 1)
            documents.append([document])
        length = max(len(row[0].ids) for row in documents)
        rates[skill] = float(_exact(network, collate(documents, length)).float().mean())
    return rates


def save(trainer: Trainer, path: Path) -> None:
    """Written aside and renamed, so that a kill leaves the last whole checkpoint."""
    draft = path.with_suffix(".part")
    torch.save(trainer.state(), draft)
    draft.rename(path)


def _report(trainer: Trainer) -> None:
    rates = measure(trainer.average, trainer.tokenizer, 40)
    text = " ".join(f"{skill} {rate:.0%}" for skill, rate in rates.items())
    log.info("step %d mean %.1f%%: %s", trainer.step, 100 * sum(rates.values()) / len(rates), text)


def _after_step(trainer: Trainer, checkpoint: Path) -> None:
    """Save and measure when it is time."""
    args, step = trainer.args, trainer.step
    if step % args.checkpoint_every == 0 or step == args.steps:
        save(trainer, checkpoint)
    if step % args.measure_every == 0 or step == args.steps:
        _report(trainer)


def run(trainer: Trainer, checkpoint: Path) -> None:
    """Train to the last step; a bar on a terminal, log lines everywhere."""
    args = trainer.args
    begun, first, smooth = time.monotonic(), trainer.step, 0.0
    with Progress(disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("training", total=args.steps, completed=trainer.step)
        while trainer.step < args.steps:
            loss = trainer.train_step()
            smooth = loss if smooth == 0 else 0.98 * smooth + 0.02 * loss
            bar.update(task, completed=trainer.step)
            if trainer.step % 50 == 0:
                pace = (trainer.step - first) / (time.monotonic() - begun)
                log.info("step %d loss %.3f, %.2f steps/s", trainer.step, smooth, pace)
            _after_step(trainer, checkpoint)


def main() -> None:
    args = _arguments()
    args.run.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.StreamHandler(),
        logging.FileHandler(args.run / "train.log"),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = load_or_train(args.run / "tokenizer.json", args.vocabulary)
    trainer = Trainer(args, tokenizer)
    checkpoint = args.run / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, weights_only=True))
    log.info("%d parameters, from step %d", trainer.network.parameter_count(), trainer.step)
    run(trainer, checkpoint)


if __name__ == "__main__":
    main()
