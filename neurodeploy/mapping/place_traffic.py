"""Spikes from tile to tile, what placing makes small: about how many of a tile's neurons another one listens to, by the
box around them, times the firing rates. What the bill says of messages is counted by `messages` from every axon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Cut, Filters, Nest, Shape, Synapses, Tile, Tiling
from neurodeploy.ir.chip_counts import axons_of, sources_of
from neurodeploy.mapping.messages import box_sizes, first_tiles
from neurodeploy.numerics import Int64

Spikes = NDArray[np.float64]
Rates = Mapping[str, NDArray[np.float64] | float]
UNIT = 1000  # spikes count in thousandths: sums of whole numbers are exact in float64, in any order
MOST_EDGES = 6_000_000  # beyond, the traffic would take more than a gigabyte
SAMPLES = 8  # tiles at which the sum along axes is compared with the pattern itself


@dataclass(frozen=True)
class Traffic:
    """Edges between tiles, int64 [edges] tile numbers, and thousandths of spikes a step, whole float64 [edges]."""

    source: Int64
    target: Int64
    spikes: Spikes

    def between(self, group: Int64, groups: int) -> Traffic:
        """The traffic between groups of tiles, each pair once whatever the direction; within a group none.

        group: int64 [tiles], the group of each tile, -1 for none.
        """
        a, b = group[self.source], group[self.target]
        kept = (a != b) & (a >= 0) & (b >= 0)
        low, high = np.minimum(a, b)[kept], np.maximum(a, b)[kept]
        keys, inverse = np.unique(low * groups + high, return_inverse=True)
        return Traffic(keys // groups, keys % groups, _added(inverse, self.spikes[kept], len(keys)))

    def directed(self, group: Int64, groups: int) -> Traffic:
        """As `between`, with both directions apart."""
        a, b = group[self.source], group[self.target]
        kept = (a != b) & (a >= 0) & (b >= 0)
        keys, inverse = np.unique(a[kept] * groups + b[kept], return_inverse=True)
        return Traffic(keys // groups, keys % groups, _added(inverse, self.spikes[kept], len(keys)))


def _added(group: Int64, spikes: Spikes, groups: int) -> Spikes:
    return np.asarray(np.bincount(group.reshape(-1), spikes, groups), np.float64)


def tiles_of(tiling: Tiling) -> list[Tile]:
    """All tiles by number."""
    cuts = [tiling.cuts[name] for name in first_tiles(tiling)]
    return [cut.tile(index, part) for cut in cuts for index in np.ndindex(cut.counts) for part in range(cut.parts)]


def traffic_of(tiling: Tiling, rates: Rates | None = None) -> Traffic | None:
    """The traffic between all tiles of a tiling; None where it has more than MOST_EDGES edges.

    rates: population -> spikes a neuron and step, a number or an array of its shape; one spike, which is the bound,
    for any other. A spike counts once for each tile that listens; parts of a fan-in send their sums to part 0.
    """
    first, known = first_tiles(tiling), dict[tuple[object, ...], _Heard]()
    crossbars = [s for s in tiling.network.synapses if {s.source, s.target} <= {*first}]
    heard = [_heard(s, tiling.cuts[s.target], tiling.cuts[s.source], known) for s in crossbars]
    if sum(h.edges for h in heard) > MOST_EDGES:
        return None
    edges = [_edges(h, s, tiling, first, rates or {}) for h, s in zip(heard, crossbars, strict=True)]
    edges += [_sums(tiling.cuts[name], start) for name, start in first.items() if tiling.cuts[name].parts > 1]
    return Traffic(*(np.concatenate(column) for column in zip(*edges, strict=True))) if edges else silence()


def silence() -> Traffic:
    """No traffic."""
    return Traffic(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class _Heard:
    """The boxes of the source that each box of the target listens to: int64 [boxes, axes of the source] all.

    low, high: of the axons' bounding box.  begin, wide: the first of the source's boxes that it meets, and how many.
    density: the share of the bounding box that sends.
    """

    low: Int64
    high: Int64
    begin: Int64
    wide: Int64
    density: float

    @property
    def fan(self) -> Int64:
        """Boxes of the source that each box of the target listens to, int64 [boxes]."""
        return np.asarray(self.wide.prod(axis=1))

    @property
    def edges(self) -> int:
        """All pairs of boxes."""
        return int(self.fan.sum())


def _heard(synapses: Synapses, target: Cut, source: Cut, known: dict[tuple[object, ...], _Heard]) -> _Heard:
    """Asked once for all crossbars of the same geometry."""
    key = (_geometry(synapses.pattern), target.shape, target.step, source.shape, source.step)
    if key not in known:
        low, high, density = _axons(synapses, target)
        begin, any_heard = low // source.step, (high > low).all(axis=1, keepdims=True)
        wide = np.where(any_heard, (high - 1) // source.step + 1 - begin, 0)
        known[key] = _Heard(low, high, begin, wide, density)
    return known[key]


def _geometry(pattern: Nest | Filters) -> tuple[object, ...]:
    """What decides which neurons are joined, without the weights."""
    if isinstance(pattern, Nest):
        return (pattern.axes, pattern.target, pattern.source)
    own = (getattr(pattern, f.name) for f in fields(pattern) if f.name != "weight")
    return (pattern.weight.shape, *own)


def _edges(
    heard: _Heard, synapses: Synapses, tiling: Tiling, first: Mapping[str, int], rates: Rates
) -> tuple[Int64, Int64, Spikes]:
    """Edges of one crossbar: every box of the target with every box of the source that its axons' box meets."""
    target, source, fan = tiling.cuts[synapses.target], tiling.cuts[synapses.source], heard.fan
    box = np.repeat(np.arange(len(fan)), fan)
    rest = np.arange(len(box)) - np.repeat(np.cumsum(fan) - fan, fan)
    flat, overlap = np.zeros(len(box), np.int64), np.ones(len(box), np.int64)
    for axis in reversed(range(len(source.step))):
        wide, step = heard.wide[box, axis], source.step[axis]
        at = heard.begin[box, axis] + rest % wide
        rest = rest // wide
        flat += at * prod(source.counts[axis + 1 :])
        overlap *= np.minimum(heard.high[box, axis], (at + 1) * step) - np.maximum(heard.low[box, axis], at * step)
    spikes = np.rint(UNIT * heard.density * overlap * _mean_rates(source, rates)[flat])
    return _with_parts(first[source.population] + flat * source.parts, box, spikes, target, first[target.population])


