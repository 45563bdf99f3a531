"""Crossbars of populations in parts, one a threshold, as patterns: which loops of a nest stay inside a pair of parts.

The channels of a part lie anywhere among those of its layer. A loop that moves along them is cut into runs: iterations
whose neurons lie at equal distances within their parts. Where one side alone moves along channels that is one run a
part, as weights are taken one by one; where both sides do, as in a residual, runs are as many as the parts are mixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np

from neurodeploy.ir.chip import Axis, Filters, Grid, Nest
from neurodeploy.ir.chip_loops import moves_of
from neurodeploy.mapping.groups import Parts
from neurodeploy.numerics import Int64

MOST_JOINT = 1 << 16  # synapses of a nest all of whose loops are looked at together, where views mix its channels
Piece = tuple[int, int, Nest | Filters]  # part of the source, part of the target, the synapses between them


@dataclass(frozen=True)
class _Run:
    """Iterations of some loops of a nest, all but the last of which stand still.

    fixed: loop -> its iteration.  loop, picks: the one that runs, and its iterations.  source, target: flat index in
    the whole at the first of them.  steps: from one iteration to the next, within the parts.
    """

    fixed: dict[int, int]
    loop: int
    picks: Int64
    source: int
    target: int
    steps: tuple[int, int]


def pieces(pattern: Nest | Filters, source: Parts, target: Parts) -> list[Piece] | None:
    """The pattern between each part of its source and of its target; None where a part has no strides of its own."""
    if len(source.populations) == len(target.populations) == 1:
        return [(0, 0, pattern)]
    if isinstance(pattern, Filters):
        return _whole(_of_filters(pattern, source, target)) or _whole(_tap_by_tap(pattern, source, target))
    return _whole(_of_nest(pattern, _components(pattern, source, target), source, target)) or _whole(
        _jointly(pattern, source, target)
    )


def _jointly(nest: Nest, source: Parts, target: Parts) -> Iterator[Piece | None]:
    """All loops together, where views mix the channels with other axes; only of small nests."""
    if prod(nest.sizes) > MOST_JOINT:
        yield None
        return
    every = sorted(range(len(nest.axes)), key=lambda i: nest.axes[i].size)
    yield from _of_nest(nest, [every], source, target)


def _tap_by_tap(filters: Filters, source: Parts, target: Parts) -> Iterator[Piece | None]:
    """A convolution as a nest a tap, where its positions have different thresholds."""
    groups, out, width = filters.groups, len(filters.weight) // filters.groups, filters.weight.shape[1]
    to, of = filters.target, filters.source
    for tap in np.ndindex(*filters.weight.shape[2:]):
        lines = [_inside(filters, axis, tap[axis]) for axis in (0, 1)]
        if not all(count for count, _, _ in lines):
            continue
        (rows, y, from_y), (columns, x, from_x) = lines
        axes = (
            Axis(groups, out * to.channel, width * of.channel),
            Axis(out, to.channel, 0),
            Axis(width, 0, of.channel),
            Axis(rows, to.row, of.row * filters.stride[0]),
            Axis(columns, to.column, of.column * filters.stride[1]),
        )
        weight = filters.weight[:, :, tap[0], tap[1]].reshape(groups, out, width, 1, 1)
        first = to.offset + y * to.row + x * to.column, of.offset + from_y * of.row + from_x * of.column
        yield from _jointly(Nest(axes, *first, weight), source, target)


def _inside(filters: Filters, axis: int, tap: int) -> tuple[int, int, int]:
    """(how many outputs have the tap inside the image, the first of them, the input that it reads)."""
    at = np.arange(filters.size_out[axis])
    read = at * filters.stride[axis] + tap - filters.padding[axis]
    held = np.flatnonzero((read >= 0) & (read < filters.size_in[axis]))
    return (len(held), int(at[held[0]]), int(read[held[0]])) if len(held) else (0, 0, 0)


def _whole(every: Iterable[Piece | None]) -> list[Piece] | None:
    """All pieces, or None where one is none."""
    found = list(every)
    whole = [piece for piece in found if piece is not None]
    return whole if len(whole) == len(found) else None


def _of_nest(nest: Nest, together: Sequence[list[int]], source: Parts, target: Parts) -> Iterator[Piece | None]:
    """together: the loops that are cut into runs, those of one side's channels together."""
    for runs in product(*(list(_runs(nest, loops, source, target)) for loops in together)):
        first = [nest.source + sum(run.source for run in runs), nest.target + sum(run.target for run in runs)]
        yield _piece(nest, runs, first, (source, target))


