"""What a box of neurons needs, counted from patterns: exact, and without listing synapses.

A box is one of the target population's shape. See `chip_loops` for how loops and boxes meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from math import prod

import numpy as np

from neurodeploy.ir.chip import Axis, Box, Filters, Nest, Synapses
from neurodeploy.ir.chip_loops import Group, Mask, different, groups, joint, moves_of, places, sums
from neurodeploy.numerics import Int64


def sources_of(synapses: Synapses, box: Box) -> Box | None:
    """The bounding box, in the source's shape, of the axons that reach the box of the target; None where none does."""
    first, sets = _axons(synapses, box)
    if not all(part.size for part in sets):
        return None
    shape = synapses.source_shape
    at, parts = places(np.array([first]), shape)[:, 0], [places(part, shape) for part in sets]
    low, high = (at + sum(pick(part, axis=1) for part in parts) for pick in (np.min, np.max))
    if (high >= np.array(shape)).any():  # an index carries: every axon is looked at
        everything = places(first + reduce(sums, sets, np.zeros(1, np.int64)), shape)
        low, high = everything.min(axis=1), everything.max(axis=1)
    return Box(tuple(map(int, low)), tuple(int(n) + 1 for n in high))


def axons_of(synapses: Synapses, box: Box) -> int:
    """Different axons of the source that reach the box of the target."""
    return different(_axons(synapses, box)[1])


def synapses_in(synapses: Synapses, box: Box) -> int:
    """Synapses into the box, those of weight zero included."""
    pattern = synapses.pattern
    if isinstance(pattern, Nest):
        return prod(int(group.mask.sum()) for group in _nest_groups(pattern, synapses, box))
    per_pixel, width = _taps_at(pattern), int(pattern.weight.shape[1])
    return sum(len(channels) * width * int(per_pixel[mask].sum()) for channels, mask in _planes(pattern, synapses, box))


def weights_of(synapses: Synapses, box: Box) -> int:
    """Weights that the box's synapses need where they may be shared: different entries of the pattern's weight."""
    pattern = synapses.pattern
    if isinstance(pattern, Filters):
        planes, width = _planes(pattern, synapses, box), int(pattern.weight.shape[1])
        return sum(len(channels) * width * sum(1 for _ in _reached(pattern, mask)) for channels, mask in planes)
    shared = {i for i in range(len(pattern.axes)) if pattern.weight.ndim == 0 or pattern.weight.shape[i] == 1}
    found = _nest_groups(pattern, synapses, box)
    axes = [tuple(at for at, loop in enumerate(group.loops) if loop in shared) for group in found]
    return prod(int(group.mask.any(axis=own).sum()) for group, own in zip(found, axes, strict=True))


def fan_in(synapses: Synapses, box: Box) -> int:
    """The most synapses of this pattern that one neuron of the box has."""
    pattern = synapses.pattern
    if isinstance(pattern, Filters):
        pixels = [int(_taps_at(pattern)[mask].max(initial=0)) for _, mask in _planes(pattern, synapses, box)]
        return int(pattern.weight.shape[1]) * max(pixels, default=0)
    loops = [(axis.size, axis.target) for axis in pattern.axes]
    hits = [moves_of([loops[i] for i in g.loops])[g.mask] for g in _nest_groups(pattern, synapses, box)]
    return prod(int(np.unique(moves, return_counts=True)[1].max(initial=0)) for moves in hits)


def _nest_groups(nest: Nest, synapses: Synapses, box: Box) -> list[Group]:
    return groups(nest.axes, nest.target, synapses.target_shape, box)


def _planes(filters: Filters, synapses: Synapses, box: Box) -> list[tuple[Int64, Mask]]:
    """(output channels, output pixels [Ho, Wo] of each) inside the box; every channel once."""
    to, sizes = filters.target, (len(filters.weight), *filters.size_out)
    axes = [Axis(n, move, 0) for n, move in zip(sizes, (to.channel, to.row, to.column), strict=True)]
    found = groups(axes, to.offset, synapses.target_shape, box)
    alone = next((group for group in found if group.loops == (0,)), None)
    if alone:
        mask = joint([group for group in found if group is not alone], (1, *sizes[1:]))[0]
        return [(np.flatnonzero(alone.mask), mask)] if mask.any() and alone.mask.any() else []
    masks, which = np.unique(joint(found, sizes).reshape(sizes[0], -1), axis=0, return_inverse=True)
    planes = [(np.flatnonzero(which.reshape(-1) == i), mask.reshape(sizes[1:])) for i, mask in enumerate(masks)]
    return [(channels, mask) for channels, mask in planes if mask.any()]


def _taps_at(filters: Filters) -> Int64:
    """Taps inside the image, of every output pixel [Ho, Wo]."""
    whole = np.ones(filters.size_out, np.int64)
    total = np.zeros_like(whole)
    for to, _ in _reached(filters, whole > 0):
        total[to] += 1
    return total


def _reached(filters: Filters, mask: Mask) -> Iterator[tuple[tuple[Int64, Int64], tuple[Int64, Int64]]]:
    """For each kernel position that any pixel of the mask uses: (rows, columns) of output and of input pixels."""
    rows, columns = np.nonzero(mask)
    for ky, kx in np.ndindex(*filters.weight.shape[2:]):
        y = rows * filters.stride[0] + ky - filters.padding[0]
        x = columns * filters.stride[1] + kx - filters.padding[1]
        held = (y >= 0) & (y < filters.size_in[0]) & (x >= 0) & (x < filters.size_in[1])
        if held.any():
            yield (rows[held], columns[held]), (y[held], x[held])


def _pixels(filters: Filters, mask: Mask) -> Mask:
    """Input pixels [H, W] that the output pixels of the mask read."""
    seen = np.zeros(filters.size_in, np.bool_)
    for _, at in _reached(filters, mask):
        seen[at] = True
    return seen


def _axons(synapses: Synapses, box: Box) -> tuple[int, list[Int64]]:
    """A flat index and ascending sets of moves: every sum of one of each is an axon that reaches the box."""
    pattern = synapses.pattern
    if isinstance(pattern, Filters):
        return pattern.source.offset, _filter_axons(pattern, _planes(pattern, synapses, box))
    loops = [(axis.size, axis.source) for axis in pattern.axes]
    found = _nest_groups(pattern, synapses, box)
    return pattern.source, [np.unique(moves_of([loops[i] for i in g.loops])[g.mask]) for g in found]


def _filter_axons(filters: Filters, planes: list[tuple[Int64, Mask]]) -> list[Int64]:
    """Sets of moves, channels and pixels where all groups of channels are read at the same pixels."""
    width, image = filters.weight.shape[1], dict[int, Mask]()
    for channels, mask in planes:
        seen = _pixels(filters, mask)
        for group in np.unique(channels // (len(filters.weight) // filters.groups)).tolist():
            image[group] = image.get(group, False) | seen
    if len({seen.tobytes() for seen in image.values()}) == 1:
        inputs = np.concatenate([np.arange(g * width, (g + 1) * width) for g in image])
        return _moves(filters, inputs, next(iter(image.values())))
    parts = [_moves(filters, np.arange(g * width, (g + 1) * width), seen) for g, seen in image.items()]
    return [np.unique(np.concatenate([sums(*part) for part in parts] or [np.zeros(0, np.int64)]))]


def _moves(filters: Filters, channels: Int64, pixels: Mask) -> list[Int64]:
    rows, columns = np.nonzero(pixels)
    grid = filters.source
    return [np.unique(channels * grid.channel), np.unique(rows * grid.row + columns * grid.column)]
