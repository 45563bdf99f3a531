"""Learnt numbers on the grids that the target keeps: rounded forward, passed straight through backward.

Straight-through estimator: Bengio, Leonard and Courville 2013, Estimating or Propagating Gradients Through Stochastic
Neurons, section 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neurodeploy.ir.types import Interval

MARGIN = 0.4  # a latent number starts at most so far from the integer that it stands for
SHRINK = 1e-3  # share by which a row that leaves its budget is drawn together at least


class _Round(torch.autograd.Function):
    """Rounds to whole multiples of a step within bounds, to even; its gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, low: float, high: float, step: float) -> Tensor:
        return latent.div(step).round_().clamp_(low, high).mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return gradients[0], None, None, None


def rounded(latent: Tensor, low: float, high: float, step: float = 1.0) -> Tensor:
    """step * clip(rint(latent / step), low, high), straight through."""
    value: Tensor = _Round.apply(latent, low, high, step)  # type: ignore[no-untyped-call]
    return value


def start(integers: Tensor, exact: Tensor | None) -> Tensor:
    """The latent numbers, float64, that round to these integers and are nearest to the exact ones, MARGIN kept."""
    whole = integers.double()
    return whole if exact is None else exact.double().expand_as(whole).clamp(whole - MARGIN, whole + MARGIN)


class Fixed(nn.Module):
    """Numbers that are not learnt."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)

    def forward(self) -> Tensor:
        """The numbers."""
        return torch.as_tensor(self.values)


class Weight(nn.Module):
    """The weight of a convolution: latent float32 in weight units, whole numbers of `span` in the forward pass.

    axon: interval of what it multiplies.  budget: interval that the sum of every row has to keep in the worst case.
    """

    def __init__(self, latent: Tensor, span: Interval, axon: Interval, budget: Interval) -> None:
        super().__init__()
        self.span, self.axon, self.budget = span, axon, budget
        self.latent = nn.Parameter(latent.float())
        self.scale = float(latent.square().mean().sqrt()) or 1.0

    def forward(self) -> Tensor:
        """The whole numbers."""
        return rounded(self.latent, self.span.lo, self.span.hi)

    @torch.no_grad()
    def project(self) -> int:
        """Clip to the grid, and draw together every row that leaves the budget; how many rows that were."""
        self.latent.clamp_(self.span.lo, self.span.hi)
        drawn, share = 0, self._share()
        rows = torch.nonzero(share > 1).flatten()
        while len(rows):
            drawn = max(drawn, len(rows))
            self.latent[rows] /= share[rows].clamp(min=1 + SHRINK).float().reshape(-1, *(1,) * (self.latent.ndim - 1))
            share = self._share()
            rows = torch.nonzero(share > 1).flatten()
        return drawn

    def facts(self) -> dict[str, float]:
        """What the quantizer notes of a layer's weights."""
        weight, latent = self().detach(), self.latent.detach()
        ends = (latent <= self.span.lo) | (latent >= self.span.hi)
        gone = (weight == 0) & (latent != 0)
        shares = {"clipped": float(ends.double().mean()), "zeroed": float(gone.double().mean())}
        return {"largest_weight": int(weight.abs().max()), **shares}

    def _share(self) -> Tensor:
        """The worst case of every row as a share of the budget, float64."""
        weight = self().detach().double().flatten(1)
        positive, negative = weight.clamp(min=0).sum(1), weight.clamp(max=0).sum(1)
        high = positive * self.axon.hi + negative * self.axon.lo
        low = positive * self.axon.lo + negative * self.axon.hi
        return torch.maximum(_over(high, self.budget.hi), _over(-low, -self.budget.lo))


def _over(worst: Tensor, limit: int) -> Tensor:
    """worst / limit; where the limit is zero, so is all that is allowed."""
    return worst / limit if limit else torch.where(worst > 0, 2.0, 0.0).to(worst.dtype)


class Bias(nn.Module):
    """A bias: latent float64 in membrane units; mantissas within `span` times 2^exponent in the forward pass.

    exponents: the least and the most.  proven: the biases that are proven, None where nothing bounds them.
    unit: what counts as one for a learning rate.
    """

    def __init__(
        self, latent: Tensor, span: Interval, exponents: tuple[int, int], proven: Interval | None, unit: float
    ) -> None:
        super().__init__()
        self.span, self.proven, self.scale = span, proven, unit
        self.least, self.most = exponents
        self.latent = nn.Parameter(latent.double())

    @property
    def exponent(self) -> int:
        """The least exponent whose mantissas hold every bias."""
        low, high = (float(end) for end in torch.aminmax(self.latent.detach()))
        fits = (e for e in range(self.least, self.most) if self._holds(low / (1 << e), high / (1 << e)))
        return next(fits, self.most)

    def _holds(self, low: float, high: float) -> bool:
        return self.span.lo <= round(low) and round(high) <= self.span.hi

    def forward(self) -> Tensor:
        """The bias in membrane units."""
        return rounded(self.latent, self.span.lo, self.span.hi, float(1 << self.exponent))

    @torch.no_grad()
    def project(self) -> int:
        """Clip to what is proven; no row is drawn together."""
        if self.proven is not None:
            self.latent.clamp_(self.proven.lo, self.proven.hi)
        return 0
