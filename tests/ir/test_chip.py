"""What is counted from patterns, against the synapses listed one by one."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir.chip import Axis, Box, Filters, Grid, Nest, Shape, Synapses
from neurodeploy.ir.chip_counts import axons_of, fan_in, sources_of, synapses_in, weights_of

Listed = list[tuple[int, int, int, tuple[int, ...]]]  # target, source, weight, entry of the weight


def listed(pattern: Nest | Filters) -> Listed:
    """Every synapse of a pattern, by plain loops."""
    if isinstance(pattern, Nest):
        weight = np.broadcast_to(pattern.weight, pattern.sizes)
        own = pattern.weight.shape or (1,) * len(pattern.axes)
        found = []
        for at in np.ndindex(*pattern.sizes):
            to = pattern.target + sum(i * a.target for i, a in zip(at, pattern.axes, strict=True))
            of = pattern.source + sum(i * a.source for i, a in zip(at, pattern.axes, strict=True))
            entry = tuple(i if n > 1 else 0 for i, n in zip(at, own, strict=True))
            found.append((to, of, int(weight[at]) << max(pattern.exponent, 0), entry))
        return found
    return listed_filters(pattern)


def listed_filters(f: Filters) -> Listed:
    found = []
    per_group = len(f.weight) // f.groups
    for o, i, ky, kx in np.ndindex(*f.weight.shape):
        c = o // per_group * f.weight.shape[1] + i
        for y, x in np.ndindex(*f.size_out):
            iy, ix = y * f.stride[0] + ky - f.padding[0], x * f.stride[1] + kx - f.padding[1]
            if 0 <= iy < f.size_in[0] and 0 <= ix < f.size_in[1]:
                to = f.target.offset + o * f.target.channel + y * f.target.row + x * f.target.column
                of = f.source.offset + c * f.source.channel + iy * f.source.row + ix * f.source.column
                found.append((to, of, int(f.weight[o, i, ky, kx]), (o, i, ky, kx)))
    return found


@st.composite
def loops(draw: st.DrawFn) -> tuple[list[Axis], Shape, Shape, int, int]:
    """Loops of a tensor that is permuted, folded and summed on its way from source to target, within wider shapes."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    kinds = [draw(st.sampled_from(["both", "target", "source"])) for _ in sizes]

    def side(name: str) -> tuple[list[int], Shape, int]:
        used = [i for i, kind in enumerate(kinds) if kind in ("both", name)]
        order = draw(st.permutations(used))
        extra = [draw(st.integers(0, 2)) for _ in order]
        room = [sizes[i] + e for i, e in zip(order, extra, strict=True)] or [1]
        moves, step, offset = [0] * len(sizes), 1, 0
        for place in reversed(range(len(order))):
            moves[order[place]] = step
            offset += draw(st.integers(0, extra[place])) * step
            step *= room[place]
        fold = draw(st.integers(0, len(room)))  # the axes from `fold` on become one
        shape = tuple(room[:fold]) + ((prod(room[fold:]),) if room[fold:] else ())
        return moves, shape, offset

    to, target_shape, first = side("target")
    of, source_shape, start = side("source")
    return [Axis(*axis) for axis in zip(sizes, to, of, strict=True)], target_shape, source_shape, first, start


@st.composite
def nests(draw: st.DrawFn) -> Synapses:
    axes, target_shape, source_shape, target, source = draw(loops())
    shape = tuple(a.size if draw(st.booleans()) else 1 for a in axes)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weight = rng.integers(-1, 2, shape) if draw(st.booleans()) else np.array(3)
    nest = Nest(tuple(axes), target, source, weight.astype(np.int64), draw(st.integers(0, 2)))
    return Synapses("s", "a", "b", nest, source_shape, target_shape)


