"""Surrogate functions: in a forward pass all are the step function; their gradients are a matter of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class SurrogateFunctionBase(nn.Module):
    """1 where x >= 0, else 0, in the type of x. Takes what any surrogate takes, and keeps `alpha` and `spiking`."""

    def __init__(self, alpha: float = 1.0, spiking: bool = True, **options: Any) -> None:
        super().__init__()
        self.alpha, self.spiking = alpha, spiking

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The step function, element by element."""
        return (x >= 0).to(x)


class ATan(SurrogateFunctionBase):
    """Arc tangent."""


class Erf(SurrogateFunctionBase):
    """Gaussian error function."""


class PiecewiseExp(SurrogateFunctionBase):
    """Exponential pieces."""


class PiecewiseQuadratic(SurrogateFunctionBase):
    """Quadratic pieces."""


class Sigmoid(SurrogateFunctionBase):
    """Logistic function."""


class SoftSign(SurrogateFunctionBase):
    """Soft sign."""
