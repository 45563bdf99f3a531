"""Where the elements of a value lie among a population's neurons: strides, so that no index is ever listed.

An axis of a value is a number of several digits, each with a stride of its own (the factored axes of CuTe's layouts):
so heads and channels that lie apart among the neurons still make one axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from neurodeploy.ir.chip import Axis, Filters, Grid, Nest
from neurodeploy.ir.mapped import ConvWeights, SparseWeights, View
from neurodeploy.numerics import Int64

Digit = tuple[int, int]  # size > 1, stride in neurons
Digits = tuple[Digit, ...]  # the outermost first; none for an axis of one element
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Axes of a value as digits, and the flat index of its first element."""

    axes: tuple[Digits, ...]
    offset: int = 0

    @property
    def shape(self) -> Shape:
        """Elements along each axis."""
        return tuple(prod(size for size, _ in digits) for digits in self.axes)

    @property
    def strides(self) -> Shape | None:
        """One stride an axis (0 for an axis of one element); None where an axis needs several digits."""
        joined = [_joined(digits) for digits in self.axes]
        return None if any(len(d) > 1 for d in joined) else tuple(d[0][1] if d else 0 for d in joined)

    def is_dense(self, shape: Shape) -> bool:
        """Whether it is all neurons of a population of this shape, in their own order."""
        return replace(self, axes=(_joined([d for digits in self.axes for d in digits]),)) == dense((prod(shape),))

    def viewed(self, view: View) -> Layout | None:
        """The layout through a view; None where no strides express it."""
        kind, dims = view
        if kind == "permute":
            return replace(self, axes=tuple(self.axes[i] for i in dims))
        return self._reshaped(dims) if kind == "reshape" else self._sliced(*dims)

    def _reshaped(self, shape: Shape) -> Layout | None:
        digits = list(_joined([d for axis in self.axes for d in axis]))
        found: list[Digits] = []
        for size in reversed(shape):
            own = _taken(digits, size)
            if own is None:
                return None
            found.append(own)
        return replace(self, axes=tuple(reversed(found)))

    def _sliced(self, axis: int, start: int, stop: int) -> Layout | None:
        cut = _cut(_joined(self.axes[axis]), start, stop)
        if cut is None:
            return None
        return Layout((*self.axes[:axis], cut[0], *self.axes[axis + 1 :]), self.offset + cut[1])

    def part(self, axis: int, start: int, count: int, step: int = 1) -> Layout:
        """start, start + step, ...: `count` elements along an axis of one digit."""
        ((_, stride),) = _joined(self.axes[axis]) or ((1, 0),)
        own = ((count, stride * step),) if count > 1 else ()
        return Layout((*self.axes[:axis], own, *self.axes[axis + 1 :]), self.offset + start * stride)

    def expanded(self, *places: int) -> Layout:
        """With new axes of one element, at these places of the result, ascending."""
        axes = list(self.axes)
        for place in places:
            axes.insert(place, ())
        return replace(self, axes=tuple(axes))

    def dropped(self, place: int) -> Layout:
        """Without an axis of one element."""
        return replace(self, axes=(*self.axes[:place], *self.axes[place + 1 :]))

    def broadcast(self, shape: Shape) -> Layout:
        """To a shape; an axis of one element stands still."""
        axes = [()] * (len(shape) - len(self.axes)) + list(self.axes)
        stretched = [((n, 0),) if n > 1 and not own else own for n, own in zip(shape, axes, strict=True)]
        return replace(self, axes=tuple(stretched))


def dense(shape: Sequence[int]) -> Layout:
    """All neurons of a population of this shape, in C order."""
    axes: list[Digits] = []
    step = 1
    for size in reversed(shape):
        axes.append(((size, step),) if size > 1 else ())
        step *= size
    return Layout(tuple(reversed(axes)))


def _joined(digits: Iterable[Digit]) -> Digits:
    """Digits that follow one another in memory, as one."""
    found: list[Digit] = []
    for size, stride in digits:
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return tuple(found)


