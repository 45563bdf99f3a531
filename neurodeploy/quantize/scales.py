"""The scale of a layer: the finest membrane unit for which the interval proof holds, by least rounding error.

Real weights W and bias b of a LIF (decay folded in) become integers W / D and 64 b / D, where D = threshold / vth is
the worth of one weight unit. So a choice of the integer vth fixes the scale, and the threshold has no rounding error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node, tensor
from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.proof import membrane
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.numerics import Int64, Profile

Float = NDArray[np.float64]
CLIP_SEARCH = np.geomspace(0.9, 3.0, 48)  # vth candidates, as multiples of the one that clips nothing
MOST_ZEROED = 0.5  # share of the weights that may vanish for the sake of the others
MOST_CLIPPED = 0.5  # share of the weights at the end of their range; beyond it the layer is another one
CLIPS = {2: 8.0, 3: 6.0, 4: 4.0}  # by how much a candidate clips the largest weight at most, by bits
CLIPS_ELSE = 3.0
SAMPLE = 1 << 16  # weights that judge the candidates; every one of them is still proven on all weights
BEYOND = 2.0**40  # of every bias grid, and still an integer of 64 bits
BLOCK = 1 << 15  # weights rounded at a time, 256 KB: ten times faster than a whole layer that leaves the cache


@dataclass(frozen=True)
class Current:
    """What drives a LIF, in real units with the neuron's input gain folded in.

    weight: float64 [Co, Ci / groups, *K] per integer unit of the axon.  bias: float64 [Co].
    axon: interval of the axons, zero padding included.  decay, threshold: of the neuron.
    """

    weight: Float
    bias: Float
    axon: Interval
    decay: float
    threshold: float


@dataclass(frozen=True)
class LayerScale:
    """The integers of one layer. unit: real worth of one weight unit (D). clipped: share of weights at the end.

    zeroed: share of weights that are not zero and become zero.
    """

    vth: int
    unit: float
    weight: Int64
    bias_mant: Int64
    bias_exp: int
    clipped: float
    zeroed: float

    def worth(self) -> float:
        """The largest weight magnitude in use, in weight units."""
        return float(np.abs(self.weight).max(initial=0))


def round_to(values: Float, bits: int) -> Int64:
    """Round to even onto signed integers of so many bits, symmetric: -(2^(bits-1) - 1) .. 2^(bits-1) - 1."""
    top = (1 << (bits - 1)) - 1
    return np.clip(np.rint(values), -top, top).astype(np.int64)


def decay_to_dv(decay: float, profile: Profile) -> int:
    """The integer decay: v keeps (4096 - dv) / 4096; at most 4095."""
    return min(int(np.rint(decay * profile.decay_unit)), profile.decay_unit - 1)


def bias_grid(bias: Float, profile: Profile) -> tuple[Int64, int]:
    """Mantissa and common exponent of a bias in membrane units, with the least exponent whose mantissas fit.

    A bias beyond the widest grid keeps its too large mantissa, so that the proof refuses it.
    """
    top = (1 << (profile.bias_bits - 1)) - 1
    for exponent in range(profile.bias_exponent_max + 1):
        mantissa = np.rint(np.clip(bias / (1 << exponent), -BEYOND, BEYOND)).astype(np.int64)
        if np.abs(mantissa).max(initial=0) <= top:
            break
    return mantissa, exponent


def scale_at(vth: int, current: Current, bits: int, profile: Profile) -> LayerScale:
    """The layer's integers for a given vth."""
    unit = current.threshold / vth
    weight, clipped, zeroed = onto_grid(current.weight / unit, bits)
    return LayerScale(vth, unit, weight, *_bias_at(vth, current, profile), clipped, zeroed)


