"""Custom neurons: the same spikes and membranes as the quantized graph, in fewer neurons and steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.reference import run
from neurodeploy.errors import UnsupportedModelError, UsageError
from neurodeploy.ir.graph import Graph, Node, Stage, tensor
from neurodeploy.ir.mapped import EVERY, SparseWeights
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph, random_images
from neurodeploy.mapping import lower, symbolic
from neurodeploy.quantize import quantize
from tests.mapping.test_lower import assert_equal_runs, lif, pooled
from tests.traced_graphs import FAMILIES, pictures


@pytest.mark.parametrize("window", [(3, 3), (1, 3), (2, 4), (6, 5), (7, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("signed", [False, True])
def test_max_neurons(window: tuple[int, int], stride: tuple[int, int], signed: bool) -> None:
    for padding in {(0, 0), (window[0] // 2, window[1] // 2)}:
        graph = pooled(window, stride, padding, signed)
        images = np.random.default_rng(5).uniform(-1 if signed else 0, 1, (3, 1, 7, 6)).astype(np.float32)
        assert_equal_runs(graph, images, neurons="custom")


def test_they_spare_neurons_and_steps() -> None:
    graph = pooled((3, 3), (2, 2), (1, 1), signed=True)
    stock, custom = lower(graph), lower(graph, neurons="custom")
    assert not any(p.custom for p in stock.populations)
    assert {p.kind for p in custom.populations if p.custom} == {"max"}
    assert sum(p.size for p in custom.populations) < sum(p.size for p in stock.populations)
    assert custom.depth < stock.depth


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    images = pictures(3)
    assert_equal_runs(quantize(FAMILIES[family](1), images), images, neurons="custom")


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int) -> None:
    graph = remove_dead(random_graph(seed))
    assert_equal_runs(graph, random_images(graph, 2, seed), neurons="custom")


def attention(tokens: int, steps: int, heads: int = 2, width: int = 2, layers: int = 2) -> Graph:
    """encode [C, N] -> blocks of q, k, v, Q (K^T V), a projection and a residual -> sum over tokens -> read-out."""
    rng, channels = np.random.default_rng(tokens), heads * width
    nodes = [Node("encode", "x0", (), {"shape": (channels, tokens), "step": 1.0, "lo": 0, "hi": 1})]
    heads_of = {"shape": (heads, width, tokens)}

    def layer(name: str, x: str, vth: int) -> None:
        weight = tensor(rng.integers(-40, 60, (channels, channels, 1)), np.int8)
        nodes.append(
            Node("conv", f"{name}.c", (x,), {"stride": (1,), "padding": (0,), "groups": 1}, {"weight": weight})
        )
        nodes.append(lif(name, f"{name}.c", vth, tensor(rng.integers(-90, 90, (channels, 1)), np.int16)))

    for i in range(layers):
        for part in "qkv":
            layer(f"{part}{i}", f"x{i}", 30)
            nodes.append(Node("reshape", f"{part}{i}.h", (f"{part}{i}",), heads_of))
        nodes.append(Node("permute", f"q{i}.t", (f"q{i}.h",), {"axes": (0, 2, 1)}))
        nodes.append(Node("permute", f"v{i}.t", (f"v{i}.h",), {"axes": (0, 2, 1)}))
        nodes.append(Node("spike_matmul", f"kv{i}", (f"k{i}.h", f"v{i}.t")))
        nodes.append(Node("spike_matmul", f"qkv{i}", (f"q{i}.t", f"kv{i}")))
        nodes.append(lif(f"a{i}", f"qkv{i}", tokens // 32, tensor(np.zeros((1, 1, 1)), np.int16)))
        nodes.append(Node("permute", f"a{i}.t", (f"a{i}",), {"axes": (0, 2, 1)}))
        nodes.append(Node("reshape", f"a{i}.f", (f"a{i}.t",), {"shape": (channels, tokens)}))
        layer(f"p{i}", f"a{i}.f", 30)
        nodes.append(Node("add", f"x{i + 1}", (f"x{i}", f"p{i}")))
    nodes += [
        Node("reduce_sum", "sum", (f"x{layers}",), {"axes": (1,), "keepdims": False}),
        Node("readout", "out", ("sum",), {}, {"bias": tensor(np.arange(channels), np.int64)}),
    ]
    return Graph("attention", Stage.QUANTIZED, steps, tuple(nodes), "out")


def spikes_of(graph: Graph, count: int = 2) -> np.ndarray:
    shape = graph.image_shape
    return np.random.default_rng(1).integers(0, 2, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize(("tokens", "steps"), [(1, 2), (2, 1), (5, 3), (63, 2), (64, 1), (130, 1)])
def test_streamed_attention(tokens: int, steps: int) -> None:
    """Above 63 tokens they wait in relays."""
    graph = attention(tokens, steps)
    mapped = lower(graph, "stream", "custom")
    assert mapped.period == tokens
    assert any("/delay" in p.name for p in mapped.populations) == (tokens >= 60)
    images = spikes_of(graph)
    assert tokens < 5 or 0 < run(graph, images, "all").spikes["a1"].mean() < 1  # silence would prove nothing
    assert_equal_runs(graph, images, attention="stream", neurons="custom")


def test_streamed_currents_last_from_period_to_period() -> None:
    graph = attention(5, 4)
    lasting = {n.name: replace(n, attributes={**n.attributes, "du": 1500}) for n in graph.of("lif")}
    graph = graph.with_nodes(lasting.get(node.name, node) for node in graph.nodes)
    plain = run(attention(5, 4), spikes_of(graph), "all")
    assert (run(graph, spikes_of(graph), "all").spikes["a1"] != plain.spikes["a1"]).any()
    assert_equal_runs(graph, spikes_of(graph), attention="stream", neurons="custom")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steps", [1, 4])
def test_streamed_families(family: str, steps: int) -> None:
    images = pictures(3)
    graph = quantize(FAMILIES[family](0, steps=steps), images)
    assert_equal_runs(graph, images, attention="stream", neurons="custom")


def test_the_price_is_that_of_what_is_made() -> None:
    tokens, heads, width = 7, 3, 2
    mapped = lower(attention(tokens, 2, heads, width, layers=1), "stream", "custom")
    parts = [p for p in mapped.populations if p.name.startswith("qkv0/")]
    names = {p.name for p in parts}
    synapses = sum(c.weights.weights.size for c in mapped.crossbars if names & {c.source, c.target})
    channels, pairs = heads * width, heads * width * width
    assert sum(p.size for p in parts) == pairs + 4 * channels
    assert synapses == 4 * (tokens * channels + pairs)
    depth = mapped.by_name["a0"].depth - mapped.by_name["q0"].depth
    assert (mapped.period, depth) == (tokens, tokens + 4)


def test_streams_are_custom() -> None:
    with pytest.raises(UsageError, match="ND-M161"):
        lower(attention(3, 1), "stream")


def test_symbolic_streams() -> None:
    graph = attention(70, 2)
    mapped, chip = lower(graph, "stream", "custom"), symbolic.lower(graph, "stream", "custom")
    assert chip.period == mapped.period
    assert [(n.name, n.size, n.depth) for n in chip.neurons] == [(p.name, p.size, p.depth) for p in mapped.populations]
    counts = {c.name: c.weights.weights.size for c in mapped.crossbars if isinstance(c.weights, SparseWeights)}
    assert counts.items() <= {s.name: s.nonzero for s in chip.synapses}.items()
    every = {p.name for p in mapped.populations if (p.phase == EVERY).all()}
    assert {n.name for n in chip.neurons if n.every} == every


def over_tokens(graph: Graph, *more: Node) -> Graph:
    """The graph with other nodes behind the last residual."""
    kept = [node for node in graph.nodes if node.op not in ("reduce_sum", "readout")]
    size = graph.image_shape[0]
    flat = [Node("reshape", "flat", (more[-1].name,), {"shape": (size,)})]
    out = Node("readout", "out", ("flat",), {}, {"bias": tensor(np.zeros(size), np.int64)})
    return graph.with_nodes([*kept, *more, *flat, out], "out")


def test_a_lif_that_sums_over_tokens_is_refused() -> None:
    graph = attention(4, 2, layers=1)
    total = Node("reduce_sum", "total", ("p0",), {"axes": (1,), "keepdims": False})
    with pytest.raises(UnsupportedModelError, match=r"(?s)ND-M160 late.*a lif of a sum over tokens"):
        lower(over_tokens(graph, total, lif("late", "total", 2, tensor(np.zeros(1), np.int16))), "stream", "custom")


def test_other_tokens_are_refused() -> None:
    """A value that is not streamed cannot meet one that is."""
    graph = attention(4, 2, layers=1)
    nodes = [replace(node, inputs=("x0.l", "p0")) if node.name == "x1" else node for node in graph.nodes]
    extra = [
        Node("conv", "x0.c", ("x0",), {"stride": (1,), "padding": (1,), "groups": 1}, {"weight": _wide(4)}),
        lif("x0.l", "x0.c", 30, tensor(np.zeros((4, 1)), np.int16)),
    ]
    with pytest.raises(UnsupportedModelError, match="ND-M160"):
        lower(graph.with_nodes([nodes[0], *extra, *nodes[1:]]), "stream", "custom")


def _wide(channels: int) -> np.ndarray:
    return tensor(np.ones((channels, channels, 3)), np.int8)
