"""What a user can choose about the training, and what follows: learning rates, the order of samples, the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from neurodeploy.errors import Finding, UsageError
from neurodeploy.numerics import plain

EPOCH_SEEDS = 1 << 20  # seeds of the epochs of a run lie so far from those of the next seed


@dataclass(frozen=True)
class Recipe:
    """A training run; everything that decides on its bytes beside network, data and teacher.

    epochs: passes over the samples, may be a fraction.  batch: samples a step.  learning_rate: the largest, a share as
    `IntegerNetwork.groups` says.  warm_up: share of the steps in which it rises; then it falls along a cosine to zero.
    seed: of the order of the samples.  distillation: share of the teacher in the loss, 0 to 1.  temperature: of the
    softmax that compares with it.  evaluations: on the held-out samples, evenly spread, the last one at the end; one a
    step where there are fewer steps.
    Raises UsageError with all that is wrong.
    """

    epochs: float = 1.0
    batch: int = 64
    learning_rate: float = 0.005
    warm_up: float = 0.05
    seed: int = 0
    distillation: float = 0.5
    temperature: float = 1.0
    evaluations: int = 2

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        wrong = [(f.name, _LEGAL[f.name]) for f in fields(self) if not _legal(f.name, getattr(self, f.name))]
        if wrong:
            raise UsageError(
                Finding("ND-S010", name, f"{name}: {need}", repr(getattr(self, name)), "leave it out for what is usual")
                for name, (need, _) in wrong
            )

    def steps(self, samples: int) -> int:
        """Optimizer steps on so many samples; a pass drops a short last batch."""
        return max(1, math.ceil(self.epochs * max(1, samples // self.batch)))

    def rate(self, step: int, steps: int) -> float:
        """The share of the largest learning rate in a step, counted from 0."""
        rising = (step + 1) / max(1.0, self.warm_up * steps)
        return min(1.0, rising) * 0.5 * (1 + math.cos(math.pi * step / steps))

    def order(self, samples: int, first: int, steps: int) -> Iterator[Tensor]:
        """Indices of the mini-batches from step `first` on; every pass shuffles anew, whatever was run before."""
        whole, passed = max(1, samples // self.batch), -1
        for step in range(first, steps):
            if step // whole != passed:
                passed = step // whole
                generator = torch.Generator().manual_seed(self.seed * EPOCH_SEEDS + passed)
                shuffled = torch.randperm(samples, generator=generator)
            start = step % whole * self.batch
            yield shuffled[start : start + self.batch]

    def due(self, done: int, steps: int) -> bool:
        """Whether the held-out samples are due after so many steps: at 0, at the end, and evenly spread between."""
        parts = min(self.evaluations, steps)
        return done == round(round(done * parts / steps) * steps / parts)

    def loss(self, logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        """(1 - d) cross-entropy + d tau^2 KL(teacher | network), softened by tau.

        Source: Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2.
        """
        hard = F.cross_entropy(logits, labels)
        if teacher is None or not self.distillation:
            return hard
        tau = self.temperature
        ours, theirs = F.log_softmax(logits / tau, 1), F.log_softmax(teacher / tau, 1)
        soft = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        return (1 - self.distillation) * hard + self.distillation * tau * tau * soft

    def as_json(self) -> dict[str, Any]:
        """The choices as plain data."""
        return asdict(self)


def _whole(low: int) -> Any:
    return lambda value: isinstance(value, int) and low <= value < 1 << 40


def _between(low: float, high: float, least: bool = False) -> Any:
    return lambda value: math.isfinite(value) and (low < value <= high or (least and value == low))


_LEGAL: dict[str, tuple[str, Any]] = {
    "epochs": ("above 0", _between(0, 1e6)),
    "batch": ("1 or more", _whole(1)),
    "learning_rate": ("above 0, at most 1", _between(0, 1)),
    "warm_up": ("0 to 1", _between(0, 1, least=True)),
    "seed": ("0 or more", _whole(0)),
    "distillation": ("0 to 1", _between(0, 1, least=True)),
    "temperature": ("above 0", _between(0, 1e6)),
    "evaluations": ("1 or more", _whole(1)),
}


def _legal(name: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bool(_LEGAL[name][1](value))
