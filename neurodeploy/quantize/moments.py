"""What the integers that a layer reads tell about its weights: second moments, and the error that they carry.

With X the unfolded inputs (fan-in x columns), W the exact weights and Y the float network's current, a rounded weight
V costs |Y - V X - b|^2. Up to a constant that is (V - W') H (V - W')^T with H = X X^T and W' = W + R H^-1, where
R = (Y - W X - b) X^T: W' makes good what earlier layers lost. Where the bias is free, X and Y count from their means.
Sums of integers are exact, whatever adds them; H is damped (`DAMPING` of its mean diagonal) before it is solved.
Source: Frantar et al. 2022, GPTQ, section 3 (H, damping), with the float network's current as the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node
from neurodeploy.quantize.integers import EXACT_FLOAT32
from neurodeploy.quantize.unfold import parts, unfold

Array = NDArray[Any]
Float = NDArray[np.float64]
DAMPING = 0.01
COLUMNS = 1 << 16  # that a layer's moments are made of, fewer where that is more than WORK; spread evenly
GOLDEN = 0.6180339887  # of a way
WORK = 2e11  # multiplications
COLUMNS_A_WEIGHT = 8  # of the fan-in, at least, whatever the work


@dataclass(frozen=True)
class Moments:
    """Sums over the columns, a group of channels each; weights in real units per integer of the axon.

    square: H [groups, K, K].  cross: R [groups, Co / groups, K].  mean_in: [groups, K].  mean_error: [groups, Co /
    groups], of Y - W X - b.  columns: how many were added.  energy: squares of the float current's deviations from
    its mean, and residual: of Y - W X - b, over all rows.
    """

    square: Float
    cross: Float
    mean_in: Float
    mean_error: Float
    columns: int
    energy: float
    residual: float

    def centred(self) -> Moments:
        """The same about the means: for a bias that is free."""
        n = self.columns
        square = self.square - n * self.mean_in[:, :, None] * self.mean_in[:, None, :]
        cross = self.cross - n * self.mean_error[:, :, None] * self.mean_in[:, None, :]
        residual = self.residual - n * float(np.square(self.mean_error).sum())
        return Moments(square, cross, self.mean_in, self.mean_error, n, self.energy, residual)

    def damped(self, damping: float = DAMPING) -> Float:
        """H with a share of its mean diagonal added to the diagonal; ones where nothing is ever read."""
        size = self.square.shape[-1]
        level = np.einsum("gkk->g", self.square) / size * damping
        level = np.where(level > 0, level, 1.0)
        found: Float = self.square.copy()
        np.einsum("gkk->gk", found)[:] += level[:, None]
        return found


def moments(conv: Node, weight: Float, bias: Float, x: Array, wanted: Array) -> Moments:
    """The moments of a convolution.

    x: integers [T, N, Ci, *S] that it reads.  wanted: the float current [T, N, Co, *S'].  weight: per integer of the
    axon.  bias: float64 [Co].
    """
    groups, kernel = conv.integer("groups"), weight.shape[2:]
    target = np.broadcast_to(wanted, (max(len(x), len(wanted)), *wanted.shape[1:]))
    source = np.broadcast_to(x, (len(target), *x.shape[1:])).reshape(-1, *x.shape[2:])
    target = target.reshape(len(source), groups, len(weight) // groups, -1)
    rows = weight.reshape(groups, len(weight) // groups, -1)
    fan_in, positions = rows.shape[-1], target.shape[-1]
    every = _every(fan_in, len(source) * positions)
    sums = _Sums(groups, rows.shape[1], fan_in, max(int(source.max(initial=1)), -int(source.min(initial=0))))
    offset = bias.reshape(groups, -1, 1)
    for number, part in enumerate(parts(conv, weight, source)):
        taken = _spread(positions, every, number)
        sums.add(unfold(conv, kernel, source[part], np.float32)[..., taken], target[part][..., taken], rows, offset)
    return sums.result()


def _every(fan_in: int, columns: int) -> int:
    """One column of how many is looked at."""
    most = max(min(COLUMNS, int(WORK / fan_in**2)), COLUMNS_A_WEIGHT * fan_in)
    return max(1, columns // most)


def _spread(positions: int, every: int, part: int) -> NDArray[np.int64]:
    """One position of `every`, for each part of the samples those that come next, until all have been.

    Steps of the golden section reach all rows and columns of an image; steps of `every` may see one column alone.
    """
    step, count = max(1, round(positions * GOLDEN)), -(-positions // every)
    while gcd(step, positions) > 1:
        step += 1
    return np.sort((part * count + np.arange(count)) * step % positions)


class _Sums:
    """The sums as they grow."""

    def __init__(self, groups: int, outputs: int, fan_in: int, largest: int) -> None:
        self.square = np.zeros((groups, fan_in, fan_in))
        self.cross = np.zeros((groups, outputs, fan_in))
        self.inputs, self.errors = np.zeros((groups, fan_in)), np.zeros((groups, outputs))
        self.wanted, self.power, self.residual = np.zeros((groups, outputs)), 0.0, 0.0
        self.columns, self.largest = 0, largest

    def add(self, columns: Array, wanted: Array, rows: Float, bias: Float) -> None:
        """Some samples: columns [M, groups, K, P], wanted [M, groups, Co / groups, P]."""
        count = len(columns) * columns.shape[-1]
        flat = np.ascontiguousarray(columns.transpose(1, 2, 0, 3)).reshape(columns.shape[1], columns.shape[2], count)
        target = wanted.transpose(1, 2, 0, 3).reshape(len(flat), -1, count).astype(np.float64)
        if self.largest**2 * count >= EXACT_FLOAT32:
            flat = flat.astype(np.float64)
        for g, x in enumerate(flat):
            self.square[g] += x @ x.T
            error = target[g] - rows[g] @ x - bias[g]
            self.cross[g] += error @ x.T
            self.errors[g] += error.sum(axis=1)
            self.residual += float(np.square(error).sum())
            self.inputs[g] += x.sum(axis=1, dtype=np.float64)
        self.wanted += target.sum(axis=2)
        self.power += float(np.square(target).sum())
        self.columns += count

    def result(self) -> Moments:
        """The moments of all that was added."""
        n = max(self.columns, 1)
        energy = self.power - float((np.square(self.wanted) / n).sum())
        means = (self.inputs / n, self.errors / n)
        return Moments(self.square, self.cross, *means, n, max(energy, 0.0), self.residual)
