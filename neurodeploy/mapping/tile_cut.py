"""One population cut into equal boxes: the box with the fewest tiles, its classes, and what each tile uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import product
from math import prod

import numpy as np

from neurodeploy.ir.chip import Cut, Shape, Tile, TileClass, Use
from neurodeploy.mapping.tile_inputs import Counts, Input, Output, View, columns_of
from neurodeploy.numerics import Int64
from neurodeploy.targets import Target

MOST_CANDIDATES = 40_000  # boxes tried a population
LIMITED = ("neurons", "axons_in", "axons_out", "synapses", "synapse_memory", "rows", "columns")


@dataclass(frozen=True)
class CutPlan:
    """What is needed to cut one population for a target."""

    view: View
    outputs: tuple[Output, ...]
    target: Target

    @cached_property
    def crossbar(self) -> bool:
        """Whether tiles are arrays of rows and columns."""
        return self.target.kind == "crossbar"

    @cached_property
    def columns(self) -> int:
        """Columns that a neuron takes."""
        return columns_of(self.view, self.target) if self.crossbar else 0

    @cached_property
    def channels(self) -> frozenset[int]:
        """Axes along which neurons have columns of their own: all, or those of the channels where places take turns."""
        first = next((one for one in self.view.inputs if one.turns), None)
        every = range(len(self.view.shape))
        return frozenset(i for i in every if first is None or first.factors.axes[i].channel)

    @cached_property
    def limits(self) -> dict[str, int]:
        """The limits of a tile that are known."""
        known = {name: self.target.limit(name) for name in LIMITED}
        return {name: limit for name, limit in known.items() if limit is not None}

    def steps(self) -> list[list[int]]:
        """Sizes of boxes worth a try along each axis of the view: those that cut it into equal pieces."""
        if self.view.flat:
            return [contiguous(self.view.neurons.shape)]
        found = [even(n) if axis in self.channels else [n] for axis, n in enumerate(self.view.shape)]
        while prod(map(len, found)) > MOST_CANDIDATES:
            longest = max(range(len(found)), key=lambda axis: len(found[axis]))
            kept = found[longest]
            found[longest] = sorted({kept[0], *kept[::2], kept[-1]})
        return found

    def needs(self, neurons: Int64, held: Int64, out: Int64, pieces: Sequence[tuple[Counts, Int64, Int64]]) -> Needs:
        """What a tile needs: its neurons, those with columns of their own, axons out, and of each input the counts and
        the chunks. Numbers or arrays.
        """
        found = dict.fromkeys(LIMITED, neurons * 0) | {"neurons": neurons, "axons_out": out}
        if self.columns:
            found["columns"] = held * self.columns
        for one, (counts, start, stop) in zip(self.view.inputs, pieces, strict=True):
            for name, value in one.needs(counts, start, stop).items():
                found[name] = found[name] + value
        return found


Needs = dict[str, Int64]


class Peaks:
    """The most that a tile needs over all boxes, for every candidate at once: arrays with one axis an axis of boxes."""

    def __init__(self, plan: CutPlan, steps: list[list[int]]) -> None:
        self.plan = plan
        self.boxes = _outer(
            [np.array([-(-n // s) for s in own]) for n, own in zip(plan.view.shape, steps, strict=True)]
        )
        self.neurons = _outer([np.array(own) for own in steps])
        self.held = _outer([np.array(own if a in plan.channels else [1]) for a, own in enumerate(steps)])
        self.out = sum((self._out(output, steps) for output in plan.outputs), self.neurons * 0)
        self.counts = [self._counts(one, steps) for one in plan.view.inputs]

    def _out(self, output: Output, steps: list[list[int]]) -> Int64:
        axes = [np.array([output.table(a, s).max() for s in own]) for a, own in enumerate(steps)]
        return _outer(axes) * output.each

    def _counts(self, one: Input, steps: list[list[int]]) -> Counts:
        pairs = zip(one.factors.axes, steps, strict=True)
        axes = [np.array([axis.table(s).max(axis=1) for s in own], np.int64).T for axis, own in pairs]
        return counts_of(axes, self.plan.channels)

    def needs(self, parts: Int64) -> Needs:
        """What the largest tile needs, at most; parts: of the fan-in, for each candidate."""
        chunks = [one.chunks for one in self.plan.view.inputs]
        pieces = [(c, parts * 0, -(-n // parts)) for c, n in zip(self.counts, chunks, strict=True)]
        return self.plan.needs(self.neurons, self.held, self.out, pieces)

    def fits(self, parts: Int64) -> Int64:
        """1 where every tile stays within all limits."""
        needs = self.needs(parts)
        inside = (needs[name] <= limit for name, limit in self.plan.limits.items())
        return np.asarray(reduce(np.logical_and, inside, self.neurons > 0), np.int64)

    def fewest_parts(self) -> Int64:
        """The fewest parts of the fan-in that fit, for each candidate; 0 where none does.

        Cores take parts, which need neurons of their own, where there is no other way; arrays wherever it saves tiles.
        """
        one = np.ones_like(self.boxes)
        whole = self.fits(one)
        if not self.plan.target.adds_partial_sums or (whole.any() and not self.plan.crossbar):
            return whole
        low, high = one, one * max((one.chunks for one in self.plan.view.inputs), default=1)
        possible = self.fits(high)
        while (low < high).any():
            middle = (low + high) // 2
            enough = self.fits(middle) == 1
            high, low = np.where(enough, middle, high), np.where(enough, low, np.minimum(middle + 1, high))
        return np.asarray(high * possible)

    def best(self, steps: list[list[int]]) -> tuple[Shape, int] | None:
        """(step along each axis of the view, parts) with the fewest tiles, then the fewest axons; None: none fits."""
        parts = self.fewest_parts()
        fits = np.flatnonzero(parts.reshape(-1))
        if not fits.size:
            return None
        tiles = self.boxes * parts
        axons = self.needs(np.maximum(parts, 1))["axons_in"] * tiles
        order = np.lexsort((axons.reshape(-1)[fits], tiles.reshape(-1)[fits]))
        found = np.unravel_index(fits[order[0]], parts.shape)
        return tuple(own[int(i)] for own, i in zip(steps, found, strict=True)), int(parts[found])


@dataclass(frozen=True)
class Measure:
    """What each tile of a cut uses; step: along the axes of the view."""

    plan: CutPlan
    step: Shape
    parts: int
    _known: dict[tuple[Shape, int], Use] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, tile: Tile) -> Use:
        """What a tile uses."""
        return self.use(self.place(tile), tile.part)

    def place(self, tile: Tile) -> Shape:
        """The place of a tile in the view's grid."""
        if not self.plan.view.flat:
            return tile.index
        first = int(np.ravel_multi_index(tile.box.start, self.plan.view.neurons.shape))
        return (first // self.step[0],)

    def rows(self, tile: Tile) -> tuple[int, ...]:
        """Rows of a tile that each input has."""
        pieces = zip(self.plan.view.inputs, self._given(self.place(tile), tile.part), strict=True)
        return tuple(int(one.needs(*piece)["rows"]) for one, piece in pieces)

    def places(self, tile: Tile) -> int:
        """Neurons that share a column of a tile, taking turns at it; 1 where each has columns of its own."""
        own = prod(n for axis, n in enumerate(tile.box.shape) if axis in self.plan.channels)
        return 1 if self.plan.view.flat else tile.box.size // own

    def use(self, index: Shape, part: int) -> Use:
        """What the tile at a place of the view's grid uses.

        Tiles that use the same are measured once.
        """
        alike = tuple(int(first[i]) for first, i in zip(self._alike, index, strict=True))
        if (alike, part) not in self._known:
            self._known[alike, part] = self._measured(alike, part)
        return self._known[alike, part]

    def _measured(self, index: Shape, part: int) -> Use:
        """On a crossbar the first part of a box has its neurons, and the others send it their sums; they have none."""
        extents = [min(s, n - i * s) for n, s, i in zip(self.plan.view.shape, self.step, index, strict=True)]
        held = prod(n for axis, n in enumerate(extents) if axis in self.plan.channels)
        first = not (part and self.plan.crossbar)
        axes = [
            [output.table(a, s)[i] for a, (s, i) in enumerate(zip(self.step, index, strict=True))]
            for output in self.plan.outputs
        ]
        out = sum(prod(map(int, own)) * o.each for own, o in zip(axes, self.plan.outputs, strict=True))
        found = self.plan.needs(np.int64(prod(extents)), np.int64(held), np.int64(out), self._given(index, part))
        needs = {name: int(value) for name, value in found.items()}
        needs |= {} if first else {"neurons": 0, "axons_out": 0}
        most = self.plan.target.limit("active_rows")
        active = needs["rows"] if most is None else min(needs["rows"], most)
        return Use(**needs, active_rows=active)

    def _given(self, index: Shape, part: int) -> list[tuple[Counts, Int64, Int64]]:
        """Of each input, the counts of the box and the chunks of the part."""
        pieces = [map(np.int64, one.piece(part, self.parts)) for one in self.plan.view.inputs]
        return [(self._counts(one, index), *piece) for one, piece in zip(self.plan.view.inputs, pieces, strict=True)]

    def _counts(self, one: Input, index: Shape) -> Counts:
        pairs = zip(one.factors.axes, self.step, index, strict=True)
        return counts_of([axis.table(s)[:, i] for axis, s, i in pairs], self.plan.channels)

    def classes(self, population: str) -> tuple[TileClass, ...]:
        """Tiles that use the same, counted; the grid is never walked."""
        axes, found = [self._distinct(axis) for axis in range(len(self.step))], dict[Use, tuple[int, Tile]]()
        for part, parts in self._pieces():
            for places in product(*axes):
                index, count = tuple(i for i, _ in places), parts * prod(n for _, n in places)
                use = self.use(index, part)
                before, example = found.get(use) or (0, self._tile(population, index, part))
                found[use] = before + count, example
        return tuple(TileClass(use, count, example) for use, (count, example) in found.items())

    def _distinct(self, axis: int) -> list[tuple[int, int]]:
        """(place, boxes like it) along an axis of the grid."""
        places, counts = np.unique(self._alike[axis], return_counts=True)
        return list(zip(places.tolist(), counts.tolist(), strict=True))

    @cached_property
    def _alike(self) -> list[Int64]:
        """Along each axis of the grid, the first place whose boxes use the same, [boxes]."""
        return [self._firsts(axis) for axis in range(len(self.step))]

    def _firsts(self, axis: int) -> Int64:
        n, step = self.plan.view.shape[axis], self.step[axis]
        extents = np.minimum(step, n - np.arange(-(-n // step)) * step)
        tables = [one.factors.axes[axis].table(step) for one in self.plan.view.inputs]
        tables += [output.table(axis, step)[None] for output in self.plan.outputs]
        whole = np.concatenate([extents[None], *tables])
        _, first, same = np.unique(whole, axis=1, return_index=True, return_inverse=True)
        return np.asarray(first[same.reshape(-1)])

    def _pieces(self) -> list[tuple[int, int]]:
        """(part, parts like it) of the fan-in."""
        found: dict[object, list[int]] = {}
        for part in range(self.parts):
            ends = [(one.taps, *one.piece(part, self.parts)) for one in self.plan.view.inputs]
            alike = tuple((start % taps, stop - start) for taps, start, stop in ends)
            found.setdefault((part == 0, alike), []).append(part)
        return [(parts[0], len(parts)) for parts in found.values()]

    def cut(self, population: str) -> Cut:
        """The cut in the population's own shape."""
        shape = self.plan.view.neurons.shape
        return Cut(population, shape, self._own_step, self.parts, self.classes(population), self)

    @cached_property
    def _own_step(self) -> Shape:
        """The box along the population's own axes."""
        if not self.plan.view.flat:
            return self.step
        shape, sizes, inner = self.plan.view.neurons.shape, list[int](), 1
        for n in reversed(shape):
            sizes.append(min(n, max(1, self.step[0] // inner)))
            inner *= n
        return tuple(reversed(sizes))

    def _tile(self, population: str, index: Shape, part: int) -> Tile:
        shape = self.plan.view.neurons.shape
        cut = Cut(population, shape, self._own_step, self.parts, (), self)
        own = tuple(map(int, np.unravel_index(index[0], cut.counts))) if self.plan.view.flat else index
        return cut.tile(own, part)


def counts_of(axes: Sequence[Int64], channels: frozenset[int]) -> Counts:
    """The product of tables [3, ...] of all axes, as an outer one where they have candidates."""
    ones = [axis if a in channels else axis * 0 + 1 for a, axis in enumerate(axes)]
    return Counts(
        *(_outer([axis[k] for axis in axes]) for k in range(3)), *(_outer([one[k] for one in ones]) for k in (1, 2))
    )


def _outer(axes: Sequence[Int64]) -> Int64:
    return np.asarray(reduce(np.multiply.outer, axes, np.ones((), np.int64)), np.int64)


def even(n: int) -> list[int]:
    """Sizes of boxes that cut n into equal pieces, but for the last: one for each number of pieces."""
    return sorted({-(-n // pieces) for pieces in range(1, n + 1)})


def contiguous(shape: Shape) -> list[int]:
    """Numbers of neurons of boxes whose neurons follow one another: parts of an axis, whole along those after it."""
    found = set[int]()
    for axis, n in enumerate(shape):
        inner = prod(shape[axis + 1 :])
        alone = prod(shape[:axis]) == 1
        found.update(size * inner for size in even(n) if alone or n % size == 0)
    return sorted(found)
