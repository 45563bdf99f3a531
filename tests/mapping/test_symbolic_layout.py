"""Layouts and nests against NumPy's own views of numbered neurons."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurodeploy.errors import UnsupportedModelError
from neurodeploy.ir.graph import Graph, Node, Stage, tensor
from neurodeploy.ir.mapped import View, apply_views
from neurodeploy.mapping import symbolic
from neurodeploy.mapping.layout import Layout, dense, listed, nest, renumbered

Shape = tuple[int, ...]


def numbers(layout: Layout) -> np.ndarray:
    """The flat index of every element, by adding up digits."""
    total = np.full((), layout.offset)
    for digits in layout.axes:
        own = np.zeros((), np.int64)
        for size, stride in digits:
            own = own[..., None] + np.arange(size) * stride
        total = total[..., None] + own.reshape(-1)
    return total


def numbered(shape: Shape) -> np.ndarray:
    return np.arange(prod(shape)).reshape(shape)


@st.composite
def views(draw: st.DrawFn, shape: Shape) -> View:
    """A view that a value of this shape can have."""
    kind = draw(st.sampled_from(["permute", "reshape", "split", "slice"]))
    if kind == "permute":
        return "permute", tuple(draw(st.permutations(range(len(shape)))))
    axis = draw(st.integers(0, len(shape) - 1))
    if kind == "slice":
        start = draw(st.integers(0, shape[axis] - 1))
        return "slice", (axis, start, draw(st.integers(start + 1, shape[axis])))
    if kind == "split":
        outer = draw(st.sampled_from([n for n in range(1, shape[axis] + 1) if shape[axis] % n == 0]))
        return "reshape", (*shape[:axis], outer, shape[axis] // outer, *shape[axis + 1 :])
    return "reshape", (*shape[:axis], prod(shape[axis : axis + 2]), *shape[axis + 2 :])


@st.composite
def seen(draw: st.DrawFn, slices: bool = True) -> tuple[Layout, np.ndarray, Shape]:
    """A layout through some views, the same in NumPy, and the population's shape."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3)))
    layout, array = dense(shape), numbered(shape)
    for _ in range(draw(st.integers(0, 4))):
        view = draw(views(array.shape))
        assume(slices or view[0] != "slice")
        found = layout.viewed(view)
        if found is not None:
            layout, array = found, apply_views(array, (view,))
    return layout, array, shape


@settings(max_examples=300, deadline=None)
@given(seen())
def test_views(both: tuple[Layout, np.ndarray, Shape]) -> None:
    layout, array, shape = both
    assert layout.shape == array.shape
    assert np.array_equal(numbers(layout), array)
    assert layout.is_dense(shape) == np.array_equal(array.reshape(-1), np.arange(prod(shape)))
    if layout.strides is not None:
        assert np.array_equal(
            layout.offset + sum(np.ogrid[tuple(map(slice, array.shape))][i] * s for i, s in enumerate(layout.strides)),
            array,
        )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_has_no_strides_is_none_of_one_step(data: st.DataObject) -> None:
    """A dense layout takes every view: what is refused lands densely first, and then is not refused."""
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    view = data.draw(views(shape))
    found = dense(shape).viewed(view)
    assert found is not None
    assert np.array_equal(numbers(found), apply_views(numbered(shape), (view,)))


@settings(max_examples=200, deadline=None)
@given(seen(), st.integers(0, 99), st.booleans())
def test_nests(both: tuple[Layout, np.ndarray, Shape], seed: int, shared: bool) -> None:
    layout, array, _ = both
    rng = np.random.default_rng(seed)
    weight = rng.integers(-2, 3, [1 if shared and i % 2 else n for i, n in enumerate(array.shape)])
    synapses = listed(nest(dense(array.shape), layout, weight))
    wide = np.broadcast_to(weight, array.shape).reshape(-1)
    order = np.argsort(synapses.rows)
    assert np.array_equal(synapses.rows[order], np.flatnonzero(wide))
    assert np.array_equal(synapses.cols[order], array.reshape(-1)[wide != 0])
    assert np.array_equal(synapses.weights[order], wide[wide != 0])


@settings(max_examples=300, deadline=None)
@given(seen(slices=False), st.booleans())
def test_renumbered_targets(both: tuple[Layout, np.ndarray, Shape], summed: bool) -> None:
    """The neurons of a drive in the order of a view of it: each synapse goes along."""
    order, array, shape = both
    kept = (*shape[:-1], 1) if summed else shape
    pattern = nest(dense(kept) if not summed else dense(shape).part(len(shape) - 1, 0, 1), dense(shape))
    found = renumbered(pattern, order)
    if found is None:
        return
    place = np.empty(prod(shape), np.int64)
    place[array.reshape(-1)] = np.arange(prod(shape))
    before, after = listed(pattern), listed(found)
    wanted = sorted(zip(place[before.rows].tolist(), before.cols.tolist(), strict=True))
    assert sorted(zip(after.rows.tolist(), after.cols.tolist(), strict=True)) == wanted


def test_digits_that_do_not_meet() -> None:
    turned = dense((3, 2)).viewed(("permute", (1, 0)))
    assert turned is not None
    assert turned.viewed(("reshape", (3, 2))) is None
    merged = turned.viewed(("reshape", (6,)))
    assert merged is not None and merged.strides is None
    assert merged.viewed(("slice", (0, 1, 5))) is None
    half = merged.viewed(("slice", (0, 3, 6)))
    assert half is not None and numbers(half).tolist() == [1, 3, 5]


def test_a_window_of_spikes_over_three_axes_is_refused() -> None:
    cube = {"kernel": (2, 2, 2), "stride": (2, 2, 2), "padding": (0, 0, 0)}
    nodes = (
        Node("encode", "x", (), {"shape": (1, 2, 2, 2), "step": 1.0, "lo": 0, "hi": 1}),
        Node("max_pool", "pool", ("x",), cube),
        Node("reshape", "flat", ("pool",), {"shape": (1,)}),
        Node("readout", "out", ("flat",), {}, {"bias": tensor(np.zeros(1), np.int64)}),
    )
    with pytest.raises(UnsupportedModelError, match="ND-M150"):
        symbolic.lower(Graph("cube", Stage.QUANTIZED, 1, nodes, "out"))