@st.composite
def filters(draw: st.DrawFn) -> Synapses:
    groups, co, ci = (draw(st.integers(1, 2)) for _ in range(3))
    kernel, stride = ((draw(st.integers(1, 3)), draw(st.integers(1, 3))) for _ in range(2))
    padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    size_in = (draw(st.integers(3, 5)), draw(st.integers(3, 5)))
    size_out = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip(size_in, padding, kernel, stride, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weight = rng.integers(-1, 2, (co * groups, ci, *kernel)).astype(np.int64)
    (source, source_shape), (target, target_shape) = (
        draw(grids((channels, *size))) for channels, size in ((ci * groups, size_in), (co * groups, size_out))
    )
    pattern = Filters(weight, stride, padding, groups, size_in, (size_out[0], size_out[1]), source, target)
    return Synapses("s", "a", "b", pattern, source_shape, target_shape)


@st.composite
def grids(draw: st.DrawFn, sizes: Shape) -> tuple[Grid, Shape]:
    """Where an image lies in a population that holds its axes in some order, some of them folded into one."""
    order = draw(st.permutations(range(3)))
    moves, step = [0, 0, 0], 1
    for axis in reversed(order):
        moves[axis], step = step, step * sizes[axis]
    room = [sizes[axis] for axis in order]
    fold = draw(st.sampled_from([(3,), (1, 2), (2, 1), (1, 1, 1)]))
    ends = np.cumsum((0, *fold))
    return Grid(*moves), tuple(prod(room[a:b]) for a, b in pairwise(ends))


@st.composite
def boxes(draw: st.DrawFn, shape: Shape) -> Box:
    ends = [sorted((draw(st.integers(0, n - 1)), draw(st.integers(1, n)))) for n in shape]
    return Box(tuple(a for a, _ in ends), tuple(max(a + 1, b) for a, b in ends))


def check(synapses: Synapses, box: Box) -> None:
    every = listed(synapses.pattern)
    assert synapses.count == len(every)
    assert synapses.nonzero == sum(weight != 0 for _, _, weight, _ in every)
    place = np.array(np.unravel_index([to for to, *_ in every], synapses.target_shape)).T
    inside = ((place >= box.start) & (place < box.stop)).all(axis=1)
    held = [one for one, kept in zip(every, inside, strict=True) if kept]
    assert synapses_in(synapses, box) == len(held)
    assert axons_of(synapses, box) == len({of for _, of, _, _ in held})
    assert weights_of(synapses, box) == len({entry for *_, entry in held})
    counts = np.unique([to for to, *_ in held], return_counts=True)[1]
    assert fan_in(synapses, box) == counts.max(initial=0)
    axons = np.array(np.unravel_index(np.array([of for _, of, _, _ in held], np.int64), synapses.source_shape))
    wanted = Box(tuple(axons.min(axis=1)), tuple(axons.max(axis=1) + 1)) if held else None
    assert sources_of(synapses, box) == wanted


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nests(data: st.DataObject) -> None:
    synapses = data.draw(nests())
    check(synapses, data.draw(boxes(synapses.target_shape)))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_filters(data: st.DataObject) -> None:
    synapses = data.draw(filters())
    check(synapses, data.draw(boxes(synapses.target_shape)))


@pytest.mark.parametrize("start", range(6))
def test_loops_that_carry(start: int) -> None:
    """A loop that runs across the rows of both shapes."""
    pattern = Nest((Axis(6, 1, 2), Axis(2, 0, 1)), 2, 1, np.array(1))
    check(Synapses("s", "a", "b", pattern, (5, 3), (3, 3)), Box((start // 3, 0), (3, 1 + start % 3)))


def test_shapes_of_imagenet_are_counted_at_once() -> None:
    weight = np.ones((768, 768, 3, 3), np.int64)
    pattern = Filters(weight, (1, 1), (1, 1), 1, (56, 56), (56, 56), Grid(3136, 56, 1), Grid(3136, 56, 1))
    synapses = Synapses("s", "a", "b", pattern, (768, 56, 56), (768, 56, 56))
    box = Box((0, 8, 0), (32, 16, 56))
    assert synapses.count == 768 * 768 * (3 * 56 - 2) ** 2
    assert axons_of(synapses, box) == 768 * 10 * 56
    assert synapses_in(synapses, box) == 32 * 768 * 24 * (3 * 56 - 2)
    assert (weights_of(synapses, box), fan_in(synapses, box)) == (32 * 768 * 9, 6912)
