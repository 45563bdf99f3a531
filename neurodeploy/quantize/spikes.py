"""The threshold of a layer by the spikes that it makes of the integers it really reads, against the float network's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node
from neurodeploy.ir.types import Interval
from neurodeploy.numerics import Int64
from neurodeploy.quantize.builder import Builder
from neurodeploy.quantize.fitted import Fit, Seen, sums_of
from neurodeploy.quantize.groups import choose_groups
from neurodeploy.quantize.integers import fired_by
from neurodeploy.quantize.observe import Float, through
from neurodeploy.quantize.samples import real_spikes
from neurodeploy.quantize.scales import (
    MOST_CLIPPED,
    Current,
    bias_grid,
    bias_units,
    by_row,
    decay_to_dv,
    fits_sums,
    largest_vth,
    most_clipping,
    round_to,
)
from neurodeploy.quantize.unfold import convolve

Array = NDArray[Any]
TRIES = 28  # candidates that are judged by the error of the current
FINALISTS = 6  # that are judged by spikes as well
JUDGES = 64  # samples that judge them
GROUP_FACTORS = (0.8, 0.9, 1.0, 1.12, 1.25)
LEAST_GAIN = 0.03  # of the spikes that differ, by which threshold groups have to lower them
FINEST = 0.9  # of the threshold that clips nothing


@dataclass(frozen=True)
class Chosen:
    """A threshold and the integers for it. spike_error: share of spikes that differ from the float network's."""

    vth: int | Int64  # or of each output channel, as the unit
    unit: float | Float
    fit: Fit
    spike_error: float | None


@dataclass(frozen=True)
class Layer:
    """A convolution, the views and pools behind it, and the neuron that they drive."""

    path: list[Node]
    neuron: Node
    current: Current
    bits: int

    @property
    def top(self) -> int:
        """The largest integer weight."""
        return (1 << (self.bits - 1)) - 1


def choose(build: Builder, layer: Layer, seen: Seen, vth: int | None) -> Chosen | None:
    """The candidate whose spikes differ least, or the vth that the weights have chosen; None where none fits."""
    tries = [vth] if vth is not None else _tries(build, layer, seen)
    units = {vth: layer.current.threshold / vth for vth in tries}
    if len(tries) > FINALISTS:
        cost = dict(zip(tries, seen.errors([units[vth] for vth in tries], layer.top), strict=True))
        tries = sorted(tries, key=lambda vth: (cost[vth], vth))[:FINALISTS]
    made = [(vth, fit) for vth in tries if (fit := _fit(build, layer, seen, vth))]
    if not made:
        return None
    if len(made) == 1:
        return Chosen(made[0][0], units[made[0][0]], made[0][1], None)
    judge = Judge(build, layer, seen)
    judged = [Chosen(vth, units[vth], fit, judge.error(vth, fit)) for vth, fit in made]
    return min(judged, key=lambda chosen: (chosen.spike_error, chosen.fit.error))


def grouped(build: Builder, layer: Layer, seen: Seen, single: Chosen) -> Chosen:
    """The same with threshold groups, where these are asked for and worth their processes; else what it was.

    Weights tell how thresholds differ; how high they are together, spikes may tell: those around the one threshold
    compete, all of a layer by one factor.
    """
    options, current = build.options, layer.current
    power = np.einsum("gkk->gk", seen.square).repeat(seen.rows.shape[1], axis=0)
    found = choose_groups(current, layer.bits, options.threshold_groups, options.profile, build.traced.steps, power)
    if found is None or found.count == 1:
        return single
    level = np.max(single.vth) / found.alone
    factors = [level * factor for factor in GROUP_FACTORS] if options.scale == "spikes" else [1.0]
    tries = [
        np.clip(np.rint(found.vth * factor), 1, options.profile.threshold_max).astype(np.int64) for factor in factors
    ]
    kept = [vth for vth in tries if _clipped(layer, vth) <= MOST_CLIPPED]
    made = [(vth, fit) for vth in kept if (fit := _fit(build, layer, seen, vth))]
    judge = Judge(build, layer, seen)
    judged = [Chosen(vth, current.threshold / vth, fit, judge.error(vth, fit)) for vth, fit in made]
    if not judged:
        return single
    best = min(judged, key=lambda chosen: (chosen.spike_error, chosen.fit.error))
    before = judge.error(single.vth, single.fit)
    return best if (best.spike_error or 0.0) <= (1 - LEAST_GAIN) * before else single


