"""Normal form: whatever views and element-wise ops are stacked, the built graph computes the same with fewer views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.frontend.builder import VIEWS, Builder
from neurodeploy.ir.graph import Graph, Source, Stage
from neurodeploy.ir.infer import IllegalNode
from neurodeploy.ir.verify import types, verify
from tests.frontend.small import interpret

NEURON = {"decay": 0.5, "threshold": 1.0, "decay_input": 1}
HERE = Source("here")


def finished(build: Builder, output: str) -> Graph:
    nodes = tuple(build.nodes.values())
    return verify(Graph("g", Stage.TRACED, 2, nodes, output))


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Ops on a value of 24 elements."""
    steps, shape = [], (2, 3, 4)
    shapes = [(24,), (2, 12), (6, 4), (4, 3, 2), (2, 3, 2, 2), (1, 24), (2, 1, 3, 4), (8, 3), (3, 8), (2, 3, 4)]
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["reshape", "permute", "permute", "neuron", "scale", "add", "double"]))
        argument: Any = None
        if kind == "reshape":
            argument = shape = draw(st.sampled_from(shapes))
        if kind == "permute":
            argument = tuple(draw(st.permutations(range(len(shape)))))
            shape = tuple(shape[axis] for axis in argument)
        steps.append((kind, argument))
    return steps


