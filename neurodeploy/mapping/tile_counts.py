"""What boxes of neurons need, for every box of a grid at once: tables an axis, whose products are the boxes' numbers.

A pattern's loops move along axes of the target. What loops of different axes contribute multiplies, as long as their
axons are digits of different weight of the source's index. So for a step along one axis a table of a few hundred
numbers says all, and a grid of a million boxes is never walked. A pattern that is no such product has no factors; its
boxes are counted one by one (`neurodeploy.ir.chip_counts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from neurodeploy.ir.chip import Filters, Nest, Shape, Synapses
from neurodeploy.ir.chip_loops import places
from neurodeploy.numerics import Int64

MOST_JOINT = 4_000_000  # joint iterations of loops that have to be looked at together


@dataclass(frozen=True)
class Loop:
    """Iterations [n]: flat moves of the target and of the source, and which weight (0 where all share it).

    channel: whether it walks output channels of a convolution or a linear layer, and nothing else.
    """

    target: Int64
    source: Int64
    entry: Int64
    channel: bool = False

    @property
    def size(self) -> int:
        """Iterations."""
        return len(self.target)

    def with_loop(self, other: Loop) -> Loop:
        """Both loops as one, the other inside."""
        target, source = (
            (a[:, None] + b[None]).reshape(-1) for a, b in ((self.target, other.target), (self.source, other.source))
        )
        entry = (self.entry[:, None] * (int(other.entry.max(initial=0)) + 1) + other.entry[None]).reshape(-1)
        alone = all(loop.channel or loop.size == 1 for loop in (self, other))
        return Loop(target, source, entry, alone and (self.channel or other.channel))


Blocks = list[tuple[int | None, Loop]]


@dataclass(frozen=True)
class Factor:
    """What the loops along one axis of the target contribute. coordinate, source, entry: [n], one an iteration."""

    extent: int
    coordinate: Int64
    source: Int64
    entry: Int64
    channel: bool = False
    _tables: dict[int, Int64] = field(default_factory=dict, compare=False, repr=False)

    def table(self, step: int) -> Int64:
        """[3, boxes] for boxes of `step` neurons along the axis: synapses, different axons, different weights."""
        if step not in self._tables:
            boxes = -(-self.extent // step)
            found = [np.bincount(self.coordinate // step, minlength=boxes)]
            for coordinate, what in self._ordered:
                box = coordinate // step
                new = np.ones(len(box), np.bool_)
                new[1:] = (box[1:] != box[:-1]) | (what[1:] != what[:-1])
                found.append(np.bincount(box[new], minlength=boxes))
            self._tables[step] = np.stack(found).astype(np.int64)
        return self._tables[step]

    @cached_property
    def _ordered(self) -> tuple[tuple[Int64, Int64], ...]:
        """(coordinate, what) by what and then coordinate, of axons and of weights: what is equal lies together."""
        orders = ((what, np.lexsort((self.coordinate, what))) for what in (self.source, self.entry))
        return tuple((self.coordinate[order], what[order]) for what, order in orders)

    @property
    def fan_in(self) -> int:
        """The most iterations that one neuron has."""
        return int(np.bincount(self.coordinate).max(initial=0))


@dataclass(frozen=True)
class Factors:
    """A pattern as a product: a factor an axis of the target, and loops that every neuron goes through.

    first: the source neuron before any loop moved.  rest: the loops that every neuron goes through.
    free: their iterations.  axons: different axons among them.  weights: different weights among them.
    """

    axes: tuple[Factor, ...]
    first: int
    rest: tuple[Loop, ...]
    free: int
    axons: int
    weights: int

    @property
    def chunkable(self) -> int:
        """Pieces that the free axons can be dealt out in: one where axons repeat."""
        return max(1, self.free) if self.axons == self.free else 1

    @property
    def fan_in(self) -> int:
        """The most synapses of one neuron."""
        return self.free * prod(axis.fan_in for axis in self.axes)


def factors(synapses: Synapses) -> Factors | None:
    """The pattern as a product over the target's axes; None where it is none."""
    shape = synapses.target_shape
    pattern = synapses.pattern
    if isinstance(pattern, Nest):
        first, start, loops = pattern.target, pattern.source, _nest_loops(pattern)
    else:
        first, start, loops = pattern.target.offset, pattern.source.offset, _filter_loops(pattern)
    split = _split_all(loops, shape)
    at = places(np.array([first]), shape)[:, 0]
    moved = [places(loop.target, shape) for loop in split]
    if (sum((m.max(axis=1, initial=0) for m in moved), at) >= np.array(shape)).any():
        return None
    dims = [np.flatnonzero(m.any(axis=1)) for m in moved]
    if any(len(d) > 1 for d in dims):
        return None
    along: list[list[Loop]] = [[] for _ in shape]
    free: list[Loop] = []
    for loop, d in zip(split, dims, strict=True):
        (along[d[0]] if len(d) else free).append(loop)
    blocks = _blocks(along, free)
    return None if blocks is None else _factors(blocks, start, at, shape)


