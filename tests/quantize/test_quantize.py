"""The quantizer on hand-written graphs: bounds hold, choices are reported, refusals name every culprit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.reference import run
from neurodeploy.errors import UnsupportedModelError, UsageError
from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.proof import prove
from neurodeploy.ir.text import to_text
from neurodeploy.quantize import QuantizeOptions, fold_batchnorm, quantize
from tests.float_graph import run_float
from tests.traced_graphs import FAMILIES, Sketch, pictures


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_every_bound_holds(family: str, bits: Any) -> None:
    graph = quantize(FAMILIES[family](1), pictures(8), QuantizeOptions(weight_bits=bits))
    assert all(bound.holds for bound in prove(graph))
    for conv in graph.of("conv"):
        assert np.abs(conv.tensors["weight"].astype(int)).max() <= 2 ** (bits - 1) - 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_folding_changes_no_float_spike(family: str, seed: int) -> None:
    traced, images = FAMILIES[family](seed), pictures(4).astype(np.float64)
    plain, folded = run_float(traced, images), run_float(fold_batchnorm(traced), images)
    assert np.allclose(plain["readout"], folded["readout"], rtol=0, atol=1e-9)
    for neuron in traced.of("neuron"):
        assert (plain[neuron.name] == folded[neuron.name]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_eight_bits_follow_the_float_network(family: str) -> None:
    traced, images = FAMILIES[family](2), pictures(24)
    graph = quantize(traced, images)
    wanted = run_float(traced, images.astype(np.float64))
    given = run(graph, images, "all")
    for name, spikes in given.spikes.items():
        assert (spikes != np.moveaxis(wanted[name], 0, 1)).mean() < 0.06, name
    correlation = np.corrcoef(wanted["readout"][0].ravel(), (given.logits * given.scale).ravel())[0, 1]
    assert correlation > 0.97


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_exact(family: str) -> None:
    choices = json.loads(quantize(FAMILIES[family](0), pictures(4)).metadata["quantization"])
    counts = [choice for choice in choices if choice["kind"] == "counts"]
    assert counts and all(choice["exact"] for choice in counts)


def test_widths_by_layer_pattern() -> None:
    graph = quantize(FAMILIES["qkformer"](0), pictures(4), QuantizeOptions({"ssa.*": 3, "mlp.fc1_conv": 2}))
    widest = {conv.name: int(np.abs(conv.tensors["weight"].astype(int)).max()) for conv in graph.of("conv")}
    assert widest["ssa.q_conv"] == 3 and widest["mlp.fc1_conv"] == 1 and widest["mlp.fc2_conv"] > 63


def test_the_first_layer_is_chosen_by_error() -> None:
    choices = json.loads(quantize(FAMILIES["qkformer"](0), pictures(16)).metadata["quantization"])
    (pixels,) = [choice for choice in choices if choice["kind"] == "pixels"]
    tried = {int(bits): error for bits, error in pixels["tried"].items() if error is not None}
    assert pixels["spike_error"] == min(tried.values()) == tried[pixels["pixel_bits"]]


def test_signed_pixels_keep_zero() -> None:
    images = pictures(8) - np.float32(0.4)
    graph = quantize(FAMILIES["qkformer"](0), images)
    (encode,) = graph.of("encode")
    assert encode.integer("lo") < 0 < encode.integer("hi")
    assert all(bound.holds for bound in prove(graph))


def test_same_input_same_text() -> None:
    texts = {to_text(quantize(FAMILIES["qkformer"](3), pictures(4))) for _ in range(2)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("bits", "code"), [(1, "ND-Q001"), (9, "ND-Q001"), (True, "ND-Q001"), ({"*": 0}, "ND-Q001"), (3.5, "ND-Q001")]
)
def test_illegal_widths(bits: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        QuantizeOptions(weight_bits=bits)
    assert [finding.code for finding in caught.value.findings] == [code]


def test_every_pattern_without_a_layer_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        quantize(FAMILIES["qkformer"](0), pictures(4), QuantizeOptions({"nothing": 4, "nowhere.*": 4}))
    assert [finding.layer for finding in caught.value.findings] == ["nothing", "nowhere.*"]


@pytest.mark.parametrize(
    ("images", "code"),
    [
        (np.zeros((0, 1, 8, 8), np.float32), "ND-B004"),
        (np.zeros((2, 3, 8, 8), np.float32), "ND-B003"),
        (np.full((2, 1, 8, 8), np.nan, np.float32), "ND-B005"),
        (np.array(["a"]), "ND-B002"),
        (np.zeros((2, 1, 8, 8), np.float32), "ND-Q004"),
    ],
)
def test_bad_calibration(images: np.ndarray, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        quantize(FAMILIES["qkformer"](0), images)
    assert code in [finding.code for finding in caught.value.findings]


def test_all_refusals_at_once() -> None:
    graph = FAMILIES["qkformer"](0)
    broken = [_without_neuron(graph, node) for node in graph.nodes]
    with pytest.raises(UnsupportedModelError) as caught:
        quantize(graph.with_nodes(broken), pictures(4))
    assert {finding.layer for finding in caught.value.findings} >= {"ssa.q_heads", "tssa.k"}


def _without_neuron(graph: Graph, node: Node) -> Node:
    """Two neurons become scalings, so a matrix product and a mask read currents."""
    if node.name in ("ssa.q_lif", "tssa.k_lif"):
        return replace(node, op="scale", attributes={"factor": 2.0})
    return node


def test_batchnorm_without_a_convolution() -> None:
    graph = FAMILIES["qkformer"](0)
    ones = {"scale": tensor(np.ones(8), np.float64), "shift": tensor(np.zeros(8), np.float64)}
    extra = Node("batchnorm", "lonely_bn", ("mlp.add",), {}, ones)
    nodes = [replace(n, inputs=("lonely_bn",)) if n.name == "ssa.q_conv" else n for n in graph.nodes]
    with pytest.raises(UnsupportedModelError) as caught:
        quantize(graph.with_nodes([*nodes, extra]), pictures(4))
    assert [finding.layer for finding in caught.value.findings] == ["lonely_bn"]


def test_a_batchnorm_that_others_read_is_not_folded_through() -> None:
    graph = FAMILIES["qkformer"](0)
    norm = graph.of("batchnorm")[0]
    second = Node("batchnorm", "second_bn", (norm.name,), {}, norm.tensors)
    both = Node("add", "both", (norm.name, "second_bn"))
    nodes = [replace(n, inputs=("both",)) if norm.name in n.inputs else n for n in graph.nodes]
    with pytest.raises(UnsupportedModelError) as caught:
        fold_batchnorm(graph.with_nodes([*nodes, second, both]))
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-Q003", "second_bn")]


def test_a_pool_across_channels_with_a_bias_each_is_refused() -> None:
    """max(c + b) is max(c) + b only where b is the same in the whole window."""
    s = Sketch()
    s.op("input", "images", shape=(2, 4))
    s.conv("q", "images", (3, 2, 1))
    s.op("permute", "turned", "q_bn", axes=(1, 0))
    s.op("max_pool", "pool", "turned", kernel=(3,), stride=(1,), padding=(1,))
    s.lif("s", "pool")
    s.op("reshape", "flat", "s_lif", shape=(12,))
    s.op("conv", "head", "flat", tensors={"weight": np.ones((2, 12))}, stride=(), padding=(), groups=1)
    with pytest.raises(UnsupportedModelError) as caught:
        quantize(s.finish("across", 2, "head"), np.ones((2, 2, 4), np.float32))
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-Q023", "pool")]


def scaled(graph: Graph, name: str, port: str, factor: float) -> Graph:
    """The same graph with one tensor of one node times a factor."""
    node = graph.by_name[name]
    tensors = {**node.tensors, port: tensor(node.tensors[port] * factor, np.float64)}
    return graph.with_nodes(replace(n, tensors=tensors) if n is node else n for n in graph.nodes)


def test_weights_far_beyond_the_threshold_are_refused() -> None:
    graph = scaled(FAMILIES["qkformer"](0), "mlp.fc1_conv", "weight", 1e8)
    with pytest.raises(UnsupportedModelError) as caught:
        quantize(graph, pictures(4))
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-Q014", "mlp.fc1_conv")]


@pytest.mark.parametrize(("port", "factor"), [("bias", 1e30), ("weight", 1e-30), ("bias", 1e6)])
def test_a_read_out_ruled_by_its_bias(port: str, factor: float) -> None:
    traced, images = scaled(FAMILIES["qkformer"](0), "head", port, factor), pictures(6)
    result = run(quantize(traced, images), images)
    wanted = run_float(traced, images.astype(np.float64))["readout"]
    assert np.abs(result.logits * result.scale - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_an_outlier_is_clipped_and_leaves_the_others_their_bits() -> None:
    graph = FAMILIES["qkformer"](0)
    weight = np.array(graph.by_name["mlp.fc2_conv"].tensors["weight"])
    weight[0, 0, 0] = 1e3
    tensors = {"weight": tensor(weight, np.float64)}
    nodes = [replace(n, tensors=tensors) if n.name == "mlp.fc2_conv" else n for n in graph.nodes]
    choices = json.loads(quantize(graph.with_nodes(nodes), pictures(4)).metadata["quantization"])
    found = next(choice for choice in choices if choice["layer"] == "mlp.fc2_conv")
    assert found["zeroed"] < 0.05 and 0 < found["clipped"] < 0.05 and found["largest_weight"] == 127