def _taken(digits: list[Digit], size: int) -> Digits | None:
    """Take an axis of `size` elements from the innermost digits, splitting one if need be."""
    own: list[Digit] = []
    while size > 1:
        have, stride = digits.pop()
        if size % have == 0:
            own.append((have, stride))
            size //= have
        elif have % size == 0:
            own.append((size, stride))
            digits.append((have // size, stride * size))
            size = 1
        else:
            return None
    return tuple(reversed(own))


def _cut(digits: Digits, start: int, stop: int) -> tuple[Digits, int] | None:
    """Digits of start..stop - 1 of an axis, and how far its first element moves; None where a range is no product."""
    if not digits:
        return (), 0
    (_, stride), rest = digits[0], digits[1:]
    inner = prod(size for size, _ in rest)
    if start % inner == 0 and stop % inner == 0:
        count = (stop - start) // inner
        return (((count, stride),) if count > 1 else ()) + rest, start // inner * stride
    first = start // inner
    if first != (stop - 1) // inner:
        return None
    found = _cut(rest, start - first * inner, stop - first * inner)
    return None if found is None else (found[0], found[1] + first * stride)


def nest(target: Layout, source: Layout, weight: Int64 | int = 1, exponent: int = 0) -> Nest:
    """Synapses from each element of `source` to the element of `target` at its place; both broadcast.

    weight: one number, or an array of the rank of the common shape that broadcasts to it.  Digits of the two that do
    not divide each other cannot meet here: one of both is always a population's own order.
    """
    shape = tuple(np.broadcast_shapes(target.shape, source.shape, np.shape(weight)))
    values = np.asarray(weight, np.int64)
    axes: list[Axis] = []
    sizes: list[int] = []
    pairs = zip(target.broadcast(shape).axes, source.broadcast(shape).axes, strict=True)
    for place, (to, of) in enumerate(pairs):
        loops = list(_met(list(to), list(of)))
        axes += [Axis(*loop) for loop in loops]
        varies = values.ndim > 0 and values.shape[place] > 1
        sizes += [loop[0] if varies else 1 for loop in loops]
    return Nest(tuple(axes), target.offset, source.offset, values.reshape(sizes if values.ndim else ()), exponent)


def _met(to: list[Digit], of: list[Digit]) -> Iterable[tuple[int, int, int]]:
    """Loops (size, target move, source move) that are digits of both, the outermost first."""
    found = []
    while to:
        (a, s), (b, r) = to.pop(), of.pop()
        size = min(a, b)
        if a % size or b % size:
            raise ValueError(f"digits {a} and {b} of one axis")
        found.append((size, s, r))
        if a > size:
            to.append((a // size, s * size))
        if b > size:
            of.append((b // size, r * size))
    return reversed(found)


def renumbered(pattern: Nest, order: Layout) -> Nest | None:
    """The nest onto neurons in another order; order: where each of them was before. None where no loops express it.

    With the order of a population's own shape, loops that run across its axes become one loop an axis.
    """
    digits = [digit for axis in order.axes for digit in axis]
    moves = {stride: (size, move) for (size, stride), move in zip(digits, _moves(digits), strict=True)}
    loops = [_along(axis, moves) for axis in pattern.axes]
    used = {stride: pattern.target // stride % size for stride, (size, _) in moves.items()}
    axes: list[Axis] = []
    for part in loops:
        if part is None:
            return None
        for axis, stride, steps in part:
            used[stride] = used.get(stride, 0) + (axis.size - 1) * steps
            axes.append(axis)
    if any(top >= moves[stride][0] for stride, top in used.items() if stride):
        return None
    start = sum(pattern.target // stride % size * move for stride, (size, move) in moves.items())
    return replace(pattern, axes=tuple(axes), target=start, weight=_split(pattern, loops))


def regridded(pattern: Filters, order: Layout) -> Filters | None:
    """The same for a convolution; None also where its image would need more than a stride an axis."""
    to, sizes = pattern.target, (len(pattern.weight), *pattern.size_out)
    axes = [Axis(n, move, 0) for n, move in zip(sizes, (to.channel, to.row, to.column), strict=True)]
    found = renumbered(Nest(tuple(axes), to.offset, 0, np.ones((), np.int64)), order)
    if found is None or found.sizes != sizes:
        return None
    channel, row, column = (axis.target for axis in found.axes)
    return replace(pattern, target=Grid(channel, row, column, found.target))


def _moves(digits: Sequence[Digit]) -> list[int]:
    """The stride of each digit in C order."""
    return [prod(size for size, _ in digits[place + 1 :]) for place in range(len(digits))]


def _along(axis: Axis, moves: dict[int, tuple[int, int]]) -> list[tuple[Axis, int, int]] | None:
    """A loop as loops that each move one digit: (loop, stride of the digit before, how far it counts an iteration)."""
    if axis.target == 0 or axis.size == 1:
        return [(replace(axis, target=0), 0, 0)]
    stride = max((s for s in moves if s <= axis.target), default=0)
    if not stride or axis.target % stride:
        return None
    (size, move), steps = moves[stride], axis.target // stride
    if (axis.size - 1) * steps < size:
        return [(Axis(axis.size, steps * move, axis.source), stride, steps)]
    inner = size // steps
    if size % steps or axis.size % inner:
        return None
    outer = _along(Axis(axis.size // inner, axis.target * inner, axis.source * inner), moves)
    return outer and [*outer, (Axis(inner, steps * move, axis.source), stride, steps)]


def _split(pattern: Nest, loops: Sequence[list[tuple[Axis, int, int]] | None]) -> Int64:
    """The weight with an axis for each of the loops that each loop became."""
    if not pattern.weight.ndim:
        return pattern.weight
    pairs = zip(pattern.weight.shape, loops, strict=True)
    return pattern.weight.reshape([axis.size if n > 1 else 1 for n, part in pairs for axis, *_ in part or ()])


def listed(pattern: Nest | Filters | ConvWeights) -> SparseWeights | ConvWeights:
    """Every synapse but those of weight zero; shared weights stay as they are."""
    if isinstance(pattern, ConvWeights):
        return replace(pattern, weight=pattern.weight.astype(np.int64))
    return _listed_nest(pattern) if isinstance(pattern, Nest) else _listed_window(pattern)


def _listed_nest(pattern: Nest) -> SparseWeights:
    rows, cols = (np.full((), start, np.int64) for start in (pattern.target, pattern.source))
    for axis in pattern.axes:
        steps = np.arange(axis.size, dtype=np.int64)
        rows, cols = rows[..., None] + steps * axis.target, cols[..., None] + steps * axis.source
    weights = np.broadcast_to(pattern.weight, rows.shape)
    kept = weights != 0
    return SparseWeights(rows[kept], cols[kept], weights[kept], pattern.exponent)


def _listed_window(filters: Filters) -> SparseWeights:
    """Tap by tap: the outputs whose tap lies in the image, of all channels; each group has one channel in and out."""
    to, of, parts = filters.target, filters.source, []
    channels = np.arange(len(filters.weight))[:, None, None]
    for tap in np.ndindex(*filters.weight.shape[2:]):
        out, at = zip(*(_inside(filters, axis, tap[axis]) for axis in (0, 1)), strict=True)
        rows = to.offset + channels * to.channel + out[0][:, None] * to.row + out[1] * to.column
        cols = of.offset + channels * of.channel + at[0][:, None] * of.row + at[1] * of.column
        weights = np.broadcast_to(filters.weight[:, :, tap[0], tap[1], None], rows.shape)
        parts.append((rows.reshape(-1), cols.reshape(-1), weights.reshape(-1)))
    all_rows, all_cols, all_weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return SparseWeights(all_rows, all_cols, all_weights)


def _inside(filters: Filters, axis: int, tap: int) -> tuple[Int64, Int64]:
    """Outputs along an image axis whose tap lies in the image, and the inputs they read."""
    out = np.arange(filters.size_out[axis], dtype=np.int64)
    at = out * filters.stride[axis] + tap - filters.padding[axis]
    held = (at >= 0) & (at < filters.size_in[axis])
    return out[held], at[held]
