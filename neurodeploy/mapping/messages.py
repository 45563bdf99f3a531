"""Messages from core to core: of each neuron one to every core that listens, however many of its tiles or crossbars do.

Inputs are products (`tile_counts.Factors`): the axons of a tile are the sums of one move along each axis of its box and
one of the moves that every neuron goes through, of which a part of the fan-in has its share. Cores that listen to the
same neurons are counted together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Cut, Shape, Tiling
from neurodeploy.mapping.tile_cut import Measure
from neurodeploy.mapping.tile_inputs import Input
from neurodeploy.numerics import Int64

Float64 = NDArray[np.float64]
Rates = Mapping[str, Float64]
Heard = tuple[int, tuple[int, ...]]  # the first axon, and the numbers of the sets of moves from there
MOST_AXONS = 50_000_000  # of cores that listen to different neurons; beyond, the estimate stands


@dataclass(frozen=True)
class Messages:
    """source, target: int64 [pairs] cores, each pair once.  sent: float64 [pairs], messages a step from the one.

    host: messages a step from the source, which lies in no core.  sums: of these, what parts of a fan-in send to the
    first of them, at most: one a neuron and step, as nobody knows how often a part's sum is zero.
    """

    source: Int64
    target: Int64
    sent: Float64
    host: float
    sums: float


def messages_of(tiling: Tiling, core: Int64, cores: int, rates: Rates | None = None) -> Messages | None:
    """The messages of a step; None where more than MOST_AXONS axons would have to be looked at, or where a cut is none
    of `neurodeploy.mapping.tiles`, which alone knows the axons of its parts.

    core: int64 [tiles], 0..cores-1, in the numbers of `first_tiles`.  rates: population -> messages a neuron and step,
    float64 of its shape or 0-d; one for any other.
    """
    if not all(isinstance(cut.measure, Measure) for cut in tiling.cuts.values()):
        return None
    sets = _Sets()
    groups = _groups(tiling, core, sets)
    if sum(sets.size(heard) for _, all_heard in groups for heard in all_heard) > MOST_AXONS:
        return None
    homes = {name: _Homes.of(cut, own) for name, cut, own in _tiles(tiling, core)}
    found, host, given = _Pairs(cores), 0.0, rates or {}
    for (source, all_heard), listening in groups.items():
        axons = sets.union(all_heard, tiling.network.by_name[source].size)
        rate = np.asarray(given.get(source, 1.0), np.float64)
        each = np.full(len(axons), float(rate)) if rate.ndim == 0 else rate.reshape(-1)[axons]
        if source in homes:
            found.add(*homes[source].sent(axons, each), listening)
        else:
            host += float(each.sum()) * len(listening)
    sums = sum(found.sums(cut, own) for _, cut, own in _tiles(tiling, core) if cut.parts > 1)
    return Messages(*found.added(), host, sums)


def first_tiles(tiling: Tiling) -> dict[str, int]:
    """Population -> the number of its first tile. Tiles count in the order of the network, of boxes, then of parts."""
    names = [neurons.name for neurons in tiling.network.neurons if neurons.name in tiling.cuts]
    starts = accumulate((tiling.cuts[name].count for name in names), initial=0)
    return dict(zip(names, starts, strict=False))


def box_sizes(cut: Cut) -> Float64:
    """Neurons of each box, flat."""
    sizes = np.ones(1)
    for length, step in zip(cut.shape, cut.step, strict=True):
        sizes = np.outer(sizes, np.diff(np.append(np.arange(0, length, step), length))).ravel()
    return sizes


def _tiles(tiling: Tiling, core: Int64) -> Iterator[tuple[str, Cut, Int64]]:
    """(population, cut, cores of its tiles [boxes, parts])."""
    for name, first in first_tiles(tiling).items():
        cut = tiling.cuts[name]
        yield name, cut, core[first : first + cut.count].reshape(-1, cut.parts)


@dataclass(frozen=True)
class _Sets:
    """Sets of moves from zero on; each is held once, and its number stands for it."""

    held: list[Int64] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)

    def add(self, moves: Int64) -> tuple[int, int]:
        """The least of some moves, not none, and the number of what they are from there."""
        least = int(moves.min())
        own = np.unique(moves) - least
        number = self.numbers.setdefault(own.tobytes(), len(self.held))
        if number == len(self.held):
            self.held.append(own)
        return least, number

    def size(self, heard: Heard) -> int:
        """Axons of a tile."""
        return prod(len(self.held[number]) for number in heard[1])

    def union(self, all_heard: frozenset[Heard], size: int) -> Int64:
        """The different axons of some tiles, ascending; size: neurons of the source."""
        seen = np.zeros(size, np.bool_)
        for first, numbers in all_heard:
            moves = sorted((self.held[number] for number in numbers), key=len)
            seen[reduce(lambda a, b: (a[:, None] + b).reshape(-1), moves, np.array([first], np.int64))] = True
        return np.flatnonzero(seen)


def _groups(tiling: Tiling, core: Int64, sets: _Sets) -> dict[tuple[str, frozenset[Heard]], list[int]]:
    """(source, what is heard of it) -> the cores that hear just that."""
    heard: dict[tuple[str, int], set[Heard]] = defaultdict(set)
    for _, cut, own in _tiles(tiling, core):
        measure = _measure(cut)
        for one in measure.plan.view.inputs:
            ears = _Ears.of(one, measure, sets)
            for box, index in enumerate(np.ndindex(cut.counts)):
                place = measure.place(cut.tile(index))
                for at, found in zip(own[box].tolist(), ears.at(place), strict=True):
                    if found is not None:
                        heard[one.synapses.source, at].add(found)
    groups: dict[tuple[str, frozenset[Heard]], list[int]] = defaultdict(list)
    for (source, at), all_heard in heard.items():
        groups[source, frozenset(all_heard)].append(at)
    return groups


def _measure(cut: Cut) -> Measure:
    if not isinstance(cut.measure, Measure):
        raise TypeError(f"{cut.population}: not cut by neurodeploy.mapping.tiles")
    return cut.measure


@dataclass(frozen=True)
class _Ears:
    """What the boxes of a population hear through one input.

    along: of each axis of the view, for each place, the least move and its set's number; None where nothing is heard.
    rest: the same of each part's share of the moves that every neuron goes through.
    """

    first: int
    along: tuple[list[tuple[int, int] | None], ...]
    rest: list[tuple[int, int] | None]

    @classmethod
    def of(cls, one: Input, measure: Measure, sets: _Sets) -> _Ears:
        """Of an input of a cut."""
        along = []
        for axis, step in zip(one.factors.axes, measure.step, strict=True):
            box = axis.coordinate // step
            order = np.argsort(box, kind="stable")
            ends = np.searchsorted(box[order], np.arange(-(-axis.extent // step) + 1))
            moves = axis.source[order]
            along.append([sets.add(moves[a:b]) if b > a else None for a, b in pairwise(ends)])
        shares = (_share(one, part, measure.parts) for part in range(measure.parts))
        return cls(one.factors.first, tuple(along), [sets.add(share) if len(share) else None for share in shares])

    def at(self, place: Shape) -> Iterator[Heard | None]:
        """What each part of the box at a place of the view's grid hears."""
        own = [axis[i] for axis, i in zip(self.along, place, strict=True)]
        for share in self.rest:
            found = [one for one in (*own, share) if one is not None]
            whole = len(found) == len(own) + 1
            first = self.first + sum(least for least, _ in found)
            yield (first, tuple(sorted(number for _, number in found))) if whole else None


