"""The integers of one convolution, from what it reads on calibration samples.

`Seen` holds the moments of its inputs; `rounded` makes integers of its weights at a given unit; `choose` tries units
and takes the one whose spikes differ least from the float network's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node, tensor
from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.types import Interval
from neurodeploy.quantize import compensate
from neurodeploy.quantize.builder import Builder, Quantity
from neurodeploy.quantize.moments import Moments, moments
from neurodeploy.quantize.observe import Float
from neurodeploy.quantize.samples import current

Array = NDArray[Any]
COARSE_ROWS = 64  # rows that choose the candidates which are tried as a whole


@dataclass(frozen=True)
class Fit:
    """Integers of a convolution and its bias.

    integers: [Co, Ci / groups, *K].  bias: float64 [Co], in the units of the exact one.  error, nearest: squared error
    of the current on the samples as a share of its power, of these integers and of rounding to the nearest; infinite
    where there is no power.
    """

    integers: NDArray[np.int64]
    bias: Float
    error: float
    nearest: float


class Seen:
    """What a convolution reads, and what its current should be.

    weight: float64 [Co, Ci / groups, *K] per integer of the axon, times the gain of the neuron behind it.  bias: [Co].
    """

    def __init__(self, build: Builder, conv: Node, axon: Quantity, weight: Float, bias: Float, gain: float) -> None:
        samples, options = build.samples, build.options
        traced = build.traced.by_name[conv.name]
        self.conv, self.weight, self.bias, self.axon = (
            conv,
            weight,
            bias,
            build.types[axon.name].range.union(Interval(0, 0)),
        )
        self.compensates, self.corrects = options.rounding == "compensated", options.bias_correction is True
        self.inputs: Array = samples.integers[axon.name]
        real = current(traced, traced.tensors["weight"], samples.reals[traced.inputs[0]])
        self.wanted: Array = real * np.float32(gain)
        raw = moments(conv, weight, bias, self.inputs, self.wanted)
        self.moments: Moments = raw.centred() if self.corrects else raw
        self.square = self.moments.damped()
        self.rows: Float = weight.reshape(conv.integer("groups"), -1, self.square.shape[-1])
        self.factors = [compensate.factor_of(square) for square in self.square] if self.compensates else []

    def errors(self, units: Sequence[float], top: int) -> list[float]:
        """Squared error of the current at each unit, judged by some rows."""
        step = max(1, self.rows.shape[1] // max(1, COARSE_ROWS // len(self.rows)))
        return [self._sum(self._integers(unit, top, step, settle=False), unit, step) for unit in units]

    def _worth(self, unit: float | Float) -> Float:
        """The unit of each row, [groups, Co / groups, 1]."""
        return np.broadcast_to(unit, len(self.weight)).reshape(*self.rows.shape[:2], 1)

    def _integers(self, unit: float | Float, top: int, step: int = 1, settle: bool = True) -> Float:
        found = []
        for g, (target, worth) in enumerate(zip(self.rows[:, ::step], self._worth(unit)[:, ::step], strict=True)):
            if self.compensates:
                units = worth[:, 0]
                found.append(compensate.compensated(target, units, top, self.square[g], self.factors[g], settle))
            else:
                found.append(np.clip(np.rint(target / worth), -top, top))
        return np.stack(found)

    def _sum(self, integers: Float, unit: float, step: int = 1) -> float:
        pairs = zip(integers, self.rows[:, ::step], self.square, strict=True)
        return float(sum(compensate.errors(rows * unit, exact, square).sum() for rows, exact, square in pairs))

    def fit(self, unit: float | Float, top: int, limit: Interval | None = None) -> Fit:
        """Integers at a unit, or at one a row [Co].

        limit: of the sums of a row; rows beyond are shrunk where that costs least.
        """
        found, worth = self._integers(unit, top), self._worth(unit)
        if limit is not None:
            pairs = zip(found, self.rows / worth, self.square, strict=True)
            found = np.stack([_shrunk(rows, exact, square, self.axon, limit) for rows, exact, square in pairs])
        nearest = np.clip(np.rint(self.rows / worth), -top, top)
        bias = self.bias
        if self.corrects:
            lost = np.einsum("gok,gk->go", self.rows - found * worth, self.moments.mean_in)
            bias = self.bias + (self.moments.mean_error + lost).reshape(-1)
        integers = found.astype(np.int64).reshape(self.weight.shape)
        return Fit(integers, bias, self._share(found, worth), self._share(nearest, worth))

    def _share(self, integers: Float, unit: Float) -> float:
        """Squared error of the current as a share of its power; infinite where the samples leave it at rest."""
        error = max(self._residual(integers, unit), 0.0)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            share = float(np.divide(error, self.moments.energy))
        return 0.0 if error == 0 else share

    def _residual(self, integers: Float, unit: Float) -> float:
        """Squared error of the current without damping."""
        moved = integers * unit - self.rows
        cost = np.einsum("gok,gkl,gol->", moved, self.moments.square, moved, optimize=True)
        return float(self.moments.residual + cost - 2 * (moved * self.moments.cross).sum())


def _shrunk(rows: Float, exact: Float, square: Float, axon: Interval, limit: Interval) -> Float:
    """Rows of integers whose worst-case sums lie within a limit, weights moved towards zero where that costs least."""
    found: Float = rows.copy()
    for row, wanted in zip(found, exact, strict=True):
        pull = (wanted - row) @ square
        while (beyond := _beyond(row, axon, limit)).any():
            cost = np.where(beyond, np.diagonal(square) + 2 * np.sign(row) * pull, np.inf)
            j = int(np.argmin(cost))
            step = np.sign(row[j])
            row[j] -= step
            pull += step * square[j]
    return found


def _beyond(row: Float, axon: Interval, limit: Interval) -> NDArray[np.bool_]:
    """The weights that could be smaller for the sake of the sum that leaves its limit; none where all is well."""
    high, low = np.maximum(row * axon.lo, row * axon.hi), np.minimum(row * axon.lo, row * axon.hi)
    wide = np.zeros(len(row), bool)
    if high.sum() > limit.hi:
        wide |= high > 0
    if low.sum() < limit.lo:
        wide |= low < 0
    return np.asarray(wide)


def sums_of(integers: Iterable[Any], axon: Interval) -> Interval:
    """The worst-case sums of a convolution."""
    return conv_sums(np.asarray(integers), axon)


def with_bias(conv: Node, bias: Float) -> dict[str, Any]:
    """The tensors of a convolution with another bias."""
    return {**conv.tensors, "bias": tensor(bias, np.float64)}
