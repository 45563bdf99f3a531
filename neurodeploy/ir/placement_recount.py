"""What boxes of neurons need, counted anew for the check of a placement; independent of how tilings are counted.

A pattern is a product of digits: each joint iteration of a digit moves the target, the source and the weight by so
much. A small pattern is expanded, synapse by synapse. Of a large one, the digits that move the same axes of the target
are expanded together, cut at the borders of the boxes, and combined box by box; equal sets are combined once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Filters, Nest, Shape, Synapses
from neurodeploy.numerics import Int64

SMALL = 200_000  # synapses of a pattern that is expanded whole
COUNTS = ("synapses", "axons", "weights", "rows", "columns")
JOINT = 20_000_000  # iterations of digits that have to be expanded together, at most


@dataclass(frozen=True)
class Digit:
    """Iterations, int64 [n]: moves of the flat index of target and source; row and column of the weight's matrix."""

    target: Int64
    source: Int64
    row: Int64
    column: Int64

    def times(self, other: Digit) -> Digit:
        """Every iteration of both."""
        rows, columns = (int(part.max(initial=0)) + 1 for part in (other.row, other.column))
        scaled = (self.target, self.source, self.row * rows, self.column * columns)
        added = (other.target, other.source, other.row, other.column)
        return Digit(*((a[:, None] + b).reshape(-1) for a, b in zip(scaled, added, strict=True)))


@dataclass(frozen=True)
class Counted:
    """Of each box (C order), int64 [boxes]: synapses, different axons, different weights, and of the weights' matrix
    (what one output sees, by outputs) the different rows and columns.

    reached: int64 [boxes of the source], pairs of a neuron of the box and a box of the target that it has synapses to.
    links: int64 [2, links], (box of the source, box of the target) between which there are synapses.
    """

    synapses: Int64
    axons: Int64
    weights: Int64
    rows: Int64
    columns: Int64
    reached: Int64
    links: Int64


def recount(
    synapses: Synapses,
    step: Shape,
    source_step: Shape,
    brute: bool | None = None,
    only: Collection[Shape] | None = None,
) -> Counted | None:
    """The counts of a crossbar for boxes of `step` target neurons and boxes of `source_step` source neurons.

    brute: whether the pattern is expanded; by default where it is small.  only: places of the boxes to look at, all by
    default; of others a large pattern counts nothing.  None: too irregular to be counted.
    """
    first, digits = digits_of(synapses.pattern)
    small = prod(len(d.target) for d in digits) <= SMALL if brute is None else brute
    boxes = _Boxes(synapses.target_shape, step), _Boxes(synapses.source_shape, source_step)
    return _expanded(first, digits, *boxes) if small else _combined(first, digits, *boxes, only)


def digits_of(pattern: Nest | Filters) -> tuple[tuple[int, int], list[Digit]]:
    """Flat index of the first target and the first source, and the digits."""
    return _of_filters(pattern) if isinstance(pattern, Filters) else _of_nest(pattern)


def _of_nest(nest: Nest) -> tuple[tuple[int, int], list[Digit]]:
    found = []
    for axis, own in zip(nest.axes, nest.weight.shape or (1,) * len(nest.axes), strict=True):
        i, varies = np.arange(axis.size), own > 1
        found.append(
            Digit(
                i * axis.target, i * axis.source, i * (varies and axis.source != 0), i * (varies and axis.target != 0)
            )
        )
    return (nest.target, nest.source), found


def _of_filters(pattern: Filters) -> tuple[tuple[int, int], list[Digit]]:
    out, width = pattern.weight.shape[:2]
    of, to, channel, inner = pattern.source, pattern.target, np.arange(out), np.arange(width)
    group = channel * pattern.groups // out
    found = [
        Digit(channel * to.channel, group * width * of.channel, group, channel),
        Digit(inner * 0, inner * of.channel, inner, inner * 0),
    ]
    for axis, there, here in ((0, to.row, of.row), (1, to.column, of.column)):
        size, tapped = pattern.size_in[axis], range(pattern.weight.shape[2 + axis])
        shift, places = pattern.padding[axis], range(pattern.size_out[axis])
        reads = [(o, o * pattern.stride[axis] + k - shift, k) for o in places for k in tapped]
        place, read, tap = np.array([r for r in reads if 0 <= r[1] < size], np.int64).reshape(-1, 3).T
        found.append(Digit(place * there, read * here, tap, tap * 0))
    return (to.offset, of.offset), found


