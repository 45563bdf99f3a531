"""Every rule of a mapped graph finds the fault that it is for, planted in a lowered network."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import VerifyError
from neurodeploy.ir.mapped import EVERY, Crossbar, MappedGraph, Population, SparseWeights
from neurodeploy.ir.mapped_check import check_mapped, rules
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.reach import reaches
from neurodeploy.ir.types import Interval
from neurodeploy.mapping import lower
from neurodeploy.quantize import quantize
from tests.backends.lava.graphs import Builder
from tests.traced_graphs import FAMILIES, pictures

Fault = Callable[[MappedGraph], MappedGraph]
POOLED = "embed.maxpool/axis2"


@cache
def sound(family: str = "qkformer", seed: int = 0) -> MappedGraph:
    return lower(quantize(FAMILIES[family](seed), pictures(2)))


def first(graph: MappedGraph, kind: str) -> Crossbar:
    """The first crossbar of a kind: sparse or conv."""
    return next(c for c in graph.crossbars if isinstance(c.weights, SparseWeights) == (kind == "sparse"))


def swap(graph: MappedGraph, old: Population | Crossbar, new: Population | Crossbar) -> MappedGraph:
    populations = tuple(new if p is old else p for p in graph.populations)
    crossbars = tuple(new if c is old else c for c in graph.crossbars)
    return replace(graph, populations=populations, crossbars=crossbars)  # type: ignore[arg-type]


def crossbar(kind: str, **fields: Any) -> Fault:
    return lambda graph: swap(graph, first(graph, kind), replace(first(graph, kind), **fields))


def weights(kind: str, change: Callable[[Any], dict[str, Any]]) -> Fault:
    def fault(graph: MappedGraph) -> MappedGraph:
        old = first(graph, kind)
        return swap(graph, old, replace(old, weights=replace(old.weights, **change(old.weights))))

    return fault


def population(name: str, **fields: Any) -> Fault:
    return lambda graph: swap(graph, graph.by_name[name], replace(graph.by_name[name], **fields))


def narrow(name: str, low: int, high: int) -> Fault:
    """The declared interval, moved inwards at its ends."""

    def fault(graph: MappedGraph) -> MappedGraph:
        interval = reaches(graph)[name].sent
        return population(name, interval=Interval(interval.lo + low, interval.hi - high))(graph)

    return fault


def cycle(graph: MappedGraph) -> MappedGraph:
    back = replace(first(graph, "sparse"), name="back")
    return replace(graph, crossbars=(*graph.crossbars, replace(back, source=back.target, target=back.source)))


LIF = "tssa.q_lif"
NAMES, WIRING, TIMING, SYNAPSES, SHAPES, WIDTHS, REACH = (f"ND-M10{i}" for i in range(1, 8))
CUSTOM, PHASES = "ND-M108", "ND-M109"
FAULTS: list[tuple[str, str, Fault]] = [
    (NAMES, "names that differ", lambda g: replace(g, populations=(*g.populations, g.populations[0]))),
    (NAMES, "crossbars between", crossbar("sparse", source="nowhere")),
    (NAMES, "an output population", lambda g: replace(g, output="nowhere")),
    (NAMES, "a view of a population", lambda g: replace(g, views={**g.views, "x": ("nowhere", ())})),
    (SHAPES, "an output bias", lambda g: replace(g, output_bias=g.output_bias[1:])),
    (SHAPES, "views that fit", lambda g: replace(g, views={**g.views, "x": (LIF, (("reshape", (7,)),))})),
    (SHAPES, "a bias that broadcasts", population(LIF, bias_mant=np.zeros(7, np.int64))),
    (SHAPES, "an image", weights("conv", lambda w: {"groups": w.groups + 1})),
    (SHAPES, "an image", weights("conv", lambda w: {"in_views": (("reshape", (7, 7, 7)),)})),
    (SHAPES, "a result", weights("conv", lambda w: {"padding": (0, 0)})),
    (SHAPES, "a result", weights("conv", lambda w: {"out_views": (("reshape", (7,)),)})),
    (SHAPES, "ports that take all", weights("conv", lambda w: {"in_views": (*w.in_views, ("slice", (0, 0, 1)))})),
    (SHAPES, "ports that take all", weights("conv", lambda w: {"out_views": (*w.out_views, ("slice", (0, 0, 1)))})),
    (WIRING, "one source", population(LIF, kind="source")),
    (WIRING, "no cycle", cycle),
    (WIRING, "inputs at", crossbar("sparse", port="a_in2")),
    (WIRING, "inputs at", lambda g: replace(g, crossbars=g.crossbars[1:])),
    (TIMING, "a source at depth 0", population("images", depth=1)),
    (TIMING, "a target at depth", population(LIF, depth=60)),
    (TIMING, r"a delay in 0\.\.62", crossbar("sparse", delay=63)),
    (TIMING, r"a delay in 0\.\.62", crossbar("sparse", delay=-1)),
    (TIMING, r"a delay in 0\.\.0", crossbar("conv", delay=1)),
    (TIMING, "a reset", population(LIF, resets=False)),
    (TIMING, "a delay of the network onto a gate", crossbar("sparse", late=1)),
    (TIMING, "a delay of the network onto a gate", crossbar("sparse", late=-1)),
    (SYNAPSES, "one length", weights("sparse", lambda w: {"rows": w.rows[1:]})),
    (SYNAPSES, "rows in", weights("sparse", lambda w: {"rows": w.rows + 10**6})),
    (SYNAPSES, "rows in", weights("sparse", lambda w: {"rows": w.rows - 10**6})),
    (SYNAPSES, "cols in", weights("sparse", lambda w: {"cols": w.cols + 10**6})),
    (SYNAPSES, "one synapse a pair", weights("sparse", lambda w: {"rows": 0 * w.rows, "cols": 0 * w.cols})),
    (WIDTHS, "vth in", population(LIF, vth=1 << 17)),
    (WIDTHS, "dv in", population(LIF, dv=4096)),
    (WIDTHS, "du in", population(LIF, du=0)),
    (WIDTHS, "du in", population(LIF, du=4097)),
    (WIDTHS, "bias mantissas in", population(LIF, bias_mant=np.array(4096))),
    (WIDTHS, "bias exponent in", population(LIF, bias_exp=8)),
    (WIDTHS, "payloads in", population(POOLED, interval=Interval(0, 1 << 23))),
    (WIDTHS, r"weights in -128\.\.127", weights("sparse", lambda w: {"weights": w.weights * 300})),
    (WIDTHS, r"weights in -128\.\.127", weights("conv", lambda w: {"weight": w.weight * 300})),
    (WIDTHS, "weight exponent in", weights("sparse", lambda w: {"exponent": -25})),
    (WIDTHS, "weight exponent in", weights("sparse", lambda w: {"exponent": 18})),
    (WIDTHS, "payloads into a convolution", population("images", interval=Interval(-1, 255))),
    (WIDTHS, "summed inputs in", lambda g: shifted(g, "tssa.attn_lif", 17)),
    (REACH, "an interval that holds", narrow("images", 0, 1)),
    (REACH, "an interval that holds", narrow(LIF, 0, 1)),
    (REACH, "an interval that holds", narrow("embed.proj1_conv", 1, 0)),
    (REACH, "an interval that holds", narrow("embed.proj1_conv", 0, 1)),
    (REACH, "an interval that holds", narrow(f"{POOLED}/relu1", 0, 1)),
    (REACH, "an interval that holds", narrow(POOLED, 1, 0)),
    (REACH, "an interval that holds", narrow(POOLED, 0, 1)),
    (REACH, "an interval that holds", narrow("ssa.av/product", 0, 1)),
    (CUSTOM, "a period of", lambda g: replace(g, period=0)),
    (CUSTOM, "a stock neuron", population(POOLED, kind="max")),
    (CUSTOM, "a hold", lambda g: replace(g, period=2)),
    (PHASES, "phases in", population(LIF, phase=np.array(1))),
    (PHASES, "phases that broadcast", population(POOLED, phase=np.zeros(7, np.int64))),
    (PHASES, "neurons that all", population(POOLED, phase=-np.eye(1, 4, dtype=np.int64)[0])),
    (PHASES, "to hear every phase", population(LIF, phase=np.array(EVERY))),
    (PHASES, "a memory that", lambda g: population(POOLED, kind="memory")(replace(g, neurons="custom"))),
    (PHASES, "synapses that deliver", population(POOLED, phase=np.array(EVERY))),
]


def shifted(graph: MappedGraph, name: str, exponent: int) -> MappedGraph:
    """All synapses of a population with an exponent."""
    for c in graph.crossbars:
        if c.target == name and isinstance(c.weights, SparseWeights):
            graph = swap(graph, c, replace(c, weights=replace(c.weights, exponent=exponent)))
    return graph


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_a_lowered_network_breaks_no_rule(family: str, seed: int) -> None:
    graph = sound(family, seed)
    assert check_mapped(graph) is graph


@pytest.mark.parametrize(("code", "need", "fault"), FAULTS, ids=[f"{i}-{f[1]}" for i, f in enumerate(FAULTS)])
def test_a_planted_fault_is_named(code: str, need: str, fault: Fault) -> None:
    with pytest.raises(VerifyError) as caught:
        check_mapped(fault(sound()))
    assert code in {f.code for f in caught.value.findings if re.search(need, f.need)}


def test_every_rule_has_a_planted_fault() -> None:
    planted = [(code, need) for code, need, _ in FAULTS]
    lost = {
        (rule.code, rule.need)
        for rule in rules(sound())
        if not any(rule.code == code and re.search(need, rule.need) for code, need in planted)
    }
    assert lost == set()


def test_the_reach_of_a_maximum_is_that_of_its_taps() -> None:
    """A tree of ReLU neurons: independent inputs would seem to reach three times as far."""
    graph = sound()
    reach = reaches(graph)
    assert reach[POOLED].sent == reach["embed.proj1_conv"].sent == graph.by_name[POOLED].interval


def test_a_wider_interval_is_no_fault() -> None:
    graph = narrow(POOLED, -5, -5)(sound())
    assert check_mapped(graph) is graph


def test_a_maximum_is_seen_through_relays_and_signs() -> None:
    """The maximum of three pixels, and minus it, with a tap that waited in a relay; each reaches what a pixel does."""
    b, pixels = Builder(0), Interval(-2, 3)
    b.add("pixels", "source", (3,), 0, interval=pixels)
    b.add("one", "relu", (1,), 1)
    b.connect("pixels", "one", np.array([[-1, 1, 0]]))
    b.add("two", "relu", (1,), 2)
    b.connect("pixels", "two", np.array([[-1, 0, 1]]), delay=1)
    b.connect("one", "two", np.array([[-1]]))
    b.add("late", "sum", (3,), 63)
    b.connect("pixels", "late", np.eye(3, dtype=np.int64), delay=62)
    b.add("both", "sum", (2,), 64)
    b.connect("late", "both", np.array([[1, 0, 0], [-1, 0, 0]]))
    b.connect("one", "both", np.array([[1], [-1]]), delay=62)
    b.connect("two", "both", np.array([[1], [-1]]), delay=61)
    parts = tuple(b.populations), tuple(b.crossbars)
    graph = MappedGraph("net", "loihi-lava", 1, PixelCode(1.0, pixels), *parts, "both", np.zeros(2, np.int64), 1.0, {})
    reach = reaches(check_mapped(graph))
    assert reach["two"].received == Interval(-5, 5)
    assert reach["both"].sent == Interval(-3, 3)


def test_the_lowering_checks_what_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("neurodeploy.mapping.lower")
    monkeypatch.setattr(module, "materialised", lambda state: population(LIF, depth=60)(sound()))
    with pytest.raises(VerifyError, match=TIMING):
        lower(quantize(FAMILIES["qkformer"](0), pictures(2)))
