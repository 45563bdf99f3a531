"""The scale of a layer: the finest membrane unit for which the interval proof holds, by least rounding error.

Real weights W and bias b of a LIF (decay folded in) become integers W / D and 64 b / D, where D = threshold / vth is
the worth of one weight unit. So a choice of the integer vth fixes the scale, and the threshold has no rounding error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node, tensor
from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.proof import membrane
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.numerics import Int64, Profile

Float = NDArray[np.float64]
CLIP_SEARCH = np.geomspace(0.9, 3.0, 48)  # vth candidates, as multiples of the one that clips nothing


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
        mantissa = np.rint(bias / (1 << exponent)).astype(np.int64)
        if np.abs(mantissa).max(initial=0) <= top:
            break
    return mantissa, exponent


def scale_at(vth: int, current: Current, bits: int, profile: Profile) -> LayerScale:
    """The layer's integers for a given vth."""
    unit = current.threshold / vth
    exact = current.weight / unit
    weight = round_to(exact, bits)
    top = (1 << (bits - 1)) - 1
    clipped = float((np.abs(exact) > top + 0.5).mean()) if exact.size else 0.0
    zeroed = float(((weight == 0) & (exact != 0)).mean()) if exact.size else 0.0
    mantissa, exponent = bias_grid(current.bias / unit * (1 << profile.threshold_shift), profile)
    return LayerScale(vth, unit, weight, mantissa, exponent, clipped, zeroed)


def fits(scale: LayerScale, current: Current, steps: int, profile: Profile) -> bool:
    """Whether threshold, activation, bias and membrane stay in their widths for every possible input."""
    sums = conv_sums(scale.weight, current.axon)
    if scale.vth > profile.threshold_max or sums.magnitude > profile.activation_max:
        return False
    if np.abs(scale.bias_mant).max(initial=0) >= 1 << (profile.bias_bits - 1):
        return False
    node = _as_node(scale, current, profile)
    return membrane(node, ValueType((), sums), steps, profile).magnitude <= profile.state_max


def _as_node(scale: LayerScale, current: Current, profile: Profile) -> Node:
    attributes = {
        "vth": scale.vth,
        "dv": decay_to_dv(current.decay, profile),
        "weight_exp": 0,
        "bias_exp": scale.bias_exp,
    }
    return Node("lif", "", attributes=attributes, tensors={"bias_mant": tensor(scale.bias_mant, np.int64)})


def choose_scale(current: Current, bits: int, steps: int, profile: Profile) -> LayerScale | None:
    """The scale of least squared weight error among those that fit; None where even vth = 1 does not fit."""
    largest = float(np.abs(current.weight).max(initial=0))
    top = (1 << (bits - 1)) - 1
    free = current.threshold * top / largest if largest > 0 else float(profile.threshold_max)
    limit = _largest_vth(current, bits, steps, profile, int(min(free * CLIP_SEARCH[-1], profile.threshold_max)))
    if limit < 1:
        return None
    tries = {int(np.clip(free * factor, 1, limit)) for factor in CLIP_SEARCH} | {limit}
    scales = [scale_at(vth, current, bits, profile) for vth in sorted(tries)]
    legal = [scale for scale in scales if fits(scale, current, steps, profile)]
    return min(legal, key=lambda scale: _error(scale, current))


def _error(scale: LayerScale, current: Current) -> float:
    """Squared error of the weights, in real units."""
    return float(np.square(scale.weight * scale.unit - current.weight).sum())


def _largest_vth(current: Current, bits: int, steps: int, profile: Profile, upper: int) -> int:
    """The largest vth <= upper that fits, by bisection; 0 where none does."""
    low, high = 0, max(upper, 1)
    if fits(scale_at(high, current, bits, profile), current, steps, profile):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if fits(scale_at(middle, current, bits, profile), current, steps, profile):
            low = middle
        else:
            high = middle
    return low
