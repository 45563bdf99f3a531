"""Maxima that calibration runs showed, beside the bounds of the spike-count constraint.

A row is active in a step where its axon carries anything but 0. A run proves nothing; it shows how far from its bound a
network is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Cut, Filters, Grid, Synapses, Tile, Tiling
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.bill_activity import Rates, arriving
from neurodeploy.mapping.constraint import Constraint, measure_of
from neurodeploy.mapping.tile_inputs import Input
from neurodeploy.numerics import Int64

MOST_TILES = 64  # of a population that are looked at; of more, an example of each class


@dataclass(frozen=True)
class Observed:
    """A constraint and what was seen of it; None where a population that feeds the tile was not recorded.

    active: most rows of a tile that were active in one step; of an accumulator, axons of a neuron (of weight not 0).
    sums: least and most that a neuron received (accumulators).  steps: that were looked at.
    """

    constraint: Constraint
    active: int | None
    sums: Interval | None
    steps: int


@dataclass
class TileObserver:
    """Takes the values of one time step after another.  tiling, found: as `tile` and `constraints` gave them."""

    tiling: Tiling
    found: Sequence[Constraint]
    steps: int = 0
    _active: dict[int, int] = field(default_factory=dict)
    _sums: dict[int, Interval] = field(default_factory=dict)

    def step(self, values: Mapping[str, NDArray[np.generic]]) -> None:
        """Look at one step: population -> what its neurons sent, of its shape."""
        known = {name: np.asarray(value, np.float64) for name, value in values.items()}
        self.steps += 1
        for place, one in enumerate(self.found):
            inputs = self.tiling.network.inputs(one.population)
            own = [s for s in inputs if one.port in ("", s.port)]
            if all(s.source in known for s in own):
                look = self._accumulator if one.quantity == "accumulator" else self._converter
                look(place, own, known)

    def results(self) -> tuple[Observed, ...]:
        """One for each constraint, in order."""
        every = enumerate(self.found)
        return tuple(Observed(one, self._active.get(i), self._sums.get(i), self.steps) for i, one in every)

    def _accumulator(self, place: int, inputs: list[Synapses], known: Mapping[str, Rates]) -> None:
        came = sum(arriving(s, known[s.source], weighted=True) for s in inputs)
        axons = sum(arriving(s, (known[s.source] != 0).astype(np.float64)) for s in inputs)
        seen = Interval(int(np.min(came)), int(np.max(came)))
        self._sums[place] = self._sums.get(place, seen).union(seen)
        self._active[place] = max(self._active.get(place, 0), int(np.max(axons)))

    def _converter(self, place: int, inputs: list[Synapses], known: Mapping[str, Rates]) -> None:
        cut = self.tiling.cuts[self.found[place].population]
        active = {s.source: known[s.source].reshape(-1) != 0 for s in inputs}
        most = max(_active_rows(cut, one, active) for one in self._tiles(place, cut))
        self._active[place] = max(self._active.get(place, 0), most)

    def _tiles(self, place: int, cut: Cut) -> list[Tile]:
        """The tiles of a constraint's class; of many, one."""
        before = [one for one in self.found[:place] if one.quantity == "converter" and one.population == cut.population]
        kind = cut.classes[len(before)]
        if cut.count > MOST_TILES:
            return [kind.example]
        every = (cut.tile(tuple(map(int, at)), part) for at in np.ndindex(*cut.counts) for part in range(cut.parts))
        return [one for one in every if cut.use(one) == kind.use]


def _active_rows(cut: Cut, tile: Tile, active: Mapping[str, NDArray[np.bool_]]) -> int:
    """Active rows of a tile in a step, at the place of its layer where they are most."""
    measure, total = measure_of(cut), np.zeros(1, np.int64)
    for one in measure.plan.view.inputs:
        if one.rows:
            total = total + one.rows * _rows_of(one, tile, cut, active[one.synapses.source])
    return int(np.max(total))


def _rows_of(one: Input, tile: Tile, cut: Cut, active: NDArray[np.bool_]) -> Int64:
    """Active axons [places] of an input."""
    measure = measure_of(cut)
    index = measure.place(tile)
    start, stop = one.piece(tile.part, cut.parts)
    pairs = zip(one.factors.axes, measure.step, index, strict=True)
    inside = [np.unique(axis.source[axis.coordinate // step == i]) for axis, step, i in pairs]
    if one.turns and isinstance(one.synapses.pattern, Filters):
        channels = _sums(inside[a] for a in measure.plan.channels)
        return _windows(one, one.synapses.pattern, channels, (start, stop), active)
    chunk = _sums(loop.source for loop in one.factors.rest)
    chunk = chunk[start:stop] if one.chunks > 1 else chunk
    own = [part for axis, part in enumerate(inside) if axis in measure.plan.channels or not one.turns]
    places = [axis.source for a, axis in enumerate(one.factors.axes) if one.turns and a not in measure.plan.channels]
    rows = np.unique(_sums([*own, chunk]))
    at = one.factors.first + _sums(places)[:, None] + rows
    return np.asarray(active[at].sum(axis=1), np.int64)


def _sums(parts: Iterable[Int64]) -> Int64:
    """Every sum of one element of each, in C order."""
    total = np.zeros(1, np.int64)
    for part in parts:
        total = (total[:, None] + part).reshape(-1)
    return total


def _windows(one: Input, filters: Filters, groups: Int64, piece: tuple[int, int], active: NDArray[np.bool_]) -> Int64:
    """Active rows at every place of a convolution whose array holds a piece of its fan-in."""
    synapses = one.synapses
    mask = np.zeros(filters.weight[0].size, np.int64)
    mask[slice(*piece)] = 1
    shape = (1, *filters.size_out)
    total = np.zeros(shape[1] * shape[2])
    for group in groups.tolist():
        source = Grid(filters.source.channel, filters.source.row, filters.source.column, filters.source.offset + group)
        target = Grid(shape[1] * shape[2], shape[2], 1)
        weight = mask.reshape(1, *filters.weight.shape[1:])
        sizes = (filters.stride, filters.padding, 1, filters.size_in, filters.size_out)
        seen = Synapses(synapses.name, "", "", Filters(weight, *sizes, source, target), synapses.source_shape, shape)
        total += arriving(seen, active.reshape(synapses.source_shape).astype(np.float64), weighted=True)
    return total.astype(np.int64)
