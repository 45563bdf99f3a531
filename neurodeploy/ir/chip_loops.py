"""Loops over neurons, and which of their iterations stay inside a box: what counting of patterns stands on.

The loops of a pattern move along axes of the target's shape. Loops that share an axis are looked at together, iteration
by iteration; what they allow multiplies with what the others do. Where an index carries over from one axis to the next
(no lowering makes such a pattern), all loops are looked at together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Axis, Box, Shape
from neurodeploy.numerics import Int64

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Loops looked at together, and which of their joint iterations [*sizes of the loops] stay inside the box."""

    loops: tuple[int, ...]
    mask: Mask


def groups(axes: Sequence[Axis], first: int, shape: Shape, box: Box) -> list[Group]:
    """The loops in groups that move along different axes of the target; first: its neuron before any loop moved.

    The iterations inside the box are the product of the groups' masks.
    """
    moved = [places(np.arange(axis.size) * axis.target, shape).max(axis=1, initial=0) for axis in axes]
    at = places(np.array([first]), shape)[:, 0]
    if (sum(moved, at) >= np.array(shape)).any():
        parts = [(tuple(range(len(axes))), tuple(range(len(shape))))]
    else:
        parts = _connected([frozenset(np.flatnonzero(end).tolist()) for end in moved])
        still = tuple(sorted(set(range(len(shape))).difference(*(dims for _, dims in parts))))
        parts.append(((), still))
    return [_group(axes, loops, dims, first, shape, box) for loops, dims in parts]


def _group(axes: Sequence[Axis], loops: Shape, dims: Shape, first: int, shape: Shape, box: Box) -> Group:
    moves = moves_of([(axes[i].size, axes[i].target) for i in loops])
    found = places(first + moves.reshape(-1), shape)[list(dims)]
    low, high = (np.array(end)[list(dims)][:, None] for end in (box.start, box.stop))
    inside = ((found >= low) & (found < high)).all(axis=0)
    return Group(loops, inside.reshape(moves.shape))


def _connected(dims: Sequence[frozenset[int]]) -> list[tuple[Shape, Shape]]:
    """(loops, axes of the target) of loops whose axes overlap."""
    found: list[tuple[set[int], set[int]]] = []
    for loop, own in enumerate(dims):
        touching = [part for part in found if part[1] & own]
        found = [part for part in found if not part[1] & own]
        found.append(({loop}.union(*(p[0] for p in touching)), set(own).union(*(p[1] for p in touching))))
    return [(tuple(sorted(loops)), tuple(sorted(own))) for loops, own in found]


def joint(parts: Sequence[Group], sizes: Shape) -> Mask:
    """The mask over all loops that the groups stand for, [*sizes]."""
    total = np.ones(sizes, np.bool_)
    for part in parts:
        total &= part.mask.reshape([n if i in part.loops else 1 for i, n in enumerate(sizes)])
    return total


def moves_of(loops: Sequence[tuple[int, int]]) -> Int64:
    """How far (size, move) loops have gone in every joint iteration, [*sizes]."""
    total = np.zeros((), np.int64)
    for size, move in loops:
        total = total[..., None] + np.arange(size) * move
    return total


def places(flat: Int64, shape: Shape) -> Int64:
    """[rank, n] coordinates of flat indices; the first does not wrap, so that what lies outside can be seen."""
    found, rest = [], flat
    for size in reversed(shape[1:]):
        found.append(rest % size)
        rest = rest // size
    return np.stack([rest, *reversed(found)])


def sums(a: Int64, b: Int64) -> Int64:
    """Every sum of one element of each set, once."""
    return np.unique(a[:, None] + b)


def different(sets: Sequence[Int64]) -> int:
    """Different sums of one element of each ascending set.

    A set whose step is longer than all others together reach is a digit of its own, which multiplies; sets that
    overlap are added up first.
    """
    if not all(part.size for part in sets):
        return 0
    digits: list[Int64] = []
    for part in sorted((part - part[0] for part in sets if part.size > 1), key=_step):
        while digits and _step(part) <= sum(int(digit[-1]) for digit in digits):
            part = sums(digits.pop(), part)  # noqa: PLW2901
        digits.append(part)
    return prod(map(len, digits))


def _step(part: Int64) -> int:
    return int(np.gcd.reduce(part))
