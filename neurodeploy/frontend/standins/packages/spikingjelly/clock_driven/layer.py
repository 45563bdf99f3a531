"""Containers that fold time into the batch."""

from __future__ import annotations

import torch
from torch import nn


class SeqToANNContainer(nn.Sequential):
    """Layers without state over a sequence [T, N, ...], all steps at once."""

    def forward(self, x_seq: torch.Tensor) -> torch.Tensor:
        """[T, N, ...] to [T, N, ...]."""
        y = x_seq.flatten(0, 1)
        for layer in self:
            y = layer(y)
        return y.view(*x_seq.shape[:2], *y.shape[1:])


class MultiStepContainer(nn.Sequential):
    """Layers over a sequence [T, ...], step by step."""

    def forward(self, x_seq: torch.Tensor) -> torch.Tensor:
        """[T, ...] to [T, ...]."""
        return torch.stack([self._step(x) for x in x_seq])

    def _step(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self:
            x = layer(x)
        return x
