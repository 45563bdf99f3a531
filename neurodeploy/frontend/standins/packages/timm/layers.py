"""Small helpers of timm's layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.init import trunc_normal_

__all__ = ["DropPath", "to_2tuple", "trunc_normal_"]


class DropPath(nn.Module):
    """Stochastic depth: leaves out a branch in training, for each sample with probability drop_prob."""

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep = drop_prob, scale_by_keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, ...] itself in eval mode."""
        if not (self.training and self.drop_prob):
            return x
        keep = 1.0 - self.drop_prob
        kept = x.new_empty(x.shape[0], *(1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * (kept / keep if keep and self.scale_by_keep else kept)


def to_2tuple(x: Any) -> tuple[Any, ...]:
    """A pair of one thing, or the things that are given."""
    return tuple(x) if isinstance(x, Iterable) and not isinstance(x, str) else (x, x)
