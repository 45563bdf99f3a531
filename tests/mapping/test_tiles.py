"""Tiles of hand-made networks: the fewest that fit, sharing, splits, and everything that is refused."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.chip import Axis, ChipNetwork, Filters, Grid, Nest, Neurons, Synapses, Tiling, Use
from neurodeploy.ir.chip_counts import axons_of, synapses_in, weights_of
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping.symbolic import lower
from neurodeploy.mapping.tile_counts import factors
from neurodeploy.mapping.tile_inputs import weight_bits_of
from neurodeploy.mapping.tiles import tile
from neurodeploy.quantize import quantize
from neurodeploy.targets import Target, available, load_target
from tests.mapping.chips import chip, one_layer, recount, tiles
from tests.mapping.test_constraint import layer
from tests.traced_graphs import FAMILIES, pictures


def convolution(co: int, ci: int, side: int, kernel: int = 3, fill: int = 1) -> ChipNetwork:
    """A convolution with padding over side x side places."""
    weight, grid = np.full((co, ci, kernel, kernel), fill, np.int64), Grid(side * side, side, 1)
    size, pad = (side, side), (kernel // 2, kernel // 2)
    return one_layer(Filters(weight, (1, 1), pad, 1, size, size, grid, grid), (ci, side, side), (co, side, side))


def refused(network: ChipNetwork, target: Target) -> tuple[Finding, ...]:
    with pytest.raises(DoesNotFitError) as caught:
        tile(network, target)
    return caught.value.findings


def only(tiling: Tiling) -> Use:
    """What the tiles of the last population use, if all use the same."""
    (one,) = tiling.cuts["out"].classes
    return one.use


def test_shared_weights_count_once() -> None:
    network = convolution(16, 8, 10, fill=-128)
    shared = only(tile(network, load_target("loihi2")))
    assert shared.synapse_memory == 16 * 8 * 9
    assert shared.synapses == 16 * 8 * 28 * 28
    unrolled = only(tile(network, chip("loihi2", synapse__shares_weights=False, synapse__overhead_bits=10)))
    assert unrolled.synapse_memory == -(-unrolled.synapses * 18 // 8)


@pytest.mark.parametrize(("fill", "bits"), [(-128, 8), (127, 8), (-8, 4), (7, 4), (3, 3), (1, 2)])
def test_fewer_bits_take_less_memory_where_the_chip_has_weights_of_any_width(fill: int, bits: int) -> None:
    network, fixed = convolution(16, 8, 10, fill=fill), chip("loihi2", synapse__any_width=False)
    assert only(tile(network, load_target("loihi2"))).synapse_memory == 16 * 8 * 9 * bits // 8
    assert only(tile(network, fixed)).synapse_memory == 16 * 8 * 9


def test_boxes_are_as_few_as_neurons_allow() -> None:
    tiling = tile(convolution(16, 8, 10), chip("loihi2", core__neurons=400))
    assert tiling.tiles == 4
    assert {one.use.neurons for one in tiling.cuts["out"].classes} == {400}


def test_axons_in_decide_the_shape_of_boxes() -> None:
    """All channels of a few lines need fewer axons than a few channels of all lines."""
    tiling = tile(convolution(16, 8, 10), chip("loihi2", core__neurons=800, core__axons_in=8 * 7 * 10))
    assert tiling.cuts["out"].step == (16, 5, 10)
    assert {one.use.axons_in for one in tiling.cuts["out"].classes} == {8 * 6 * 10}


def test_axons_out_shrink_a_box_before_many_tiles() -> None:
    network = convolution(16, 8, 10)
    first = Neurons("first", "lif", (8, 10, 10), 1, BINARY)
    identity = Synapses("i", "in", "first", Nest((Axis(800, 1, 1),), 0, 0, np.array(1)), (8, 10, 10), (8, 10, 10))
    last = replace(network.synapses[0], source="first")
    neurons = (network.neurons[0], first, replace(network.neurons[1], depth=2))
    whole = ChipNetwork("net", "loihi-lava", 4, neurons, (identity, last), "out")
    wide, narrow = (
        tile(whole, chip("loihi2", core__neurons=800, core__axons_out=most)).cuts["first"] for most in (None, 900)
    )
    assert wide.count == 1 and wide.classes[0].use.axons_out == 2 * 8 * 10 * 6
    assert narrow.count == 2 and max(one.use.axons_out for one in narrow.classes) <= 900


def test_a_wide_weight_takes_columns() -> None:
    """8 bits in cells of 2 bits: 4 columns a neuron, 32 neurons in 128 columns; the one that counts lies beside."""
    tiling = tile(layer(np.full((64, 100), 127)), load_target("crossbar-128-adc5"))
    assert only(tiling) == Use(32, 100, 0, 3200, 0, 100, 128, 10)
    thin = tile(layer(np.full((62, 100), 1)), load_target("crossbar-128-adc5"))
    assert only(thin).columns == 62


def test_rows_are_split_where_the_chip_adds_and_refused_where_it_does_not() -> None:
    network = layer(np.full((31, 300), 127))
    cut = tile(network, load_target("crossbar-128-adc5")).cuts["out"]
    assert (cut.parts, cut.count) == (3, 3)
    assert sum(one.use.neurons * one.count for one in cut.classes) == 31
    (finding,) = refused(network, chip("crossbar-128-adc5", synapse__adds_partial_sums=False))
    assert finding.code == "ND-M205" and finding.layer == "out"
    assert "300 rows" in finding.need and finding.have.startswith("128")


def test_truenorth_takes_axons_for_a_wide_weight() -> None:
    """8 bits take 14 axons of its 256: 18 inputs fit, 19 do not."""
    target = chip("truenorth", neuron__lif=True)
    assert only(tile(layer(np.full((5, 18), 127)), target)).rows == 18 * 14
    (finding,) = refused(layer(np.full((5, 19), 127)), target)
    assert "266 rows" in finding.need
    assert only(tile(layer(np.full((5, 120), 1)), target)).rows == 240


def test_places_of_a_convolution_take_turns_on_an_array() -> None:
    tiling = tile(convolution(32, 14, 16, fill=127), load_target("crossbar-128-adc5"))
    use = only(tiling)
    assert tiling.tiles == 1
    assert (use.rows, use.columns, use.neurons) == (14 * 9, 32 * 4, 32 * 256)


def test_sums_of_one_axon_take_no_cells() -> None:
    """A residual goes to the adders behind the array, so it leaves a convolution its turns."""
    network = convolution(31, 14, 16, fill=127)
    shape = (31, 16, 16)
    beside = Neurons("beside", "source", shape, 0, BINARY)
    identity = Nest((Axis(31 * 256, 1, 1),), 0, 0, np.array(1))
    synapses = (*network.synapses, Synapses("i", "beside", "out", identity, shape, shape))
    network = replace(network, neurons=(network.neurons[0], beside, network.neurons[1]), synapses=synapses)
    assert only(tile(network, load_target("crossbar-128-adc5"))).rows == 14 * 9
    digital = chip("crossbar-128-adc5", synapse__adds_partial_sums=False)
    assert tile(network, digital).tiles > 256


def test_cores_split_a_fan_in_only_where_nothing_else_fits() -> None:
    network = layer(np.full((4, 1000), 127))
    whole = tile(network, chip("loihi2", core__synapse_memory=1000)).cuts["out"]
    assert (whole.parts, whole.step) == (1, (1,))
    split = tile(network, chip("loihi2", core__synapse_memory=400)).cuts["out"]
    assert (split.parts, split.count) == (10, 10)  # of all four neurons; one by one it would be twelve
    held = chip("loihi2", core__synapse_memory=400, synapse__adds_partial_sums=False)
    (finding,) = refused(network, held)
    assert "1000 synapse memory of a core" in finding.need and finding.have.startswith("400")


def test_all_that_is_missing_is_told_at_once() -> None:
    network = lower(quantize(FAMILIES["qkformer"](0), pictures(2)))
    findings = refused(network, load_target("truenorth"))
    assert {f.code for f in findings} >= {"ND-M202", "ND-M203"}
    products = {n.name for n in network.neurons if n.kind == "product"}
    assert products and products <= {f.layer for f in findings if f.code == "ND-M202"}
    assert len(findings) == len(set(findings))


def test_findings_name_the_line_of_the_layer() -> None:
    graph = quantize(FAMILIES["qkformer"](0), pictures(2))
    with pytest.raises(DoesNotFitError) as caught:
        tile(lower(graph), load_target("loihi1"), graph)
    sources = {f.source for f in caught.value.findings if f.layer == "head"}
    assert sources and all(source.startswith("sketch.py:") for source in sources)


def test_custom_neurons_need_a_programmable_chip() -> None:
    network = layer(np.full((4, 10), 1))
    held = replace(network, neurons=(network.neurons[0], replace(network.neurons[1], kind="hold")))
    assert tile(held, load_target("loihi2")).tiles == 1
    (finding,) = refused(held, load_target("crossbar-128-adc5"))
    assert (finding.code, finding.need) == ("ND-M202", "custom neurons")


def test_what_nobody_published_is_not_relied_on() -> None:
    (finding,) = refused(layer(np.full((4, 10), 1)), chip("loihi2", neuron__lif=None))
    assert finding.have == "no source says that Intel Loihi 2 has them"


@pytest.mark.parametrize(
    ("interval", "bits"), [(Interval(0, 2), 3), (Interval(-2, 1), 2), (Interval(0, 255), 9), (Interval(-129, 3), 9)]
)
def test_payloads(interval: Interval, bits: int) -> None:
    network = layer(np.full((4, 10), 1), interval)
    tile(network, chip("loihi2", neuron__payload_bits=bits))
    (finding,) = refused(network, chip("loihi2", neuron__payload_bits=bits - 1))
    assert finding.code == "ND-M203" and f"{bits} bits" in finding.need


def test_widths_of_weights() -> None:
    network = layer(np.full((4, 10), 5))
    tile(network, chip("loihi2", synapse__weight_bits=4))
    (finding,) = refused(network, chip("loihi2", synapse__weight_bits=3))
    assert finding.code == "ND-M204" and finding.need == "weights of 4 bits"


def test_cores_for_convolutions_alone() -> None:
    able = chip("dynapcnn-speck2f", neuron__lif=True)
    assert tile(convolution(16, 8, 10), able).tiles == 1
    findings = refused(convolution(4, 4, 66, kernel=17), able)
    assert {f.code for f in findings} == {"ND-M206"}
    assert any("kernel of 17" in f.need for f in findings) and any("output of 66" in f.need for f in findings)
    (finding,) = refused(layer(np.full((4, 10), 1)), able)
    assert finding.need == "synapses that are no convolution"


def test_a_fan_in_beyond_the_chip() -> None:
    findings = refused(layer(np.full((4, 10), 1)), chip("loihi2", core__fan_in=9))
    assert [f.need for f in findings] == ["10 synapses onto one neuron"]


def test_a_cpu_is_no_chip() -> None:
    (finding,) = refused(layer(np.full((4, 10), 1)), load_target("cpu"))
    assert finding.code == "ND-M201"


def test_a_refused_layer_asks_no_axons_of_the_one_before_it() -> None:
    network = layer(np.full((4, 1000), 127))
    before = Neurons("before", "lif", (1000,), 1, BINARY)
    identity = Synapses("i", "in", "before", Nest((Axis(1000, 1, 1),), 0, 0, np.array(1)), (1000,), (1000,))
    last = replace(network.synapses[0], source="before")
    neurons = (network.neurons[0], before, replace(network.neurons[1], depth=2))
    whole = replace(network, neurons=neurons, synapses=(identity, last))
    target = chip("loihi2", core__synapse_memory=400, core__axons_out=600, synapse__adds_partial_sums=False)
    assert {f.layer for f in refused(whole, target)} == {"out"}


def test_loops_that_carry_are_cut_along_all_neurons() -> None:
    """Two loops that run over the ends of both axes: no product along them, one in a row of all neurons."""
    nest = Nest((Axis(5, 3, 3), Axis(2, 1, 1)), 1, 1, np.array(1))
    network = one_layer(nest, (4, 4), (4, 4))
    assert factors(network.synapses[0]) is None
    target = chip("loihi2", core__neurons=4)
    tiling = tile(network, target)
    cut = tiling.cuts["out"]
    assert cut.measure.plan.view.flat and cut.count == 4
    assert all(cut.use(t) == recount(cut, t, tiling, target) for t in tiles(cut))
    assert sum(cut.use(t).synapses for t in tiles(cut)) == 10


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_agree_with_counts_of_boxes(family: str) -> None:
    """The tables say what chip_counts says of the same box."""
    target = chip("loihi2", core__neurons=40)
    tiling = tile(lower(quantize(FAMILIES[family](0), pictures(2))), target)
    for cut in tiling.cuts.values():
        inputs = tiling.network.inputs(cut.population)
        for one in cut.classes:
            box = one.example.box
            assert one.use.axons_in == sum(axons_of(s, box) for s in inputs)
            assert one.use.synapses == sum(synapses_in(s, box) for s in inputs)
            layers = [isinstance(s.pattern, Filters) or s.pattern.weight.size > 1 for s in inputs]
            held = [(weights_of if own else synapses_in)(s, box) for own, s in zip(layers, inputs, strict=True)]
            bits = [weight_bits_of(s) for s in inputs]
            assert one.use.synapse_memory == sum(-(-n * own // 8) for n, own in zip(held, bits, strict=True))


def test_layers_of_imagenet_are_cut_at_once() -> None:
    network = convolution(768, 384, 112)
    start = time.perf_counter()
    for name in available():
        target = chip(name, neuron__lif=True) if name != "cpu" else None
        if target is not None and target.kind == "cores" and target.name != "loihi1":
            tile(network, chip(name, neuron__lif=True, **_wide(target)))
    crossbar = tile(network, load_target("crossbar-128-adc5"))
    assert crossbar.cuts["out"].parts == -(-384 * 9 // 128)
    assert time.perf_counter() - start < 10


def _wide(target: Target) -> dict[str, int]:
    return {"convolution__input": 112, "convolution__output": 112} if "convolution" in target.facts else {}