def _tries(build: Builder, layer: Layer, seen: Seen) -> list[int]:
    """Candidates from the threshold that clips nothing to one that clips much, those that fit."""
    profile, steps = build.options.profile, build.traced.steps
    largest = float(np.abs(seen.rows).max(initial=0))
    free = layer.current.threshold * layer.top / largest if largest > 0 else 1.0
    most = free * most_clipping(layer.bits)
    limit = largest_vth(layer.current, layer.bits, steps, profile, int(min(most, profile.threshold_max)))
    factors = np.geomspace(FINEST, most / free, TRIES)
    tries = sorted({int(np.clip(free * factor, 1, limit)) for factor in factors}) if limit else []
    size = np.abs(layer.current.weight) / layer.current.threshold
    return [vth for vth in tries if (size * vth > layer.top + 0.5).mean() <= MOST_CLIPPED] or tries


def _clipped(layer: Layer, vth: Int64) -> float:
    """Share of the weights beyond the largest integer."""
    size = np.abs(layer.current.weight) / layer.current.threshold
    return float((size * by_row(vth, size) > layer.top + 0.5).mean())


def _fit(build: Builder, layer: Layer, seen: Seen, vth: int | Int64) -> Fit | None:
    """The integers at a threshold; where they leave a width, rows are shrunk to what rounding to the nearest has."""
    unit = layer.current.threshold / vth
    fit = seen.fit(unit, layer.top)
    if _holds(build, layer, vth, fit):
        return fit
    weight = layer.current.weight / by_row(unit, layer.current.weight)
    nearest = sums_of(round_to(weight, layer.bits), layer.current.axon)
    fit = seen.fit(unit, layer.top, nearest)
    return fit if _holds(build, layer, vth, fit) else None


def _holds(build: Builder, layer: Layer, vth: int | Int64, fit: Fit) -> bool:
    current, profile = layer.current, build.options.profile
    sums = sums_of(fit.integers, current.axon)
    return fits_sums(vth, current, fit.bias, sums.union(Interval(0, 0)), build.traced.steps, profile)


class Judge:
    """The float network's spikes on some samples, and what integers make of the same."""

    def __init__(self, build: Builder, layer: Layer, seen: Seen) -> None:
        self.build, self.layer, self.seen = build, layer, seen
        count = seen.inputs.shape[1]
        self.taken = slice(None, None, max(1, count // JUDGES))
        gain = 1.0 if not layer.neuron.integer("decay_input") else layer.neuron.number("decay")
        real = self._through(seen.wanted[:, self.taken]) / np.float32(gain)
        self.wanted = real_spikes(layer.neuron, real, build.traced.steps)
        self.inputs = seen.inputs[:, self.taken]

    def error(self, vth: int | Int64, fit: Fit) -> float:
        """Share of spikes that differ."""
        profile, current = self.build.options.profile, self.layer.current
        sums = convolve(self.seen.conv, fit.integers, self.inputs, np.float32).astype(np.float64)
        mantissa, exponent = bias_grid(bias_units(vth, current, fit.bias, profile), profile)
        units = sums * (1 << profile.threshold_shift)
        units += (mantissa << exponent).reshape(-1, *(1,) * (sums.ndim - 3))
        dv = decay_to_dv(current.decay, profile)
        if not isinstance(vth, int):  # one a channel, where the neurons are
            whole = by_row(vth, sums[0, 0]).astype(np.float64)
            vth = self._through(np.broadcast_to(whole, (1, 1, *sums.shape[2:])))[0, 0].astype(np.int64)
        spikes = fired_by(self._through(units), vth, dv, profile, self.build.traced.steps)
        return float((spikes != self.wanted).mean())

    def _through(self, x: Array) -> Array:
        flat = through(self.layer.path, x.reshape(-1, *x.shape[2:]))
        return flat.reshape(*x.shape[:2], *flat.shape[1:])