@st.composite
def parts(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Slices among views and element-wise ops, on a value of 2x3x4."""
    steps: list[tuple[str, Any]] = []
    shape: tuple[int, ...] = (2, 3, 4)
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["reshape", "permute", "slice", "slice", "neuron", "complement"]))
        argument: Any = None
        if kind == "reshape":
            argument = shape = draw(factors(int(np.prod(shape))))
        if kind == "permute":
            argument = tuple(draw(st.permutations(range(len(shape)))))
            shape = tuple(shape[axis] for axis in argument)
        if kind == "slice":
            axis = draw(st.integers(0, len(shape) - 1))
            start = draw(st.integers(0, shape[axis] - 1))
            argument = (axis, start, draw(st.integers(start + 1, shape[axis])))
            shape = (*shape[:axis], argument[2] - start, *shape[axis + 1 :])
        steps.append((kind, argument))
    return steps


@st.composite
def factors(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """A shape of `size` elements."""
    found = [1]
    for prime in (2, 2, 2, 2, 3):
        if size % prime == 0:
            size //= prime
            found = [*found[:-1], found[-1] * prime] if draw(st.booleans()) else [*found, prime]
    return (*found, size)  # what is left is 1, or a prime that no shape here splits


def applied(build: Builder, x: str, kind: str, argument: Any) -> str:
    if kind in VIEWS:
        return getattr(build, kind)(x, argument, HERE)
    if kind == "slice":
        return build.slice(x, *argument, HERE)
    if kind == "complement":
        return build.complement(x, HERE)
    if kind == "neuron":
        return build.elementwise("neuron", x, NEURON, HERE)
    if kind == "scale":
        return build.scale(x, 1.5, HERE)
    other = build.scale(x, 0.25, HERE) if kind == "add" else x
    return build.add(x, other, HERE)


def plainly(x: torch.Tensor, kind: str, argument: Any) -> torch.Tensor:
    """The same on [T, *shape], op for op."""
    if kind == "reshape":
        return x.reshape(len(x), *argument)
    if kind == "permute":
        return x.permute(0, *(axis + 1 for axis in argument))
    if kind == "slice":
        axis, start, stop = argument
        return x.narrow(axis + 1, start, stop - start)
    if kind in ("scale", "complement"):
        return x * 1.5 if kind == "scale" else 1 - x
    if kind != "neuron":
        return x + (x * 0.25 if kind == "add" else x)
    v, spikes = torch.zeros_like(x[0]), []
    for step in x:
        v = v + (step - v) * 0.5
        spikes.append((v >= 1).double())
        v = torch.where(v >= 1, 0.0, v)
    return torch.stack(spikes)


def built(chain: list[tuple[str, Any]], seed: int) -> Graph:
    """The graph of a chain of ops, which computes what torch computes."""
    frames = torch.tensor(np.random.default_rng(seed).integers(-8, 24, (2, 2, 3, 4)) / 4)
    build = Builder()
    name, wanted = build.make("input", (), {"shape": (2, 3, 4)}, HERE), frames
    for kind, argument in chain:
        name, wanted = applied(build, name, kind, argument), plainly(wanted, kind, argument)
    graph = finished(build, name)
    assert types(graph)[name].shape == tuple(wanted.shape[1:])
    assert torch.equal(interpret(graph, frames)[name], wanted)
    return graph


@given(chains(), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_chains_compute_the_same(chain: list[tuple[str, Any]], seed: int) -> None:
    graph = built(chain, seed)
    for node in graph.nodes:
        read = [graph.by_name[i].op for i in node.inputs]
        assert node.op not in ("neuron", "scale") or not set(read) & set(VIEWS)
        assert (node.op, *read) not in (("reshape", "reshape"), ("permute", "permute"))


@given(parts(), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_parts_compute_the_same(chain: list[tuple[str, Any]], seed: int) -> None:
    graph = built(chain, seed)
    for node in graph.of("slice"):
        before = graph.by_name[node.inputs[0]]
        assert before.op != "permute"
        assert before.op != "slice" or before.integer("axis") < node.integer("axis")


def test_equal_parts_have_equal_text() -> None:
    """q of a fused q, k, v, cut before and after the heads are split: one slice of the channels."""
    build = Builder()
    x = build.make("input", (), {"shape": (12, 5)}, HERE)
    first = build.reshape(build.slice(x, 0, 4, 8, HERE), (2, 2, 5), HERE)
    heads = build.reshape(x, (3, 2, 2, 5), HERE)
    assert build.reshape(build.slice(heads, 0, 1, 2, HERE), (2, 2, 5), HERE) == first
    assert build.slice(build.reshape(heads, (6, 2, 5), HERE), 0, 2, 4, HERE) == first
    (cut,) = (node for node in build.nodes.values() if node.op == "slice")
    assert (cut.inputs, cut.attributes) == ((x,), {"axis": 0, "start": 4, "stop": 8})


@given(
    st.permutations(range(3)), st.sets(st.integers(0, 2), min_size=1), st.booleans(), st.sampled_from(["sum", "mean"])
)
@settings(max_examples=60)
def test_reduces_pass_permutes(order: list[int], axes: set[int], keep: bool, kind: str) -> None:
    frames = torch.arange(24, dtype=torch.float64).reshape(1, 2, 3, 4).repeat(2, 1, 1, 1)
    build = Builder()
    x = build.permute(build.make("input", (), {"shape": (2, 3, 4)}, HERE), tuple(order), HERE)
    name = build.reduce(f"reduce_{kind}", x, tuple(sorted(axes)), keep, HERE)
    graph = finished(build, name)
    permuted = frames.permute(0, *(axis + 1 for axis in order))
    wanted = getattr(torch, kind)(permuted, [axis + 1 for axis in sorted(axes)], keep)
    assert torch.equal(interpret(graph, frames)[name], wanted)
    (reduce,) = graph.of(f"reduce_{kind}")
    assert graph.by_name[reduce.inputs[0]].op == "input"


def test_the_mean_over_time_comes_last() -> None:
    build = Builder()
    x = build.make("input", (), {"shape": (2, 3)}, HERE)
    mean = build.time_mean(x, HERE)
    y = build.reshape(build.permute(mean, (1, 0), HERE), (6,), HERE)
    window = {"stride": (), "padding": (), "groups": 1}
    y = build.make("conv", (y,), window, HERE, weight=np.ones((5, 6)))
    y = build.scale(build.add(y, y, HERE), 3.0, HERE)
    assert build.nodes[y].op == "time_mean"
    assert [node.op for node in build.nodes.values()].count("time_mean") > 1  # the dead ones go later
    assert interpret(finished(build, y), torch.ones(2, 3))[y].tolist() == [[36.0] * 5] * 2


@pytest.mark.parametrize("op", ["neuron", "mul", "matmul"])
def test_what_does_not_commute_with_the_mean_is_refused(op: str) -> None:
    build = Builder()
    x = build.time_mean(build.make("input", (), {"shape": (3, 3)}, HERE), HERE)
    attributes = NEURON if op == "neuron" else {}
    with pytest.raises(IllegalNode, match="linear"):
        build.make(op, (x,) if op == "neuron" else (x, x), attributes, HERE)


def test_scales_leave_products_and_merge() -> None:
    build = Builder()
    x = build.make("input", (), {"shape": (2, 3, 4)}, HERE)
    half = build.permute(build.scale(build.scale(x, 0.25, HERE), 2.0, HERE), (0, 2, 1), HERE)
    name = build.matmul(x, half, HERE)
    assert (build.nodes[name].op, build.nodes[name].number("factor")) == ("scale", 0.5)
    assert build.nodes[build.nodes[name].inputs[0]].op == "matmul"
    assert build.scale(name, 2.0, HERE) == build.nodes[name].inputs[0]
    assert build.shapes[name] == (2, 3, 3)