class _Boxes:
    """The boxes that a shape is cut into."""

    def __init__(self, shape: Shape, step: Shape) -> None:
        self.shape, self.step = shape, step
        self.counts = tuple(-(-n // s) for n, s in zip(shape, step, strict=True))
        self.size = prod(self.counts)

    def along(self, flat: Int64) -> list[Int64]:
        """Of neurons, the box along each axis; the first axis is not bounded."""
        found, rest = [], flat
        for n, s in zip(reversed(self.shape[1:]), reversed(self.step[1:]), strict=True):
            found.append(rest % n // s)
            rest = rest // n
        return [rest // self.step[0], *reversed(found)]

    def of(self, flat: Int64) -> Int64:
        """The number of the box of each neuron."""
        return np.asarray(np.ravel_multi_index(tuple(self.along(flat)), self.counts), np.int64)

    def numbers(self) -> NDArray[np.int32]:
        """The number of the box of every neuron."""
        found = np.zeros((), np.int32)
        for n, step, count in zip(self.shape, self.step, self.counts, strict=True):
            found = found[..., None] * np.int32(count) + np.arange(n, dtype=np.int32) // np.int32(step)
        return found.reshape(-1)

    def moved(self, moves: Int64) -> list[int]:
        """Axes that moves of the flat index walk along, and that nothing carries over into."""
        return [axis for axis, most in enumerate(self.far(moves)) if most]

    def far(self, moves: Int64) -> list[int]:
        """The farthest move along each axis."""
        found, rest = [], moves
        for n in reversed(self.shape[1:]):
            found.append(int((rest % n).max(initial=0)))
            rest = rest // n
        return [int(rest.max(initial=0)), *reversed(found)]


def _expanded(first: tuple[int, int], digits: Sequence[Digit], target: _Boxes, source: _Boxes) -> Counted:
    """Every synapse, one by one."""
    whole = _product(digits)
    box, axon = target.of(first[0] + whole.target), first[1] + whole.source
    entry = whole.row * (int(whole.column.max(initial=0)) + 1) + whole.column
    axons, *others = (_pairs(box, part) for part in (axon, entry, whole.row, whole.column))
    listed = ((box, box), axons, *others)
    each = {name: np.bincount(part[0], minlength=target.size) for name, part in zip(COUNTS, listed, strict=True)}
    sender = source.of(axons[1])
    links = np.stack(_pairs(sender, axons[0]))
    return Counted(**each, reached=np.bincount(sender, minlength=source.size), links=links)


def _pairs(a: Int64, b: Int64) -> tuple[Int64, Int64]:
    """Pairs of numbers from 0 on, each once."""
    base = int(b.max(initial=0)) + 1
    first, second = np.divmod(_different(a * base + b), base)
    return first, second


def _product(digits: Sequence[Digit]) -> Digit:
    whole = Digit(*(np.zeros(1, np.int64) for _ in range(4)))
    for digit in digits:
        whole = whole.times(digit)
    return whole


@dataclass(frozen=True)
class _Part:
    """Iterations inside one box along some axes: their number, the axons' moves without repeats, and the numbers of
    different weights, rows and columns."""

    iterations: int
    axons: Int64
    weights: int
    rows: int
    columns: int


@dataclass(frozen=True)
class _Group:
    """Digits that move the same axes of the target; parts: box along each of the axes -> what is inside."""

    axes: tuple[int, ...]
    parts: dict[Shape, _Part]


def _combined(
    first: tuple[int, int],
    digits: Sequence[Digit],
    target: _Boxes,
    source: _Boxes,
    only: Collection[Shape] | None,
) -> Counted | None:
    """Box by box, from what the groups of digits do along their axes."""
    groups = _groups(first[0], digits, target)
    if groups is None:
        return None
    counts, reached = {name: np.zeros(target.size, np.int64) for name in COUNTS}, np.zeros(source.size, np.int64)
    senders = _Senders(first[1], source)
    links = [np.zeros((2, 0), np.int64)]
    for index in np.ndindex(target.counts) if only is None else only:
        parts = [group.parts.get(tuple(index[axis] for axis in group.axes)) for group in groups]
        inside = [part for part in parts if part is not None]
        if len(inside) < len(groups):
            continue
        number = int(np.ravel_multi_index(index, target.counts))
        at, axons = senders.of(inside)
        reached[at] += axons
        links.append(np.stack([at, np.full(len(at), number)]))
        counts["axons"][number] = axons.sum()
        counts["synapses"][number] = prod(part.iterations for part in inside)
        for name in ("weights", "rows", "columns"):
            counts[name][number] = prod(getattr(part, name) for part in inside)
    return Counted(**counts, reached=reached, links=np.concatenate(links, axis=1))


def _different(values: Int64) -> Int64:
    """The different ones of numbers from 0 on, ascending; np.unique would sort them, which takes ten times as long."""
    if int(values.max(initial=0)) > 8 * len(values):
        return np.unique(values)
    seen = np.zeros(int(values.max(initial=0)) + 1, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen)


class _Senders:
    """The axons of boxes of the target, by box of the source; equal sets of axons are looked at once."""

    def __init__(self, first: int, source: _Boxes) -> None:
        self.first = first
        self.box = source.numbers()
        self.sums: dict[tuple[bytes, ...], Int64] = {}
        self.known: dict[tuple[int, tuple[bytes, ...]], tuple[Int64, Int64]] = {}

    def of(self, parts: Sequence[_Part]) -> tuple[Int64, Int64]:
        """(box of the source, different axons from it)."""
        least = self.first + sum(int(part.axons[0]) for part in parts)
        key = tuple((part.axons - part.axons[0]).tobytes() for part in parts)
        if (least, key) not in self.known:
            counts = np.bincount(self.box[self._sums(key) + least])
            self.known[least, key] = np.flatnonzero(counts), counts[counts > 0]
        return self.known[least, key]

    def _sums(self, key: tuple[bytes, ...]) -> Int64:
        """Every different sum of one element of each set."""
        if key not in self.sums:
            total = np.zeros(1, np.int64)
            for one in sorted(key, key=len):
                total = _different((total[:, None] + np.frombuffer(one, np.int64)).reshape(-1))
            self.sums[key] = total
        return self.sums[key]


def _groups(first: int, digits: Sequence[Digit], target: _Boxes) -> list[_Group] | None:
    """The digits by the axes of the target that they move; None where an index carries over into another axis."""
    ends = [target.far(digit.target) for digit in digits]
    begin = target.far(np.array([first]))
    if any(sum(axis) >= n for axis, n in zip(zip(begin, *ends, strict=True), target.shape, strict=True)):
        return None
    owner = list(range(len(target.shape)))  # axis -> the first of the axes that are moved together
    for digit in digits:
        moved = [owner[axis] for axis in target.moved(digit.target)]
        owner = [min(moved) if o in moved else o for o in owner]
    members: dict[int, list[Digit]] = {o: [] for o in (*owner, -1)}
    for digit in digits:
        moved = target.moved(digit.target)
        members[owner[moved[0]] if moved else -1].append(digit)
    if any(prod(len(d.target) for d in own) > JOINT for own in members.values()):
        return None
    return [_cut(first, tuple(a for a, o in enumerate(owner) if o == one), own, target) for one, own in members.items()]


def _cut(first: int, axes: tuple[int, ...], digits: Sequence[Digit], target: _Boxes) -> _Group:
    whole = _product(digits)
    along = [target.along(first + whole.target)[axis] for axis in axes]
    place = np.stack(along, axis=1) if axes else np.zeros((len(whole.target), 0), np.int64)
    key = np.zeros(len(place), np.int64)
    for axis, at in zip(axes, along, strict=True):
        key = key * target.counts[axis] + at
    order = np.argsort(key, kind="stable")
    parts = {}
    for own in np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(order) else []:
        row, column = whole.row[own], whole.column[own]
        different = [len(np.unique(p)) for p in (row * (int(whole.column.max()) + 1) + column, row, column)]
        parts[tuple(map(int, place[own[0]]))] = _Part(len(own), np.unique(whole.source[own]), *different)
    return _Group(axes, parts)