def onto_grid(exact: Float, bits: int) -> tuple[Int64, float, float]:
    """Weights in units as integers, the share of them beyond the end of the range, and the share that becomes zero."""
    weight = round_to(exact, bits)
    top = (1 << (bits - 1)) - 1
    clipped = float((np.abs(exact) > top + 0.5).mean()) if exact.size else 0.0
    zeroed = float(((weight == 0) & (exact != 0)).mean()) if exact.size else 0.0
    return weight, clipped, zeroed


def _bias_at(vth: int, current: Current, profile: Profile) -> tuple[Int64, int]:
    return bias_grid(bias_units(vth, current, current.bias, profile), profile)


def most_clipping(bits: int) -> float:
    """By how much a candidate threshold clips the largest weight at most: the fewer the bits, the more it may."""
    return CLIPS.get(bits, CLIPS_ELSE)


def by_row(values: Int64 | Float | float, weight: Float) -> Float:
    """One number an output channel, or one for all, as what broadcasts to a weight [Co, ..]."""
    return np.broadcast_to(values, len(weight)).reshape(-1, *[1] * (weight.ndim - 1))


def bias_units(vth: int | Int64, current: Current, bias: Float, profile: Profile) -> Float:
    """A bias in membrane units for a given vth."""
    return bias / (current.threshold / vth) * (1 << profile.threshold_shift)


def fits(vth: int, current: Current, bits: int, steps: int, profile: Profile) -> bool:
    """Whether threshold, activation, bias and membrane stay in their widths for every possible input."""
    sums = Interval(0, 0)
    for rows in _blocks(current.weight):
        sums = sums.union(conv_sums(round_to(rows / (current.threshold / vth), bits), current.axon))
        if sums.magnitude > profile.activation_max:
            return False
    return fits_sums(vth, current, current.bias, sums, steps, profile)


def fits_sums(vth: int | Int64, current: Current, bias: Float, sums: Interval, steps: int, profile: Profile) -> bool:
    """The same for the worst case of the integers, and a bias [Co] in the units of the exact one."""
    mantissa, exponent = bias_grid(bias_units(vth, current, bias, profile), profile)
    wide = np.abs(mantissa).max(initial=0) >= 1 << (profile.bias_bits - 1)
    vth = int(np.max(vth))
    if wide or vth > profile.threshold_max or sums.magnitude > profile.activation_max:
        return False
    attributes = {"vth": vth, "dv": decay_to_dv(current.decay, profile), "weight_exp": 0, "bias_exp": exponent}
    node = Node("lif", "", attributes=attributes, tensors={"bias_mant": tensor(mantissa, np.int64)})
    return membrane(node, ValueType((), sums), steps, profile).magnitude <= profile.state_max