def _blocks(along: list[list[Loop]], free: list[Loop]) -> Blocks | None:
    """(axis or None, loop): one of each axis, and those that every neuron goes through.

    Free loops whose axons overlap with those of an axis join it; two axes that overlap are no product.
    """
    if any(prod(loop.size for loop in loops) > MOST_JOINT for loops in along):
        return None
    items: Blocks = [(None, loop) for loop in free]
    items += [(number, _joined(loops)) for number, loops in enumerate(along)]
    blocks: Blocks = []
    for axis, loop in sorted(items, key=lambda pair: _step(pair[1])):
        while _step(loop) and blocks and _step(loop) <= sum(_reach(other) for _, other in blocks):
            other_axis, other = blocks.pop()
            if (axis is not None and other_axis is not None) or loop.size * other.size > MOST_JOINT:
                return None
            axis = other_axis if axis is None else axis  # noqa: PLW2901
            loop = loop.with_loop(other)  # noqa: PLW2901
        blocks.append((axis, loop))
    return blocks


def _factors(blocks: Blocks, start: int, at: Int64, shape: Shape) -> Factors:
    found: dict[int, Factor] = {}
    for axis, loop in blocks:
        if axis is not None:
            moves = places(loop.target, shape)[axis]
            found[axis] = Factor(shape[axis], at[axis] + moves, loop.source, loop.entry, loop.channel)
    rest = [loop for axis, loop in blocks if axis is None]
    sizes = [(loop.size, len(np.unique(loop.source)), len(np.unique(loop.entry))) for loop in rest]
    iterations, axons, weights = (prod(column) for column in zip(*sizes, strict=True)) if sizes else (1, 1, 1)
    axes = tuple(found[axis] for axis in range(len(shape)))
    return Factors(axes, start, tuple(rest), iterations, axons, weights)


def _joined(loops: Sequence[Loop]) -> Loop:
    whole = Loop(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64))
    for loop in loops:
        whole = whole.with_loop(loop)
    return whole


def _step(loop: Loop) -> int:
    """The largest step that all axons of a loop are multiples of; 0 for a single axon."""
    return int(np.gcd.reduce(loop.source - loop.source[:1]))


def _reach(loop: Loop) -> int:
    return int(loop.source.max() - loop.source.min()) if loop.size else 0


def _nest_loops(pattern: Nest) -> list[Loop]:
    own = pattern.weight.shape or (1,) * len(pattern.axes)
    found = []
    for axis, shared in zip(pattern.axes, own, strict=True):
        at = np.arange(axis.size, dtype=np.int64)
        own_weight = shared > 1
        found.append(Loop(at * axis.target, at * axis.source, at * own_weight, own_weight and axis.target > 0))
    return found


def _filter_loops(filters: Filters) -> list[Loop]:
    out, width = filters.weight.shape[:2]
    channel, inner = np.arange(out, dtype=np.int64), np.arange(width, dtype=np.int64)
    group = channel // (out // filters.groups)
    source, target = filters.source, filters.target
    found = [
        Loop(channel * target.channel, group * (width * source.channel), channel, channel=True),
        Loop(inner * 0, inner * source.channel, inner),
    ]
    for axis, to, of in ((0, target.row, source.row), (1, target.column, source.column)):
        place, tap = (a.reshape(-1) for a in np.indices((filters.size_out[axis], filters.weight.shape[2 + axis])))
        read = place * filters.stride[axis] + tap - filters.padding[axis]
        inside = (read >= 0) & (read < filters.size_in[axis])
        found.append(Loop(place[inside] * to, read[inside] * of, tap[inside]))
    return found


def _split_all(loops: Sequence[Loop], shape: Shape) -> list[Loop]:
    """Loops that run over the end of an axis of the target into the next, as one loop an axis where they can be."""
    found = list(loops)
    for axis in range(len(shape) - 1, 0, -1):
        stride = prod(shape[axis:])
        found = [part for loop in found for part in _split(loop, stride)]
    return found


def _split(loop: Loop, stride: int) -> tuple[Loop, ...]:
    step = int(loop.target[1]) if loop.size > 1 else 0
    if not 0 < step < stride or stride % step or loop.size <= stride // step:
        return (loop,)
    inner = stride // step
    regular = np.array_equal(loop.target, np.arange(loop.size) * step) and loop.size % inner == 0
    source = loop.source.reshape(-1, inner) if regular else loop.source[None]
    if not regular or not (source == source[:, :1] + source[:1] - source[0, 0]).all():
        return (loop,)
    entry = loop.entry.reshape(-1, inner)
    outer = Loop(loop.target[::inner], source[:, 0], entry[:, 0], loop.channel)
    return outer, Loop(loop.target[:inner], source[0] - source[0, 0], entry[0] - entry[0, 0], loop.channel)