def _with_parts(source: Int64, box: Int64, spikes: Spikes, cut: Cut, first: int) -> tuple[Int64, Int64, Spikes]:
    """The edges of each part of a box: the axons in their order, shared out among the parts."""
    if cut.parts == 1:
        return source, first + box, spikes
    fan = np.bincount(box, minlength=prod(cut.counts))
    rank = np.arange(len(box)) - (np.cumsum(fan) - fan)[box]
    begin, end = rank * cut.parts // fan[box], -(-(rank + 1) * cut.parts // fan[box])
    wide = end - begin
    edge = np.repeat(np.arange(len(box)), wide)
    part = begin[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(wide) - wide, wide)
    return source[edge], first + box[edge] * cut.parts + part, np.rint(spikes[edge] / wide[edge])


def _sums(cut: Cut, first: int) -> tuple[Int64, Int64, Spikes]:
    """Every part but the first sends its sums to the first."""
    boxes = first + np.arange(prod(cut.counts)) * cut.parts
    source = (boxes[:, None] + np.arange(1, cut.parts)).reshape(-1)
    return source, np.repeat(boxes, cut.parts - 1), UNIT * np.repeat(box_sizes(cut), cut.parts - 1)


def _axons(synapses: Synapses, cut: Cut) -> tuple[Int64, Int64, float]:
    """The box of axons that each box of the target listens to: low and high int64 [boxes, axes of the source], and the
    share of it that sends.

    A pattern moves the axons' box along each axis of the target on its own, so the moves along the axes are added up;
    where samples say that it is not so, the pattern is asked for every box.
    """
    if not all(cut.counts):
        return np.zeros((0, 1), np.int64), np.zeros((0, 1), np.int64), 0.0
    base = _ask(synapses, cut, (0,) * len(cut.counts))
    places = np.stack(np.unravel_index(np.arange(prod(cut.counts)), cut.counts), axis=1)
    ends = np.repeat(base[None], len(places), axis=0)
    for axis, count in enumerate(cut.counts):
        ends += (_line(synapses, cut, axis, count) - base)[places[:, axis]]
    picked = np.linspace(0, len(places) - 1, SAMPLES).astype(np.int64)
    if any((ends[i] != _ask(synapses, cut, tuple(map(int, places[i])))).any() for i in picked):
        ends = np.stack([_ask(synapses, cut, tuple(map(int, place))) for place in places])
    middle = cut.tile(tuple(n // 2 for n in cut.counts)).box
    heard = sources_of(synapses, middle)
    density = axons_of(synapses, middle) / heard.size if heard else 1.0
    return ends[:, 0], ends[:, 1], density


def _line(synapses: Synapses, cut: Cut, axis: int, count: int) -> Int64:
    """int64 [count, 2, axes of the source]: the axons' boxes along one axis of the grid.

    Inside, they most often move by as much from each box to the next; where samples say so, the others follow.
    """

    def at(place: int) -> Int64:
        return _ask(synapses, cut, tuple(place if a == axis else 0 for a in range(len(cut.counts))))

    if count > 2 * SAMPLES:
        places = np.arange(count)
        known = {i: at(i) for i in (0, 1, 2, *map(int, np.linspace(3, count - 2, SAMPLES)), count - 1)}
        line = known[1] + (places - 1)[:, None, None] * (known[2] - known[1])
        line[0], line[-1] = known[0], known[count - 1]
        if all((line[i] == found).all() for i, found in known.items()):
            return np.asarray(line)
    return np.stack([at(i) for i in range(count)])


def _ask(synapses: Synapses, cut: Cut, index: Shape) -> Int64:
    """int64 [2, axes of the source]: where the axons of a box begin and end; an empty box where there are none."""
    heard = sources_of(synapses, cut.tile(index).box)
    if heard is None:
        return np.zeros((2, len(synapses.source_shape)), np.int64)
    return np.array([heard.start, heard.stop], np.int64)


def _mean_rates(cut: Cut, rates: Rates) -> Spikes:
    """The mean rate of the neurons of each box, flat."""
    found = np.asarray(rates.get(cut.population, 1.0), np.float64)
    boxes = prod(cut.counts)
    if found.ndim == 0:
        return np.full(boxes, float(found))
    total, sizes = found.reshape(cut.shape), np.ones((), np.int64)
    for axis, (length, step) in enumerate(zip(cut.shape, cut.step, strict=True)):
        starts = np.arange(0, length, step)
        total = np.add.reduceat(total, starts, axis=axis)
        sizes = sizes[..., None] * np.diff(np.append(starts, length))
    return np.asarray((total / sizes).reshape(-1))


def cut_sizes(traffic: Traffic, order: Sequence[int] | Int64, groups: int) -> Spikes:
    """Spikes that cross between positions i - 1 and i of an order of groups, float64 [groups + 1]."""
    place = np.empty(groups, np.int64)
    place[np.asarray(order)] = np.arange(groups)
    a, b = place[traffic.source], place[traffic.target]
    low, high = np.minimum(a, b), np.maximum(a, b)
    steps = np.bincount(low + 1, traffic.spikes, groups + 2) - np.bincount(high + 1, traffic.spikes, groups + 2)
    return np.asarray(np.cumsum(steps)[: groups + 1])