def _components(nest: Nest, source: Parts, target: Parts) -> list[list[int]]:
    """The loops that move along the channels of a side, those of one side together."""
    touched = []
    for parts, moves in ((source, [a.source for a in nest.axes]), (target, [a.target for a in nest.axes])):
        touched.append({i for i, a in enumerate(nest.axes) if a.size > 1 and parts.moves(a.size, moves[i])})
    if touched[0] & touched[1]:
        touched = [touched[0] | touched[1]]
    return [sorted(loops, key=lambda i: nest.axes[i].size) for loops in touched if loops]


def _runs(nest: Nest, loops: Sequence[int], source: Parts, target: Parts) -> Iterator[_Run]:
    """The longest loop in runs, for each iteration of the others."""
    *outer, last = loops
    own = nest.axes[last]
    at = np.arange(own.size)
    for place in np.ndindex(*(nest.axes[i].size for i in outer)):
        fixed = dict(zip(outer, place, strict=True))
        moved = [sum(getattr(nest.axes[i], side) * n for i, n in fixed.items()) for side in ("source", "target")]
        sides = (moved[0] + at * own.source, moved[1] + at * own.target)
        for picks, steps in runs_of((source, nest.source + sides[0]), (target, nest.target + sides[1])):
            yield _Run(fixed, last, picks, int(sides[0][picks[0]]), int(sides[1][picks[0]]), steps)


def runs_of(source: tuple[Parts, Int64], target: tuple[Parts, Int64]) -> Iterator[tuple[Int64, tuple[int, int]]]:
    """Positions of one pair of parts at equal distances in both, and these; flat indices of the wholes come in."""
    (of, s), (onto, t) = source, target
    pair = of.part[s] * len(onto.populations) + onto.part[t]
    for which in np.unique(pair):
        left = np.flatnonzero(pair == which)
        places = np.stack([of.place[s[left]], onto.place[t[left]]])
        steps = np.diff(places, axis=1)
        ends = np.flatnonzero((steps[:, 1:] != steps[:, :-1]).any(axis=0)) + 1  # the step behind it is another one
        start = 0
        while start < len(left):
            stop = next((int(end) + 1 for end in ends if end > start), len(left))
            stop = max(stop, start + 1)
            step = steps[:, start] if stop - start > 1 else np.zeros(2, np.int64)
            yield left[start:stop], (int(step[0]), int(step[1]))
            start = stop


def _piece(nest: Nest, runs: Sequence[_Run], first: Sequence[int], sides: tuple[Parts, Parts]) -> Piece | None:
    """The iterations of the runs, all other loops as they are, among the neurons of two parts."""
    steps = {run.loop: run for run in runs}
    fixed = {loop: at for run in runs for loop, at in run.fixed.items()}
    axes, weight = [], nest.weight
    for loop, axis in enumerate(nest.axes):
        varies = weight.ndim > 0 and nest.weight.shape[loop] > 1
        if loop in steps:
            run = steps[loop]
            axes.append(Axis(len(run.picks), run.steps[1], run.steps[0]))
            weight = np.take(weight, run.picks, axis=loop) if varies else weight
        elif loop in fixed:
            weight = np.take(weight, [fixed[loop]], axis=loop) if varies else weight
        else:
            of, onto = (
                parts.step(at, axis.size, move)
                for parts, at, move in zip(sides, first, (axis.source, axis.target), strict=True)
            )
            if of is None or onto is None:
                return None
            axes.append(Axis(axis.size, onto, of))
    if weight.ndim:
        weight = weight.reshape([n for loop, n in enumerate(weight.shape) if loop not in fixed])
    numbers, starts = (
        [int(own[at]) for own, at in zip(each, first, strict=True)]
        for each in ([parts.part for parts in sides], [parts.place for parts in sides])
    )
    found = replace(nest, axes=tuple(axes), target=starts[1], source=starts[0], weight=weight)
    return numbers[0], numbers[1], found


