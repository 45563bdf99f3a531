"""The unit of a stream: the finest for which the interval proof holds along it, by least rounding error of its weights.

A trial quantizes the whole stream with a candidate, by the very handlers that quantize it in the end, and proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.graph import Node
from neurodeploy.ir.proof import Bound, node_bounds
from neurodeploy.numerics import LOIHI_LAVA, Profile
from neurodeploy.quantize.builder import Builder, Refused
from neurodeploy.quantize.coding import axon_of
from neurodeploy.quantize.currents import TOO_TIGHT, input_gain
from neurodeploy.quantize.joins import doublings
from neurodeploy.quantize.scales import SAMPLE, rounding_error
from neurodeploy.quantize.streams import Share, Stream

SMALL = 0.1  # share of the rows whose weights may stay below the largest integer, whatever the unit
FINEST = 1.5  # the finest candidate clips the largest weight of such a row to so much less
DOUBLINGS = 8  # of a convolution whose weights are larger than others
TOP = 127  # units of the largest weight where no threshold counts: a read-out
CANDIDATES, SPREAD = 32, 1024.0  # units that are tried, and the ratio of the coarsest to the finest
WORST_ERROR = 1 / 16  # of the weights' power, or twice what weight_bits alone make of it: beyond, nothing is left

Handle = Callable[[Builder, Node], None]
Float = NDArray[np.float64]


def choose_unit(build: Builder, stream: Stream, handle: Handle) -> dict[str, Share]:
    """The unit of least squared weight error among those for which the interval proof holds along the whole stream.

    Returns the share of every convolution.  handle: quantizes a node; a trial walks the stream with it.
    Raises DoesNotFitError with every bound that fails.
    """
    search = _Search(build, stream, handle)
    grid = search.grid()
    limit = _largest(grid, lambda k: not search.failed(k))
    errors = {k: search.error(k) for k in grid}
    bearable = max(WORST_ERROR, 2 * min(errors.values()))
    best = next((k for k in sorted(grid, key=errors.__getitem__) if k <= limit and not search.failed(k)), 0)
    if not best or errors[best] > bearable:
        coarsest = next(k for k in grid if errors[k] <= bearable)
        raise DoesNotFitError(_finding(bound, build) for bound in search.failed(coarsest))
    shares = search.shares(best)
    facts = {"unit": search.unit(best), "weight_error": errors[best], "layers": list(shares)}
    build.report(stream.nodes[0], kind="stream", **facts)
    return shares


@dataclass(frozen=True)
class _Judges:
    """Weights of a convolution that stand for all of them. count: how many each stands for, over its row's power.

    So a row's error is a share of what it drives: batch norm gives all rows the same variance, whatever their weights.
    tops: the finest unit, a row each, that clips nothing.
    """

    weight: Float
    count: Float
    tops: Float
    bits: int

    def error(self, unit: float) -> tuple[float, int]:
        """Least squared rounding error, summed over the rows, each as a share of its power; the doublings of it."""
        tries = range(DOUBLINGS + 1)
        return min((rounding_error(self.weight, self.count, unit * (1 << n), self.bits), n) for n in tries)


def _judges(weight: Float, bits: int) -> _Judges:
    rows = weight.reshape(len(weight), -1)
    power = np.square(rows).sum(axis=1)
    step = max(1, -(-rows.size // SAMPLE))
    while gcd(step, rows.shape[1]) > 1:  # so that all columns are seen
        step += 1
    seen = np.arange(0, rows.size, step)
    counts = rows.size / len(seen) / np.where(power > 0, power, 1.0)
    tops = np.abs(rows[power > 0]).max(axis=1) / ((1 << (bits - 1)) - 1)
    return _Judges(rows.reshape(-1)[seen], counts[seen // rows.shape[1]], tops, bits)


class _Search:
    """Units base / k for whole k: so that a threshold, or a joining spike, is a whole number of units."""

    def __init__(self, build: Builder, stream: Stream, handle: Handle) -> None:
        self.build, self.stream, self.handle = build, stream, handle
        self.judges = {conv.name: self._judges_of(conv) for conv in stream.convs}
        tops = np.concatenate([judges.tops for judges in self.judges.values()])
        self.finest = float(np.quantile(tops, SMALL)) / FINEST if tops.size else 1.0
        self.rows = max(tops.size, 1)
        self.base = self._base()
        self.bounds: dict[int, list[Bound]] = {}
        self.errors: dict[tuple[str, int], tuple[float, int]] = {}

    def _judges_of(self, conv: Node) -> _Judges:
        """The weights in real units per integer axon."""
        scale = axon_of(self.build, conv).scale
        return _judges(conv.tensors["weight"].astype(np.float64) * scale, self.build.options.bits(conv.name))

    def _base(self) -> float:
        joins = [self.build.values[name].scale for name in self.stream.joins]
        thresholds = [node.number("threshold") / input_gain(node) for node in self.stream.ends if node.op == "neuron"]
        return min(joins or thresholds or [self.finest * TOP])

    def unit(self, k: int) -> float:
        """The unit of a candidate."""
        return self.base / k

    def grid(self) -> list[int]:
        """The candidates, coarsest first; a spike that joins is an int8 weight, doubled or not."""
        most = self.build.options.profile.threshold_max
        finest = min(max(self.base / self.finest, 1.0), most)
        tries = np.geomspace(max(finest / SPREAD, 1.0), finest, CANDIDATES)
        if not self.stream.joins:
            return sorted({int(k) for k in tries})
        steps = [(int(k), 1 << doublings(int(k))) for k in tries]
        return sorted({k // step * step for k, step in steps})

    def error(self, k: int) -> float:
        """Squared error of the weights as a share of their power, the mean over all rows."""
        return sum(self._error(name, k)[0] for name in self.judges) / self.rows

    def shares(self, k: int) -> dict[str, Share]:
        """Unit and doublings of every convolution."""
        return {name: Share(self.unit(k), self._error(name, k)[1]) for name in self.judges}

    def _error(self, name: str, k: int) -> tuple[float, int]:
        if (name, k) not in self.errors:
            self.errors[name, k] = self.judges[name].error(self.unit(k))
        return self.errors[name, k]

    def failed(self, k: int) -> list[Bound]:
        """The bounds of the stream that fail; none where a node is refused anyway, which the walk tells."""
        if k not in self.bounds:
            self.bounds[k] = [bound for bound in self._trial(self.shares(k)) if not bound.holds]
        return self.bounds[k]

    def _trial(self, shares: dict[str, Share]) -> Iterator[Bound]:
        build, known = self.build, dict(self.build.types)
        trial = replace(build, nodes=[], types=known, values=dict(build.values), codes={}, choices=[], shares=shares)
        try:
            for node in (*self.stream.nodes, *self.stream.ends):
                self.handle(trial, node)
            for conv in self.stream.coding:
                axon_of(trial, conv)
        except Refused:
            return
        for node in trial.nodes:
            yield from node_bounds(node, known, build.traced.steps, build.options.profile)


def _largest(grid: list[int], fits: Callable[[int], bool]) -> int:
    """The finest candidate that fits, by bisection; 0 where none does."""
    low, high = -1, len(grid)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(grid[middle]):
            low = middle
        else:
            high = middle
    return grid[low] if low >= 0 else 0


def _finding(bound: Bound, build: Builder) -> Finding:
    """What is too wide, where, and what to do about it."""
    bits, most = bound.interval.magnitude.bit_length(), bound.limit.magnitude.bit_length()
    need = f"{bound.quantity} of {bits} bits: worst case {bound.interval} with weights as coarse as can be"
    have = f"{most} bits in profile {build.options.profile.name}"
    return Finding(TOO_TIGHT, bound.layer, need, have, _next(build.options.profile), bound.source)


def _next(profile: Profile) -> str:
    if profile == LOIHI_LAVA:
        return 'compile it with target "cpu", which the CPU backends run; or put a spiking neuron into the shortcut'
    return "put a spiking neuron into the shortcut, or average fewer tokens"
