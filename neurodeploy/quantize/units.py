"""The unit of a stream: the finest for which the interval proof holds along it, by least rounding error of its weights.

A trial quantizes the whole stream with a candidate, by the very handlers that quantize it in the end, and proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.graph import Node
from neurodeploy.ir.proof import Bound, node_bounds
from neurodeploy.numerics import Profile
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
    best = search.best()
    if failed := search.failed(best):
        raise DoesNotFitError(_finding(bound, build) for bound in failed)
    shares = search.shares(best)
    facts = {"unit": search.unit(best), "weight_error": search.error(best), "layers": list(shares)}
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
        self.trials: dict[int, list[Bound] | None] = {}
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

    def best(self) -> int:
        """The candidate of least error that holds; where that one is beyond bearing, the coarsest that is not.

        Where every candidate is refused, that of least error: the walk then tells what is refused, node by node.
        """
        grid = self.grid()
        by_error = sorted(grid, key=lambda k: (self.error(k), k))
        limit = self._finest_that_fits(grid)
        best = next((k for k in by_error if k <= limit and self._fits(k)), None)
        if best is not None and self.error(best) <= WORST_ERROR:
            return best
        least = next((k for k in by_error if not self.refused(k)), by_error[0])
        bearable = max(WORST_ERROR, 2 * self.error(least))
        if best is not None and self.error(best) <= bearable:
            return best
        return next((k for k in grid if self.error(k) <= bearable and not self.refused(k)), least)

    def _finest_that_fits(self, grid: list[int]) -> int:
        """By bisection among the candidates that no handler refuses; 0 where none of them fits."""
        known, low, high = list(grid), -1, len(grid)
        while high - low > 1:
            middle = (low + high) // 2
            if self.refused(known[middle]):
                del known[middle]
                high -= 1
            elif self._fits(known[middle]):
                low = middle
            else:
                high = middle
        return known[low] if low >= 0 else 0

    def refused(self, k: int) -> bool:
        """Whether a handler refuses a candidate: a joining spike is a whole number of units at one, not at the next."""
        return self._trial(k) is None

    def failed(self, k: int) -> list[Bound]:
        """The bounds of the stream that fail; none where a node is refused, which the walk tells."""
        return [bound for bound in self._trial(k) or () if not bound.holds]

    def _fits(self, k: int) -> bool:
        return not (self.refused(k) or self.failed(k))

    def _trial(self, k: int) -> list[Bound] | None:
        """The bounds of the stream with a candidate; None where a node is refused."""
        if k not in self.trials:
            try:
                self.trials[k] = list(self._walked(self.build.trial(self.shares(k))))
            except Refused:
                self.trials[k] = None
        return self.trials[k]

    def _walked(self, trial: Builder) -> Iterator[Bound]:
        for node in (*self.stream.nodes, *self.stream.ends):
            self.handle(trial, node)
        for conv in self.stream.coding:
            axon_of(trial, conv)
        for node in trial.nodes:
            yield from node_bounds(node, trial.types, trial.traced.steps, trial.options.profile)


def _finding(bound: Bound, build: Builder) -> Finding:
    """What is too wide, where, and what to do about it."""
    bits, most = bound.interval.magnitude.bit_length(), bound.limit.magnitude.bit_length()
    need = f"{bound.quantity} of {bits} bits: worst case {bound.interval} with weights as coarse as can be"
    have = f"{most} bits in profile {build.options.profile.name}"
    return Finding(TOO_TIGHT, bound.layer, need, have, _next(build.options.profile), bound.source)


def _next(profile: Profile) -> str:
    if profile.chip:
        return 'compile it with target "cpu", which the CPU backends run; or put a spiking neuron into the shortcut'
    return "put a spiking neuron into the shortcut, or average fewer tokens"
