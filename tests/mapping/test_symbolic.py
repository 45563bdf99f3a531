"""The symbolic network against the listed one: populations, crossbars, and on small networks every synapse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.errors import UnsupportedModelError
from neurodeploy.ir.chip import Box, ChipNetwork, Neurons, Synapses
from neurodeploy.ir.chip_counts import fan_in, synapses_in
from neurodeploy.ir.graph import Graph, Node, Stage, tensor
from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, SparseWeights, apply_views
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph
from neurodeploy.mapping import lower, symbolic
from neurodeploy.quantize import quantize
from tests.ir.test_chip import listed
from tests.traced_graphs import FAMILIES, pictures

CHECKPOINTS = sorted((Path(__file__).parents[2] / "examples" / "checkpoints").glob("*.pth"))
Triples = np.ndarray  # [synapses, (target, source, weight)], sorted


def unrolled(crossbar: Crossbar, graph: MappedGraph) -> Triples:
    """Every synapse of a crossbar, those of weight zero left out."""
    weights = crossbar.weights
    if isinstance(weights, SparseWeights):
        return ordered(weights.rows, weights.cols, weights.weights << max(weights.exponent, 0))
    return convolution(weights, graph.by_name[crossbar.source].shape)


def convolution(w: ConvWeights, shape: tuple[int, ...]) -> Triples:
    """By the definition: plain loops over taps, neurons numbered and taken through the views."""
    image = apply_views(np.arange(np.prod(shape)).reshape(shape), w.in_views)
    height, width = (
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(image.shape[1:], w.padding, w.weight.shape[2:], w.stride, strict=True)
    )
    size = (len(w.weight), height, width)
    order = apply_views(np.arange(np.prod(size)).reshape(size), w.out_views).reshape(-1)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    found = []
    for o, i, ky, kx in zip(*np.nonzero(w.weight), strict=True):
        channel = o // (len(w.weight) // w.groups) * w.weight.shape[1] + i
        for y, x in np.ndindex(height, width):
            at = (y * w.stride[0] + ky - w.padding[0], x * w.stride[1] + kx - w.padding[1])
            if 0 <= at[0] < image.shape[1] and 0 <= at[1] < image.shape[2]:
                place = number[(o * height + y) * width + x]
                found.append((place, image[channel, at[0], at[1]], w.weight[o, i, ky, kx]))
    return ordered(*np.array(found, np.int64).reshape(-1, 3).T)


def ordered(targets: np.ndarray, sources: np.ndarray, weights: np.ndarray) -> Triples:
    order = np.lexsort((sources, targets))
    return np.stack([targets, sources, weights])[:, order]


def assert_same_networks(network: ChipNetwork, graph: MappedGraph) -> None:
    """Names, kinds, shapes, depths, wiring and delays."""
    assert (network.name, network.profile, network.steps) == (graph.name, graph.profile, graph.steps)
    assert (network.output, network.depth) == (graph.output, graph.depth)
    for own, other in zip(network.neurons, graph.populations, strict=True):
        for field in ("name", "kind", "shape", "depth", "interval", "vth", "dv", "du", "resets", "value", "size"):
            assert getattr(own, field) == getattr(other, field), (own.name, field)
        assert_same_bias(own, other.bias_mant, other.shape)
    for ours, crossbar in pairs(network, graph):
        for one in ours:
            for field in ("source", "target", "port", "delay", "late"):
                assert getattr(one, field) == getattr(crossbar, field), (one.name, field)
    assert network.wholes.keys() == graph.wholes.keys()


def pairs(network: ChipNetwork, graph: MappedGraph) -> list[tuple[list[Synapses], Crossbar]]:
    """Each crossbar with its patterns: one, or one a run of channels where a layer has several thresholds.

    Between such parts, one that has no synapses may be missing on either side.
    """
    runs: dict[str, list[Synapses]] = {}
    for synapses in network.synapses:
        runs.setdefault(synapses.name.split("@")[0], []).append(synapses)
    if not graph.wholes:
        assert list(runs) == [c.name for c in graph.crossbars]
    empty = [c.name for c in graph.crossbars if isinstance(c.weights, SparseWeights) and not c.weights.weights.size]
    missing = runs.keys() - {c.name for c in graph.crossbars}
    assert not any(one.nonzero for name in missing for one in runs[name])
    assert {c.name for c in graph.crossbars} - runs.keys() <= set(empty)
    return [(runs.get(c.name, []), c) for c in graph.crossbars]


def assert_same_bias(own: Neurons, mantissa: np.ndarray, shape: tuple[int, ...]) -> None:
    flat = np.broadcast_to(mantissa, shape).reshape(shape[0], -1)
    kind = "none" if not flat.any() else "channel" if (flat == flat[:, :1]).all() else "neuron"
    order = ["none", "channel", "neuron"]
    assert order.index(own.bias) >= order.index(kind)  # more may be stored than differ


def assert_same_synapses(network: ChipNetwork, graph: MappedGraph) -> None:
    """Every synapse, and the counts by closed form."""
    for ours, crossbar in pairs(network, graph):
        lists = [listed(one.pattern) for one in ours]
        every = [(to, of, weight) for found in lists for to, of, weight, _ in found if weight]
        wanted = unrolled(crossbar, graph)
        assert np.array_equal(ordered(*np.array(every, np.int64).reshape(-1, 3).T), wanted), crossbar.name
        assert sum(one.nonzero for one in ours) == wanted.shape[1]
        for one, found in zip(ours, lists, strict=True):
            assert getattr(one.pattern, "exponent", 0) == getattr(crossbar.weights, "exponent", 0)
            whole = Box.whole(one.target_shape)
            assert synapses_in(one, whole) == one.count == len(found)
            assert fan_in(one, whole) == (np.bincount([to for to, *_ in found]).max() if found else 0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", ["kv", "qk"])
def test_families(family: str, order: str) -> None:
    graph = quantize(FAMILIES[family](0), pictures(2))
    network, mapped = symbolic.lower(graph, order), lower(graph, order)
    assert_same_networks(network, mapped)
    counts = {c.name: unrolled_count(c, mapped) for c in mapped.crossbars}
    assert {s.name: s.nonzero for s in network.synapses} == counts


def unrolled_count(crossbar: Crossbar, graph: MappedGraph) -> int:
    """Synapses that are not zero; of a convolution by counting taps inside the image, with an array of ones."""
    w = crossbar.weights
    if isinstance(w, SparseWeights):
        return len(w.rows)
    image = apply_views(np.empty(graph.by_name[crossbar.source].shape, np.bool_), w.in_views).shape
    total = 0
    for ky, kx in np.ndindex(*w.weight.shape[2:]):
        held = 1
        for axis, tap in ((0, ky), (1, kx)):
            out = (image[axis + 1] + 2 * w.padding[axis] - w.weight.shape[2 + axis]) // w.stride[axis] + 1
            at = np.arange(out) * w.stride[axis] + tap - w.padding[axis]
            held *= int(((at >= 0) & (at < image[axis + 1])).sum())
        total += held * int(np.count_nonzero(w.weight[:, :, ky, kx]))
    return total


@pytest.mark.parametrize("start", range(0, 120, 30))
def test_random_graphs(start: int) -> None:
    """Where a pattern expresses all of it, the same; else the refusal has a name."""
    refused = 0
    for seed in range(start, start + 30):
        graph = remove_dead(random_graph(seed))
        mapped = lower(graph)
        try:
            network = symbolic.lower(graph)
        except UnsupportedModelError as error:
            assert {finding.code for finding in error.findings} == {"ND-M151"}
            refused += 1
            continue
        assert_same_networks(network, mapped)
        if sum(s.count for s in network.synapses) < 20_000:
            assert_same_synapses(network, mapped)
    assert refused <= 3


@pytest.mark.torch
@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_shipped_networks(path: Path) -> None:
    import torch

    import neurodeploy as nd
    from neurodeploy.models import FACTORIES

    model = FACTORIES[path.stem]()
    model.load_state_dict(torch.load(path, weights_only=True)["model"])
    config = FACTORIES[path.stem].config
    side = (config.in_channels, config.image_size, config.image_size)
    images = np.random.default_rng(0).random((4, *side)).astype(np.float32)
    graph = nd.compile(model.eval(), images[:1], calibration=images).graph
    network, mapped = symbolic.lower(graph), lower(graph)
    assert_same_networks(network, mapped)
    assert {s.name: s.nonzero for s in network.synapses} == {
        c.name: unrolled_count(c, mapped) for c in mapped.crossbars
    }


def interleaved(kernel: int) -> Graph:
    """A convolution over tokens whose channels are split from rows and put together again with columns."""
    weight = tensor(np.ones((2, 6, kernel)), np.int8)
    attributes = {"vth": 3, "dv": 2048, "weight_exp": 0, "bias_exp": 0}
    nodes = [
        Node("encode", "x", (), {"shape": (2, 4, 3), "step": 1.0, "lo": 0, "hi": 1}),
        Node("permute", "turned", ("x",), {"axes": (0, 2, 1)}),
        Node("reshape", "tokens", ("turned",), {"shape": (6, 4)}),
        Node("conv", "c", ("tokens",), {"stride": (1,), "padding": (0,), "groups": 1}, {"weight": weight}),
        Node("lif", "s", ("c",), attributes, {"bias_mant": tensor(np.zeros((1, 1)), np.int16)}),
        Node("reshape", "flat", ("s",), {"shape": (2 * (5 - kernel),)}),
        Node("readout", "out", ("flat",), {}, {"bias": tensor(np.zeros(2 * (5 - kernel)), np.int64)}),
    ]
    return Graph("interleaved", Stage.QUANTIZED, 2, tuple(nodes), "out")


def test_tokens_of_interleaved_channels_are_a_nest() -> None:
    graph = interleaved(1)
    network, mapped = symbolic.lower(graph), lower(graph)
    assert_same_networks(network, mapped)
    assert_same_synapses(network, mapped)


def test_a_window_over_interleaved_channels_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        symbolic.lower(interleaved(2))
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-M151", "x->s")]
