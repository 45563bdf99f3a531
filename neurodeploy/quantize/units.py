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
from neurodeploy.quantize.converter import axon_of
from neurodeploy.quantize.currents import TOO_TIGHT, input_gain
from neurodeploy.quantize.scales import Judges, row_judges
from neurodeploy.quantize.streams import Share, Stream

SMALL = 0.1  # share of the rows whose weights may stay below the largest integer, whatever the unit
FINEST = 1.5  # the finest candidate clips the largest weight of such a row to so much less
DOUBLINGS = 8  # of a convolution whose weights are larger than others
TOP = 127  # units of the largest weight where no threshold counts: a read-out
OCTAVE = 8  # units that are tried between one and its double
SPREAD = 1024.0  # the ratio of the coarsest to the finest
WORST_ERROR = 0.25  # of the weights, or twice what weight_bits alone make of it: beyond, nothing is left

Handle = Callable[[Builder, Node], None]
Float = NDArray[np.float64]


def choose_unit(build: Builder, stream: Stream, handle: Handle) -> dict[str, Share]:
    """The unit of least weight error, row by row, among those for which the interval proof holds along the stream.

    Returns the share of every convolution.  handle: quantizes a node; a trial walks the stream with it.
    Raises DoesNotFitError with every bound that fails.
    """
    search = _Search(build, stream, handle)
    grid = search.grid()
    limit = _largest(grid, lambda k: not search.failed(k))
    errors = {k: search.error(k) for k in grid}
    bearable = max(WORST_ERROR, 2 * min(errors.values()))
    best = next((k for k in sorted(grid, key=lambda k: (errors[k], k)) if k <= limit and not search.failed(k)), 0)
    if not best or errors[best] > bearable:
        coarsest = next(k for k in grid if errors[k] <= bearable)
        raise DoesNotFitError(_finding(bound, build) for bound in search.failed(coarsest))
    shares = search.shares(best)
    facts = {"unit": search.unit(best), "weight_error": errors[best], "layers": list(shares)}
    build.report(stream.nodes[0], kind="stream", **facts)
    return shares


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
        self.errors: dict[tuple[str, float], float] = {}

    def _judges_of(self, conv: Node) -> Judges:
        """The weights in real units per integer axon."""
        scale = axon_of(self.build, conv).scale
        return row_judges(conv.tensors["weight"].astype(np.float64) * scale, self.build.options.bits(conv.name))

    def _base(self) -> float:
        joins = [self.build.values[name].scale for name in self.stream.joins]
        thresholds = [node.number("threshold") / input_gain(node) for node in self.stream.ends if node.op == "neuron"]
        return min(joins or thresholds or [self.finest * TOP])

    def unit(self, k: int) -> float:
        """The unit of a candidate."""
        return self.base / k

    def grid(self) -> list[int]:
        """The candidates, coarsest first; a spike that joins is an int8 weight, doubled or not."""
        finest = min(max(int(self.base / self.finest), 1), self.build.options.profile.threshold_max)
        steps = {m << e for m in range(OCTAVE, 2 * OCTAVE) for e in range(finest.bit_length())} | {*range(1, OCTAVE)}
        return sorted(k for k in steps if finest / SPREAD <= k <= finest)

    def error(self, k: int) -> float:
        """Error of the weights as a share of them, both root mean square, the mean over all rows."""
        return sum(self._error(name, k)[0] for name in self.judges) / self.rows

    def shares(self, k: int) -> dict[str, Share]:
        """Unit and doublings of every convolution."""
        return {name: Share(self.unit(k), self._error(name, k)[1]) for name in self.judges}

    def _error(self, name: str, k: int) -> tuple[float, int]:
        """Least error of a convolution, and the doublings of it."""
        units = [(self.unit(k) * (1 << n), n) for n in range(DOUBLINGS + 1)]
        for unit, _ in units:
            if (name, unit) not in self.errors:
                self.errors[name, unit] = self.judges[name].error(unit)
        return min((self.errors[name, unit], n) for unit, n in units)

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
