"""Threshold groups: output channels of a layer that share a threshold, and so the worth of a weight unit.

The threshold of a neuron in real units is the same for all channels of a layer; in integers it is `vth`, and one weight
unit is worth `threshold / vth`. Where the weights of some channels are far larger than those of others, one unit is too
coarse for these or clips those. Each group costs a population of its own on the chip, and a crossbar from every
population that it reads to it, and from it to every one that reads it; so one more has to lower the error by GAIN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.numerics import Profile
from neurodeploy.quantize.scales import Current, decay_to_dv, most_clipping, round_to

Float = NDArray[np.float64]
CANDIDATES = 96  # thresholds that compete, from the one that clips no weight of any channel on
COARSEST = 0.9  # of that one
GAIN = 0.1  # of the squared error, by which one more group has to lower it


@dataclass(frozen=True)
class Groups:
    """vth: int64, one an output channel.  error: squared error of the weights, as weighed.

    single: the error with one group, whose vth is `alone`.
    """

    vth: NDArray[np.int64]
    error: float
    single: float
    alone: int

    @property
    def count(self) -> int:
        """Different thresholds."""
        return len(np.unique(self.vth))


def choose_groups(
    current: Current, bits: int, most: int, profile: Profile, steps: int, power: Float | None = None
) -> Groups | None:
    """Up to `most` groups of channels, each with the threshold of least error that fits; None where none fits.

    power: of each weight's input, [Co, fan-in] or what broadcasts to it; equal where it is not given.  steps: T.
    """
    rows = current.weight.reshape(len(current.weight), -1)
    largest = np.abs(rows).max(axis=1)
    if not largest.any():
        return None
    top = (1 << (bits - 1)) - 1
    free = current.threshold * top / largest[largest > 0]
    finest = most_clipping(bits) * free.max()
    low, high = (float(np.clip(end, 1, profile.threshold_max)) for end in (COARSEST * free.min(), finest))
    tries = np.unique(np.geomspace(low, high, CANDIDATES).astype(np.int64))
    weights = np.ones((1, 1)) if power is None else power
    errors = np.stack([_errors(rows, current, int(vth), bits, profile, steps, weights) for vth in tries], axis=1)
    if np.isinf(errors.min(axis=1)).any():
        return None
    best = list(_partitions(errors, most))
    chosen, single = best[0], best[0][1]
    for further in best[1:]:
        if further[1] <= (1 - GAIN) * chosen[1]:
            chosen = further
    alone = int(tries[best[0][0][0]])
    return Groups(tries[chosen[0]], chosen[1], single, alone) if np.isfinite(single) else None


def _errors(rows: Float, current: Current, vth: int, bits: int, profile: Profile, steps: int, power: Float) -> Float:
    """Squared error of each row at a threshold, infinite where a width does not hold it."""
    unit = current.threshold / vth
    integers = round_to(rows / unit, bits)
    wrong = (power * np.square(integers * unit - rows)).sum(axis=1)
    return np.where(_fit(integers, current.bias / unit, vth, current, profile, steps), wrong, np.inf)


def _fit(
    integers: NDArray[np.int64], bias: Float, vth: int, current: Current, profile: Profile, steps: int
) -> NDArray[np.bool_]:
    """Rows whose sums, bias and membrane surely stay in their widths; bias in weight units."""
    positive, negative = (pick(integers, 0).sum(axis=1) for pick in (np.maximum, np.minimum))
    high = positive * current.axon.hi + negative * current.axon.lo
    low = positive * current.axon.lo + negative * current.axon.hi
    sums = np.maximum(np.abs(high), np.abs(low))
    wide = np.abs(bias) * (1 << profile.threshold_shift)
    widest = ((1 << (profile.bias_bits - 1)) - 1) << profile.bias_exponent_max
    keep = 1 - decay_to_dv(current.decay, profile) / profile.decay_unit
    each = (sums << profile.threshold_shift) + wide + (1 << profile.bias_exponent_max)
    held = each * min(float(steps), 1 / (1 - keep) if keep < 1 else np.inf)  # the most that may lie below the threshold
    most = np.maximum(each + keep * (vth << profile.threshold_shift), held)
    return np.asarray((sums <= profile.activation_max) & (wide <= widest) & (most <= profile.state_max))


def _partitions(errors: Float, most: int) -> Iterator[tuple[NDArray[np.intp], float]]:
    """For 1, 2, .. groups the candidate of each row and the whole error: the best cuts of the rows in order.

    errors: [rows, candidates].  Rows come in the order of the candidate that each would take alone; a group takes the
    one of least error for all of it. Dynamic programming over where groups end is exact for that order.
    """
    order = np.argsort(errors.argmin(axis=1), kind="stable")
    finite = np.isfinite(errors)
    barred = 1e9 * np.max(errors, where=finite, initial=np.finfo(np.float64).tiny)  # more than any sum of others
    costs = np.where(finite, errors, barred)[order]
    sums = np.concatenate([np.zeros((1, errors.shape[1])), np.cumsum(costs, axis=0)])
    count = len(order)
    cost, pick = np.full((count + 1, count + 1), np.inf), np.zeros((count + 1, count + 1), np.intp)
    for start in range(count):
        whole = sums[start + 1 :] - sums[start]
        pick[start, start + 1 :] = whole.argmin(axis=1)
        cost[start, start + 1 :] = whole.min(axis=1)
    reach, ends = cost[0], [np.zeros(count + 1, np.intp)]
    for groups in range(1, min(most, count) + 1):
        if groups > 1:
            through = reach[:, None] + cost
            ends.append(through.argmin(axis=0))
            reach = through.min(axis=0)
        chosen, stop = np.empty(count, np.intp), count
        for cut in reversed(ends):
            start = int(cut[stop])
            chosen[order[start:stop]] = pick[start, stop]
            stop = start
        yield chosen, float(reach[count]) if reach[count] < barred else np.inf
