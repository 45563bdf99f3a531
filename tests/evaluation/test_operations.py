"""Operations of networks small enough to count by hand, and against the spikes of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.api import CompiledModel
from neurodeploy.errors import InvalidFileError, UsageError
from neurodeploy.evaluation.operations import E_AC, E_MAC, block_of, count_operations
from neurodeploy.ir.graph import Graph, Node, Source, Stage, tensor
from neurodeploy.ir.verify import types
from neurodeploy.numerics import INT32
from neurodeploy.quantize import QuantizeOptions, quantize
from tests import shortcut_graphs, traced_graphs

STEPS, PIXELS, HIDDEN, CLASSES = 3, 4, 5, 2


def conv(name: str, x: str, weight: np.ndarray) -> Node:
    window = {"stride": (), "padding": (), "groups": 1}
    return Node("conv", name, (x,), window, {"weight": tensor(weight, np.int8)}, Source(name))


def lif(name: str, x: str, vth: int) -> Node:
    attributes = {"vth": vth, "dv": 2048, "weight_exp": 0, "bias_exp": 0}
    return Node("lif", name, (x,), attributes, {"bias_mant": tensor([0], np.int16)}, Source(name))


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """Pixels, a layer, its LIFs, a residual that makes counts of them, and a head."""
    rng = np.random.default_rng(0)
    nodes = (
        Node("encode", "pixels", (), {"shape": (PIXELS,), "step": 1.0, "lo": 0, "hi": 255}),
        conv("embed.conv", "pixels", rng.integers(-9, 9, (HIDDEN, PIXELS))),
        lif("embed.lif", "embed.conv", 300),
        conv("stage1.0.fc", "embed.lif", rng.integers(-9, 9, (HIDDEN, HIDDEN))),
        lif("stage1.0.fc_lif", "stage1.0.fc", 3),
        Node("add", "residual", ("embed.lif", "stage1.0.fc_lif")),
        conv("head", "residual", rng.integers(-9, 9, (CLASSES, HIDDEN))),
        Node("readout", "logits", ("head",), {}, {"bias": tensor([0, 0], np.int64)}),
    )
    return CompiledModel(Graph("net", Stage.QUANTIZED, STEPS, nodes, "logits"))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (6, PIXELS)).astype(np.float32)


def test_macs_need_no_images(model: CompiledModel) -> None:
    found = model.operations()
    assert found.macs == HIDDEN * PIXELS + HIDDEN * HIDDEN + CLASSES * HIDDEN
    assert [(layer.layer, layer.reads) for layer in found.layers] == [
        ("embed.conv", "image"), ("stage1.0.fc", "spikes"), ("head", "counts"),
    ]  # fmt: skip
    assert found.sops is found.energy is None and not found.rates


def test_sops_are_the_spikes_times_their_fan_out(model: CompiledModel, images: np.ndarray) -> None:
    run, found = model.run(images, probes="all"), model.operations(images)
    first, second = (run.spikes[name].sum() / len(images) for name in ("embed.lif", "stage1.0.fc_lif"))
    assert 0 < first < STEPS * HIDDEN and second > 0
    assert found.sops == pytest.approx(first * HIDDEN + (first + second) * CLASSES)
    image = STEPS * HIDDEN * PIXELS
    assert found.energy == pytest.approx((E_MAC * image + E_AC * found.sops) * 1e-9)
    assert found.samples == len(images)


def test_rates_are_those_of_the_lifs_of_a_block(model: CompiledModel, images: np.ndarray) -> None:
    run, found = model.run(images, probes="all"), model.operations(images)
    wanted = {"embed": run.spikes["embed.lif"].mean(), "stage1.0": run.spikes["stage1.0.fc_lif"].mean()}
    assert found.rates == pytest.approx(wanted)


def test_the_convention_moves_layers_from_sops_to_macs(model: CompiledModel, images: np.ndarray) -> None:
    first, counts, every = (model.operations(images, name) for name in ("first", "counts", "all"))
    assert [sum(layer.multiplies for layer in found.layers) for found in (first, counts, every)] == [1, 2, 3]
    assert every.sops == 0 and first.sops > counts.sops > 0
    assert every.energy == pytest.approx(E_MAC * STEPS * every.macs * 1e-9)


def test_an_unknown_convention_is_refused(model: CompiledModel) -> None:
    with pytest.raises(UsageError, match="ND-V020"):
        count_operations(model.graph, convention="papers")


BLOCKS = {
    "stage1.0.attn.q_lif": "stage1.0",
    "block.3.mlp.fc1_lif": "block.3",
    "patch_embed1.proj_lif": "patch_embed1",
    "head": "head",
}


@pytest.mark.parametrize("path", BLOCKS)
def test_block_of_a_layer(path: str) -> None:
    assert block_of(path) == BLOCKS[path]


def deployed(traced: Graph) -> tuple[CompiledModel, np.ndarray]:
    """A hand-written network, quantized, and images for it."""
    images = np.random.default_rng(2).random((3, *traced.of("input")[0].integers("shape")), dtype=np.float32)
    return CompiledModel(quantize(traced, images, QuantizeOptions(profile=INT32))), images


def test_a_float_that_a_layer_reads_is_multiplied_and_its_code_is_no_layer() -> None:
    traced = shortcut_graphs.coded()
    found = deployed(traced)
    layers = {layer.layer: layer for layer in found[0].operations(found[1]).layers}
    assert set(layers) == {node.name for node in traced.of("conv")} | {node.name for node in traced.of("matmul")}
    currents = [layer for layer in layers.values() if layer.reads == "current"]
    assert currents and all(layer.multiplies and layer.sops is None and layer.rate is None for layer in currents)
    lifs = {node.name for node in found[0].graph.of("lif")}
    assert lifs & found[0].graph.made  # the bits of the code, which are in no block's rate
    assert 0 < found[0].operations(found[1]).rates["mlp0"] < 0.35


def test_attention_products_count_the_spikes_of_their_binary_operand() -> None:
    model, images = deployed(traced_graphs.qkformer())
    graph, seen = model.graph, {}

    def keep(name: str, values: np.ndarray) -> None:
        seen.setdefault(name, []).append(values)

    model.run(images, "reference", batch=len(images), watch=keep)
    for layer in model.operations(images).layers:
        if layer.kind == "attention":
            names = graph.by_name[layer.layer].inputs
            left, right = (np.stack(seen[name], axis=1) for name in names)
            binary = types(graph)[names[0]].kind == "spikes"
            spikes, fan_out = (left, right.shape[-1]) if binary else (right, left.shape[-2])
            assert layer.sops == pytest.approx(spikes.sum() / len(images) * fan_out)


def test_a_pooled_image_is_still_an_image() -> None:
    nodes = (
        Node("encode", "pixels", (), {"shape": (1, 4, 4), "step": 1.0, "lo": 0, "hi": 15}),
        Node("max_pool", "pooled", ("pixels",), {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}),
        Node("reshape", "flat", ("pooled",), {"shape": (4,)}),
        conv("head", "flat", np.ones((2, 4))),
        Node("readout", "logits", ("head",), {}, {"bias": tensor([0, 0], np.int64)}),
    )
    (layer,) = count_operations(Graph("net", Stage.QUANTIZED, STEPS, nodes, "logits")).layers
    assert (layer.reads, layer.multiplies, layer.macs) == ("image", True, 8)


@pytest.mark.parametrize("text", ["[", "{}", "[1]", "[" * 100_000])
def test_nonsense_about_what_the_quantizer_made_is_refused(model: CompiledModel, text: str) -> None:
    forged = CompiledModel(replace(model.graph, metadata={"made": text}))
    with pytest.raises(InvalidFileError, match="ND-G004"):
        forged.operations()