def _share(one: Input, part: int, parts: int) -> Int64:
    """The moves of a part: those of its chunks, which are kernel positions within a move where places take turns."""
    rest = reduce(lambda a, b: (a[:, None] + b.source).reshape(-1), one.factors.rest, np.zeros(1, np.int64))
    start, stop = one.piece(part, parts)
    each = len(rest) // (one.chunks // one.taps)
    return rest[start // one.taps * each : -(-stop // one.taps) * each]


@dataclass(frozen=True)
class _Homes:
    """Where neurons lie: held, int64 [n], the cores of a population; at, int32 flat, of each neuron one of these."""

    held: Int64
    at: NDArray[np.int32]

    @classmethod
    def of(cls, cut: Cut, core: Int64) -> _Homes:
        """Of a cut; core: int64 [boxes, parts], of which the first part has the neurons that send."""
        held, number = np.unique(core[:, 0], return_inverse=True)
        grid = number.reshape(cut.counts).astype(np.int32)
        for axis, (length, step) in enumerate(zip(cut.shape, cut.step, strict=True)):
            grid = np.take(grid, np.arange(length) // step, axis=axis)
        return cls(held, grid.reshape(-1))

    def sent(self, axons: Int64, rates: Float64) -> tuple[Int64, Float64]:
        """(cores, what the axons in each of them send)."""
        at = self.at[axons]
        some = np.flatnonzero(np.bincount(at))
        return self.held[some], np.asarray(np.bincount(at, rates), np.float64)[some]


class _Pairs:
    """Messages from core to core while they are added up."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.keys, self.sent = [np.zeros(0, np.int64)], [np.zeros(0)]

    def add(self, source: Int64, sent: Float64, targets: list[int]) -> None:
        """The same to each target."""
        self.keys.append((source[:, None] * self.cores + np.array(targets, np.int64)).reshape(-1))
        self.sent.append(np.repeat(sent, len(targets)))

    def sums(self, cut: Cut, core: Int64) -> float:
        """Every part but the first sends its sums, one a neuron of its box, to the first; how many in all."""
        sizes = box_sizes(cut)
        for part in range(1, cut.parts):
            self.keys.append(core[:, part] * self.cores + core[:, 0])
            self.sent.append(sizes)
        return float(sizes.sum()) * (cut.parts - 1)

    def added(self) -> tuple[Int64, Int64, Float64]:
        """(source, target, messages), each pair once."""
        keys, same = np.unique(np.concatenate(self.keys), return_inverse=True)
        sent = np.bincount(same.reshape(-1), np.concatenate(self.sent), len(keys))
        return keys // self.cores, keys % self.cores, np.asarray(sent, np.float64)
