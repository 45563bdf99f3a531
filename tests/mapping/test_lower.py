"""The mapped graph, run step by step, against the quantized graph: every spike and membrane of every LIF."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.reference import run, run_mapped
from neurodeploy.errors import UnsupportedModelError
from neurodeploy.ir.graph import Graph, Node, Stage, tensor
from neurodeploy.ir.proof import Bound
from neurodeploy.mapping import lower, reassociate
from neurodeploy.mapping.reassociate import cost
from neurodeploy.quantize import quantize
from tests.traced_graphs import FAMILIES, pictures


def assert_equal_runs(graph: Graph, images: np.ndarray, **options: str) -> None:
    wanted, given = run(graph, images, "all"), run_mapped(lower(graph, **options), images, "all")
    assert (wanted.logits == given.logits).all()
    assert set(wanted.spikes) == set(given.spikes)
    for name in wanted.spikes:
        assert (wanted.spikes[name] == given.spikes[name]).all(), name
        assert (wanted.membrane[name] == given.membrane[name]).all(), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", ["auto", "kv", "qk"])
@pytest.mark.parametrize("seed", range(2))
def test_equals_the_quantized_graph(family: str, order: str, seed: int) -> None:
    images = pictures(3, seed=seed)
    assert_equal_runs(quantize(FAMILIES[family](seed), images), images, attention=order)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_any_number_of_steps(steps: int) -> None:
    images = pictures(3)
    assert_equal_runs(quantize(FAMILIES["qkformer"](0, steps=steps), images), images)


def pooled(window: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], signed: bool) -> Graph:
    """encode -> conv -> max_pool -> lif -> max_pool -> read-out."""
    rng = np.random.default_rng(sum(window) + stride[0])
    pool = {"kernel": window, "stride": stride, "padding": padding}
    low = -128 if signed else 0
    weight = tensor(rng.integers(-9, 10, (3, 1, 1, 1)), np.int8)
    nodes = [
        Node("encode", "x", (), {"shape": (1, 7, 6), "step": 1 / 127, "lo": low, "hi": 127}),
        Node("conv", "c", ("x",), {"stride": (1, 1), "padding": (0, 0), "groups": 1}, {"weight": weight}),
        Node("max_pool", "p", ("c",), pool),
        lif("s", "p", 200, tensor(rng.integers(-900, 900, (3, 1, 1)), np.int16)),
    ]
    graph = Graph("pool", Stage.QUANTIZED, 3, tuple(nodes), "s")
    return graph.with_nodes([*nodes, *_to_readout(graph, "s")], "out")


def lif(name: str, x: str, vth: int, bias: np.ndarray) -> Node:
    attributes = {"vth": vth, "dv": 2048, "weight_exp": 0, "bias_exp": 1}
    return Node("lif", name, (x,), attributes, {"bias_mant": bias})


def _to_readout(graph: Graph, name: str) -> list[Node]:
    """OR-pool with the same window where it still fits, then one class a neuron."""
    from neurodeploy.ir.verify import types

    shape = types(graph)[name].shape
    window = tuple(min(2, n) for n in shape[1:])
    nodes = [Node("max_pool", "or", (name,), {"kernel": window, "stride": window, "padding": (0, 0)})]
    known = types(graph.with_nodes([*graph.nodes, *nodes], "or"))["or"]
    nodes += [
        Node("reshape", "flat", ("or",), {"shape": (known.size,)}),
        Node("readout", "out", ("flat",), {}, {"bias": tensor(np.arange(known.size), np.int64)}),
    ]
    return nodes


@pytest.mark.parametrize("window", [(3, 3), (2, 2), (1, 3), (2, 4)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("signed", [False, True])
def test_max_pools(window: tuple[int, int], stride: tuple[int, int], signed: bool) -> None:
    for padding in {(0, 0), (window[0] // 2, window[1] // 2)}:
        graph = pooled(window, stride, padding, signed)
        images = np.random.default_rng(5).uniform(-1 if signed else 0, 1, (3, 1, 7, 6)).astype(np.float32)
        assert_equal_runs(graph, images)


def test_classes_that_a_view_reorders() -> None:
    """The host reads neurons in their own order, so the read-out has to undo the views of what it reads."""
    weight = tensor(np.random.default_rng(0).integers(-9, 10, (2, 2, 1)), np.int8)
    nodes = [
        Node("encode", "x", (), {"shape": (2, 3), "step": 1.0, "lo": 0, "hi": 1}),
        Node("conv", "c", ("x",), {"stride": (1,), "padding": (0,), "groups": 1}, {"weight": weight}),
        lif("s", "c", 2, tensor(np.zeros((1, 1)), np.int16)),
        Node("permute", "turned", ("s",), {"axes": (1, 0)}),
        Node("reshape", "flat", ("turned",), {"shape": (6,)}),
        Node("readout", "out", ("flat",), {}, {"bias": tensor(np.arange(6), np.int64)}),
    ]
    graph = Graph("turned", Stage.QUANTIZED, 3, tuple(nodes), "out")
    assert_equal_runs(graph, np.random.default_rng(1).integers(0, 2, (6, 2, 3)).astype(np.float32))


def test_auto_takes_the_cheaper_order() -> None:
    graph = quantize(FAMILIES["qkformer"](0), pictures(2))
    costs = {order: cost(reassociate(order)(graph)) for order in ("auto", "kv", "qk")}
    assert costs["auto"] == min(costs.values()) < max(costs.values())


def test_reordering_twice_comes_back() -> None:
    graph = quantize(FAMILIES["qkformer"](0), pictures(2))
    there = reassociate("kv")(graph)
    assert cost(reassociate("qk")(there)) == cost(reassociate("qk")(graph)) != cost(there)


def test_a_long_skip_waits_in_relays() -> None:
    """A residual around more steps than a synapse can hold back: the counts go through relays."""
    eye = tensor(np.eye(4, dtype=np.int8)[:, :, None] * 100, np.int8)
    window = {"stride": (1,), "padding": (0,), "groups": 1}
    nodes = [Node("encode", "x", (), {"shape": (4, 2), "step": 1.0, "lo": 0, "hi": 1})]
    last = "x"
    for i in range(70):
        nodes.append(Node("conv", f"c{i}", (last,), window, {"weight": eye}))
        nodes.append(lif(f"s{i}", f"c{i}", 90, tensor(np.zeros((1, 1)), np.int16)))
        last = f"s{i}"
    nodes += [
        Node("add", "sum", ("s0", last)),
        Node("reshape", "flat", ("sum",), {"shape": (8,)}),
        Node("readout", "out", ("flat",), {}, {"bias": tensor(np.zeros(8), np.int64)}),
    ]
    graph = Graph("long", Stage.QUANTIZED, 2, tuple(nodes), "out")
    assert any("/delay" in p.name for p in lower(graph).populations)
    assert_equal_runs(graph, np.random.default_rng(0).integers(0, 2, (4, 4, 2)).astype(np.float32))


def test_an_op_without_a_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("neurodeploy.mapping.lower")

    monkeypatch.delitem(module._LOWERINGS, "gate")
    with pytest.raises(UnsupportedModelError) as caught:
        lower(quantize(FAMILIES["qkformer"](0), pictures(2)))
    assert [finding.layer for finding in caught.value.findings] == ["tssa.mul"]


def test_auto_keeps_an_order_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cheaper order's proof fails, "auto" stays with the one that was proven."""
    graph = quantize(FAMILIES["qkformer"](0), pictures(2))
    module = importlib.import_module("neurodeploy.mapping.lower")
    proven = module.prove

    def fails_when_reordered(candidate: Graph) -> tuple[Bound, ...]:
        bounds = proven(candidate)
        moved = cost(candidate) != cost(graph)
        return tuple(replace(b, limit=replace(b.limit, lo=0, hi=0)) if moved else b for b in bounds)

    monkeypatch.setattr(module, "prove", fails_when_reordered)
    assert cost(reassociate("auto")(graph)) != cost(graph)
    products = [p for p in lower(graph).populations if p.kind == "product"]
    assert sum(p.size for p in products) == cost(graph)