def _of_filters(filters: Filters, source: Parts, target: Parts) -> Iterator[Piece | None]:
    inputs, outputs = _image(filters.source, filters, 0), _image(filters.target, filters, 1)
    width, out = filters.weight.shape[1], len(filters.weight) // filters.groups
    if filters.groups == 1:
        yield from _between(filters, (source, inputs), (target, outputs))
    elif width == out == 1:
        for picks, _ in runs_of((source, inputs[:, 0, 0]), (target, outputs[:, 0, 0])):
            yield _window(filters, picks, (source, inputs[picks]), (target, outputs[picks]), groups=len(picks))
    else:
        for g in range(filters.groups):
            own = replace(filters, weight=filters.weight[g * out : (g + 1) * out], groups=1)
            yield from _between(
                own, (source, inputs[g * width : (g + 1) * width]), (target, outputs[g * out : (g + 1) * out])
            )


def _image(grid: Grid, filters: Filters, side: int) -> Int64:
    """Flat indices of the neurons of an image, [channels, height, width]."""
    channels = (filters.weight.shape[1] * filters.groups, len(filters.weight))[side]
    size = (channels, *(filters.size_in, filters.size_out)[side])
    return grid.offset + moves_of(list(zip(size, (grid.channel, grid.row, grid.column), strict=True)))


def _between(filters: Filters, source: tuple[Parts, Int64], target: tuple[Parts, Int64]) -> Iterator[Piece | None]:
    """A convolution of one group between the channels of each part of both sides."""
    labels = [parts.part[image[:, 0, 0]] for parts, image in (source, target)]
    for p, q in product(np.unique(labels[0]), np.unique(labels[1])):
        of, onto = np.flatnonzero(labels[0] == p), np.flatnonzero(labels[1] == q)
        own = replace(filters, weight=filters.weight[np.ix_(onto, of)])
        yield _window(own, slice(None), (source[0], source[1][of]), (target[0], target[1][onto]))


def _window(
    filters: Filters,
    picks: Int64 | slice,
    source: tuple[Parts, Int64],
    target: tuple[Parts, Int64],
    groups: int = 1,
) -> Piece | None:
    """The filters onto some output channels, their images among the neurons of two parts."""
    grids = [_grid(parts, image) for parts, image in (source, target)]
    if grids[0] is None or grids[1] is None:
        return None
    number = [int(parts.part[image[0, 0, 0]]) for parts, image in (source, target)]
    weight = filters.weight[picks]
    return number[0], number[1], replace(filters, weight=weight, source=grids[0], target=grids[1], groups=groups)


def _grid(parts: Parts, image: Int64) -> Grid | None:
    """Where an image of a whole lies in the part that holds it; None where its axes have no stride each."""
    at = parts.place[image]
    first = int(at[0, 0, 0])
    moves = []
    for axis, n in enumerate(at.shape):
        step = tuple(int(axis == i) for i in range(3))
        moves.append(int(at[step]) - first if n > 1 else 0)
    regular = np.array_equal(at, first + moves_of(list(zip(at.shape, moves, strict=True))))
    alone = (parts.part[image] == parts.part[image[0, 0, 0]]).all()
    return Grid(moves[0], moves[1], moves[2], first) if regular and alone else None