def _blocks(weight: Float) -> Iterator[Float]:
    """The rows of a weight in blocks that a core's cache holds."""
    rows = max(1, BLOCK // max(weight[0].size, 1))
    return (weight[start : start + rows] for start in range(0, len(weight), rows))


def choose_scale(current: Current, bits: int, steps: int, profile: Profile) -> LayerScale | None:
    """The scale of least squared weight error among those that fit; None where even vth = 1 does not fit.

    Where a few weights far beyond the others would make zeros of most, they are clipped instead.
    """
    found = _least_error(current, bits, steps, profile)
    return found if found is None or found.zeroed <= MOST_ZEROED else _row_by_row(current, bits, steps, profile, found)


def _least_error(current: Current, bits: int, steps: int, profile: Profile) -> LayerScale | None:
    """The scale of least squared error over all weights."""
    largest = float(np.abs(current.weight).max(initial=0))
    top = (1 << (bits - 1)) - 1
    free = current.threshold * top / largest if largest > 0 else float(profile.threshold_max)
    limit = largest_vth(current, bits, steps, profile, int(min(free * CLIP_SEARCH[-1], profile.threshold_max)))
    if limit < 1:
        return None
    tries = sorted({int(np.clip(free * factor, 1, limit)) for factor in CLIP_SEARCH} | {limit})
    judges, count = sample(current.weight, largest / CLIP_SEARCH[-1])
    by_error = sorted(tries, key=lambda vth: rounding_error(judges, count, current.threshold / vth, bits))
    vth = next(vth for vth in by_error if fits(vth, current, bits, steps, profile))
    return scale_at(vth, current, bits, profile)


@dataclass(frozen=True)
class Judges:
    """Weights of a convolution that stand for all of them, and the row (output channel) of each.

    Batch norm gives all rows the same variance, whatever their weights: a row's error counts as a share of its power.
    power: of each row's judges.  tops: the finest unit, a row each, that clips nothing; of rows that are not zero.
    """

    weight: Float
    row: NDArray[np.intp]
    power: Float
    tops: Float
    bits: int

    def error(self, unit: float) -> float:
        """Rounding error over weights, both root mean square, summed over the rows."""
        wrong = np.square(round_to(self.weight / unit, self.bits) * unit - self.weight)
        return float(np.sqrt(np.bincount(self.row, wrong, len(self.power)) / self.power).sum())


def row_judges(weight: Float, bits: int) -> Judges:
    """Every k-th weight of a large layer, k such that all columns are seen; all of a small one."""
    rows = weight.reshape(len(weight), -1)
    step = max(1, -(-rows.size // SAMPLE))
    while gcd(step, rows.shape[1]) > 1:
        step += 1
    seen = np.arange(0, rows.size, step)
    judges, row = rows.reshape(-1)[seen], seen // rows.shape[1]
    power, largest = np.bincount(row, np.square(judges), len(rows)), np.abs(rows).max(axis=1)
    return Judges(judges, row, np.where(power > 0, power, np.inf), largest[largest > 0] / ((1 << (bits - 1)) - 1), bits)


def _row_by_row(current: Current, bits: int, steps: int, profile: Profile, found: LayerScale) -> LayerScale:
    """The scale of least error, each row's a share of its power; the one found before where none is finer and fits."""
    judges = row_judges(current.weight, bits)
    upper = int(min(CLIP_SEARCH[-1] * current.threshold / np.median(judges.tops), profile.threshold_max))
    limit = largest_vth(current, bits, steps, profile, upper)
    tries = sorted({int(vth) for vth in np.geomspace(found.vth, max(limit, found.vth), len(CLIP_SEARCH))})
    by_error = sorted(tries, key=lambda vth: judges.error(current.threshold / vth))
    vth = next(vth for vth in by_error if fits(vth, current, bits, steps, profile))
    return scale_at(vth, current, bits, profile)


def sample(weight: Float, least_clipped: float) -> tuple[Float, Float]:
    """Weights that stand for all, and how many each stands for: all of a small layer, each once.

    Of a large one at most SAMPLE, half of them among those that some candidate clips: few, and most of the error.
    """
    flat = weight.reshape(-1)
    if flat.size <= SAMPLE:
        return flat, np.ones(flat.size)
    clipped = np.abs(flat) > least_clipped
    parts = [part[:: -(-part.size // (SAMPLE // 2)) or 1] for part in (flat[clipped], flat[~clipped])]
    sizes = (np.count_nonzero(clipped), np.count_nonzero(~clipped))
    counts = [np.full(part.size, size / max(part.size, 1)) for part, size in zip(parts, sizes, strict=True)]
    return np.concatenate(parts), np.concatenate(counts)


def rounding_error(weight: Float, count: Float, unit: float, bits: int) -> float:
    """Squared error of the weights, in real units; count: how many each stands for."""
    return float((count * np.square(round_to(weight / unit, bits) * unit - weight)).sum())


def largest_vth(current: Current, bits: int, steps: int, profile: Profile, upper: int) -> int:
    """The largest vth <= upper that fits, by bisection; 0 where none does."""
    low, high = 0, max(upper, 1)
    if fits(high, current, bits, steps, profile):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle, current, bits, steps, profile):
            low = middle
        else:
            high = middle
    return low
