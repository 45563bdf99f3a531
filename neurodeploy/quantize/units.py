"""The unit of a stream: the finest for which the interval proof holds along it, by least rounding error of its weights.

A trial quantizes the whole stream with a candidate, by the very handlers that quantize it in the end, and proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.graph import Node
from neurodeploy.ir.proof import Bound, node_bounds
from neurodeploy.numerics import LOIHI_LAVA, Profile
from neurodeploy.quantize.builder import Builder, Refused
from neurodeploy.quantize.currents import JOIN_MOST, TOO_TIGHT, input_gain
from neurodeploy.quantize.options import MOST_BITS
from neurodeploy.quantize.scales import rounding_error, sample
from neurodeploy.quantize.streams import Stream

FINEST = 3.0  # a candidate clips the stream's largest weight at a third of it at most
CANDIDATES, SPREAD = 48, 64.0  # units that are tried, and the ratio of the coarsest to the finest
WORST_ERROR = 1 / 16  # of the weights' power, or twice what weight_bits alone make of it: beyond, nothing is left

Handle = Callable[[Builder, Node], None]
Float = NDArray[np.float64]


def choose_unit(build: Builder, stream: Stream, handle: Handle) -> float:
    """The unit of least squared weight error among those for which the interval proof holds along the whole stream.

    handle: quantizes a node; a trial walks the stream with it.  Raises DoesNotFitError with every bound that fails.
    """
    search = _Search(build, stream, handle)
    grid = search.grid()
    limit = _largest(grid, search.fits)
    errors = {k: search.error(k) for k in grid}
    bearable = max(WORST_ERROR, 2 * min(errors.values()))
    best = next((k for k in sorted(grid, key=errors.__getitem__) if k <= limit and search.fits(k)), 0)
    if not best or errors[best] > bearable:
        coarsest = next(k for k in grid if errors[k] <= bearable)
        raise DoesNotFitError(_finding(bound, build) for bound in search.failed(coarsest))
    build.report(
        stream.nodes[0],
        kind="stream",
        unit=search.unit(best),
        weight_error=errors[best],
        layers=[conv.name for conv in stream.convs],
    )
    return search.unit(best)


class _Search:
    """Units base / k for whole k: so that a threshold, or a joining spike, is a whole number of units."""

    def __init__(self, build: Builder, stream: Stream, handle: Handle) -> None:
        self.build, self.stream, self.handle = build, stream, handle
        self.largest = max(self._tops()) or 1.0
        self.base = self._base()
        self.samples = [(*sample(weight, self._least_clipped(name)), name) for name, weight in self._weights()]
        self.power = sum(float((count * np.square(part)).sum()) for part, count, _ in self.samples) or 1.0
        self.bounds: dict[int, list[Bound]] = {}

    def _weights(self) -> Iterator[tuple[str, Float]]:
        """Name and weights of each convolution in real units per integer axon."""
        for conv in self.stream.convs:
            scale = self.build.values[conv.inputs[0]].scale
            yield conv.name, conv.tensors["weight"].astype(np.float64) * scale

    def _tops(self) -> list[float]:
        """For each convolution the finest unit that clips none of its weights."""
        return [float(np.abs(weight).max()) / _top(self._bits(name)) for name, weight in self._weights()]

    def _bits(self, name: str) -> int:
        return self.build.options.bits(name)

    def _least_clipped(self, name: str) -> float:
        """The least weight that some candidate clips."""
        return self.largest / FINEST * _top(self._bits(name))

    def _base(self) -> float:
        joins = [self.build.values[name].scale for name in self.stream.joins]
        thresholds = [node.number("threshold") / input_gain(node) for node in self.stream.ends if node.op == "neuron"]
        return min(joins or thresholds or [self.largest * _top(MOST_BITS)])

    def unit(self, k: int) -> float:
        """The unit of a candidate."""
        return self.base / k

    def grid(self) -> list[int]:
        """The candidates, coarsest first."""
        most = JOIN_MOST if self.stream.joins else self.build.options.profile.threshold_max
        finest = min(max(FINEST * self.base / self.largest, 1.0), most)
        return sorted({max(int(k), 1) for k in np.geomspace(finest / SPREAD, finest, CANDIDATES)})

    def error(self, k: int) -> float:
        """Squared error of the weights as a share of their power."""
        unit = self.unit(k)
        errors = (rounding_error(part, count, unit, self._bits(name)) for part, count, name in self.samples)
        return sum(errors) / self.power

    def fits(self, k: int) -> bool:
        """Whether every bound of the stream holds."""
        return not self.failed(k)

    def failed(self, k: int) -> list[Bound]:
        """The bounds of the stream that fail; none where a node is refused anyway, which the walk tells."""
        if k not in self.bounds:
            self.bounds[k] = [bound for bound in self._trial(self.unit(k)) if not bound.holds]
        return self.bounds[k]

    def _trial(self, unit: float) -> Iterator[Bound]:
        build, names = self.build, [conv.name for conv in self.stream.convs]
        known, values = dict(build.types), dict(build.values)
        units = {**build.units, **dict.fromkeys(names, unit)}
        trial = replace(build, nodes=[], types=known, values=values, choices=[], units=units)
        try:
            for node in (*self.stream.nodes, *self.stream.ends):
                self.handle(trial, node)
        except Refused:
            return
        for node in trial.nodes:
            yield from node_bounds(node, known, build.traced.steps, build.options.profile)


def _top(bits: int) -> int:
    return (1 << (bits - 1)) - 1


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
