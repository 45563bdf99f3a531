"""Membrane shortcuts: one unit a stream, thresholds and biases of each reader's place, every executor the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends import onnx, reference
from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir import artefact
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.proof import prove
from neurodeploy.ir.text import to_text
from neurodeploy.mapping import lower
from neurodeploy.numerics import INT32, LOIHI_LAVA, PROFILES, Profile
from neurodeploy.quantize import QuantizeOptions, fold_batchnorm, quantize
from neurodeploy.quantize.builder import Builder
from neurodeploy.quantize.handlers import WORST_THRESHOLD
from neurodeploy.quantize.pixels import quantize_input
from neurodeploy.quantize.streams import Share, find_streams
from tests.float_graph import run_float
from tests.shortcut_graphs import SHORTCUTS
from tests.traced_graphs import FAMILIES, Sketch, pictures

BOTH = list(PROFILES.values())
GOLDEN = Path(__file__).parent / "golden" / "maxformer.txt"


def streams(graph: Graph) -> list[dict[str, Any]]:
    return [choice for choice in json.loads(graph.metadata["quantization"]) if choice["kind"] == "stream"]


def small(family: str, profile: Profile, seed: int = 1) -> Graph:
    return quantize(SHORTCUTS[family](seed), pictures(8), QuantizeOptions(profile=profile))


@pytest.mark.parametrize("profile", BOTH, ids=lambda p: p.name)
@pytest.mark.parametrize("family", SHORTCUTS)
def test_every_bound_holds_and_the_executors_agree(family: str, profile: Profile) -> None:
    graph, images = small(family, profile), pictures(3, seed=11)
    assert all(bound.holds for bound in prove(graph))
    first, second = reference.run(graph, images, "all"), onnx.run(graph, images, "all")
    assert (first.logits == second.logits).all() and first.logits.any()
    for name in first.spikes:
        assert (first.spikes[name] == second.spikes[name]).all(), name
        assert (first.membrane[name] == second.membrane[name]).all(), name


@pytest.mark.parametrize("family", SHORTCUTS)
def test_the_mapped_network_is_the_same(family: str) -> None:
    graph, images = small(family, LOIHI_LAVA), pictures(2, seed=11)
    first, second = reference.run(graph, images, "all"), reference.run_mapped(lower(graph), images, "all")
    assert (first.logits == second.logits).all()
    assert all((first.membrane[name] == second.membrane[name]).all() for name in first.membrane)


@pytest.mark.parametrize("family", SHORTCUTS)
def test_logits_follow_the_float_network(family: str) -> None:
    wanted, given = [], []
    for seed in range(3):
        traced, images = SHORTCUTS[family](seed), pictures(24)
        result = reference.run(quantize(traced, images), images)
        given.append(result.logits * result.scale)
        wanted.append(run_float(traced, images.astype(np.float64))["readout"][0])
    assert np.corrcoef(np.ravel(wanted), np.ravel(given))[0, 1] > 0.98


@pytest.mark.parametrize("family", SHORTCUTS)
def test_what_reaches_the_head_is_the_float_current(family: str) -> None:
    """In the first step the membrane of a neuron that does not fire is half of its input, biases included."""
    traced, images = SHORTCUTS[family](4), pictures(32)
    graph = quantize(traced, images, QuantizeOptions(profile=INT32))
    result, floats = reference.run(graph, images, ("head_lif",)), run_float(traced, images.astype(np.float64))["gap"][0]
    quiet = result.spikes["head_lif"][:, 0] == 0
    given = result.membrane["head_lif"][:, 0] / (graph.by_name["head_lif"].integer("vth") << 6)
    assert quiet.sum() > 20
    assert np.median(np.abs(given - 0.5 * floats)[quiet]) < 0.02 * np.abs(floats).max()


def test_a_plain_layer_is_a_stream_of_its_own() -> None:
    for make in FAMILIES.values():
        assert all(stream.plain for stream in find_streams(fold_batchnorm(make())).values())
        assert not streams(quantize(make(), pictures(4)))


def test_what_shares_a_unit() -> None:
    found = {stream["layer"]: stream["layers"] for stream in streams(small("maxformer", INT32))}
    assert found["stem_conv"] == ["stem_conv"]
    assert found["stem.branch_conv"] == ["stem.branch_conv", "stem.short_conv", "stage1.dwc_conv"]
    assert found["embed2.short_conv"] == ["embed2.short_conv", "embed2.1_conv", "mlp.fc2_conv"]


def test_spikes_join_with_a_whole_weight() -> None:
    graph = small("maxformer", INT32)
    (joining,) = [node for node in graph.of("conv") if node.name.endswith(".joining")]
    (unit,) = [stream["unit"] for stream in streams(graph) if "mlp.fc2_conv" in stream["layers"]]
    weights = joining.tensors["weight"]
    assert joining.name == "ssa.add.joining" and joining.integer("groups") == len(weights) == weights.size
    assert (weights == round(1 / unit)).all() and unit * weights.flat[0] == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("profile", BOTH, ids=lambda p: p.name)
@pytest.mark.parametrize("parts", [4, 9, 49])
def test_spikes_and_a_part_of_spikes_join_one_current(parts: int, profile: Profile) -> None:
    """What is a whole number of units at one candidate is none at the next, which is then no candidate."""
    s = Sketch(5)
    s.op("input", "images", shape=(1, 4, 4))
    whole, part, x = (s.lif(name, s.conv(name, "images", (8, 1, 3, 3), padding=1)) for name in "abc")
    x = s.op("add", "first", s.conv("d", x, (8, 8, 1, 1)), whole)
    x = s.op("add", "second", x, s.op("scale", "part", part, factor=1 / parts))
    x = s.op("reduce_mean", "gap", s.lif("out", x), axes=(1, 2), keepdims=0)
    s.op("conv", "head", x, tensors={"weight": s.rng.normal(0, 1, (3, 8))}, stride=(), padding=(), groups=1)
    graph = quantize(s.finish("parts", 4, "head"), pictures(4, size=4), QuantizeOptions(profile=profile))
    ((choice,), images) = streams(graph), pictures(3, size=4, seed=11)
    worth = 1 / choice["unit"] / parts
    assert worth == pytest.approx(round(worth), rel=1e-9) and choice["weight_error"] < 0.02
    assert all(bound.holds for bound in prove(graph))
    assert (reference.run(graph, images).logits == onnx.run(graph, images).logits).all()


def test_a_trial_writes_nothing_into_its_builder() -> None:
    build = Builder(fold_batchnorm(FAMILIES["qkformer"]()), QuantizeOptions(), pictures(2))
    trial = build.trial({"conv": Share(0.5, 1)})
    for node in trial.traced.of("input"):
        quantize_input(trial, node)
    trial.codes["x"] = trial.values["images"]
    assert trial.nodes and trial.types and trial.values and trial.choices
    assert not (build.nodes or build.types or build.values or build.choices or build.codes or build.shares)
    assert trial.reaches is build.reaches  # of the float network: measured once for all trials


def test_readers_of_different_thresholds() -> None:
    s = Sketch(5)
    s.op("input", "images", shape=(1, 4, 4))
    x = s.conv("a", "images", (8, 1, 3, 3), padding=1)
    x = s.op("add", "both", s.lif("first", x), s.lif("second", x, threshold=2.5))
    x = s.op("reduce_mean", "gap", x, axes=(1, 2), keepdims=0)
    s.op("conv", "head", x, tensors={"weight": s.rng.normal(0, 1, (3, 8))}, stride=(), padding=(), groups=1)
    graph = quantize(s.finish("two", 4, "head"), pictures(4, size=4))
    first, second = (graph.by_name[name].integer("vth") for name in ("first_lif", "second_lif"))
    assert second == round(2.5 * first) and first > 0


def far_apart(factor: float) -> Graph:
    """A neuron that reads a current, and one that reads a multiple of it, whose threshold is few units."""
    s = Sketch(5)
    s.op("input", "images", shape=(1, 4, 4))
    x = s.conv("a", "images", (8, 1, 3, 3), padding=1)
    x = s.op("add", "both", s.lif("first", x), s.lif("second", s.op("scale", "times", x, factor=factor)))
    x = s.op("reduce_mean", "gap", x, axes=(1, 2), keepdims=0)
    s.op("conv", "head", x, tensors={"weight": s.rng.normal(0, 1, (3, 8))}, stride=(), padding=(), groups=1)
    return s.finish("far", 4, "head")


@pytest.mark.parametrize("factor", [1.1, 150.0, 2700.0, 3500.0])
def test_thresholds_are_rounded_within_a_limit_and_say_so(factor: float) -> None:
    graph = quantize(far_apart(factor), pictures(4, size=4))
    ((stream,), choices) = streams(graph), json.loads(graph.metadata["quantization"])
    errors = {choice["layer"]: choice["threshold_error"] for choice in choices if choice["kind"] == "threshold"}
    for name, worth in (("first_lif", 0.5), ("second_lif", 0.5 * factor)):  # decay_input: half of the current
        threshold = graph.by_name[name].integer("vth") * stream["unit"] * worth
        assert errors[name] == pytest.approx(abs(threshold - 1), abs=1e-12) and errors[name] <= WORST_THRESHOLD


def wide(channels: int, blocks: int) -> Graph:
    """A stream too wide for 17 bits of activation: the mean over 256 tokens sums its worst case 256 times."""
    s = Sketch(0)
    s.op("input", "images", shape=(1, 16, 16))
    x = s.lif("embed", s.conv("embed", "images", (8, 1, 3, 3), padding=1))
    x = s.conv("stem", x, (channels, 8, 3, 3), padding=1)
    for index in range(blocks):
        y = s.conv(f"block{index}", s.lif(f"block{index}", x), (channels, channels, 1, 1))
        x = s.op("add", f"block{index}.add", x, y)
    x = s.lif("head", s.op("reduce_mean", "gap", x, axes=(1, 2), keepdims=0))
    head = {"weight": s.rng.normal(0, 0.5, (3, channels))}
    return s.finish("wide", 4, s.op("conv", "head", x, tensors=head, stride=(), padding=(), groups=1))


def test_a_deep_stream_needs_the_cpu() -> None:
    traced, images = wide(128, 12), pictures(4, size=16)
    with pytest.raises(DoesNotFitError) as caught:
        quantize(traced, images)
    first, second = caught.value.findings
    assert {(finding.code, finding.layer) for finding in (first, second)} == {("ND-Q013", "head_lif")}
    assert first.need.startswith("activation of ") and first.have == "17 bits in profile loihi-lava"
    assert second.need.startswith("membrane of ") and 'target "cpu"' in second.next
    graph = quantize(traced, images, QuantizeOptions(profile=INT32))
    assert graph.profile == "int32" and all(bound.holds for bound in prove(graph))


def test_the_mapping_proves_a_cpu_network_for_its_chip() -> None:
    graph = quantize(wide(128, 12), pictures(4, size=16), QuantizeOptions(profile=INT32))
    with pytest.raises(DoesNotFitError) as caught:
        lower(graph)
    assert "head_lif" in {finding.layer for finding in caught.value.findings}
    assert all('target "cpu"' in finding.next for finding in caught.value.findings)


def test_a_cpu_network_that_fits_the_chip_is_mapped() -> None:
    graph, images = replace(small("sdt", LOIHI_LAVA), profile="int32"), pictures(2, seed=3)
    mapped = lower(graph)
    assert mapped.profile == "loihi-lava"
    assert (reference.run_mapped(mapped, images).logits == reference.run(graph, images).logits).all()


def test_an_artefact_holds_a_cpu_network(tmp_path: Path) -> None:
    graph = small("maxformer", INT32)
    artefact.save(graph, tmp_path / "net.onnx")
    again = artefact.load(tmp_path / "net.onnx")
    images = pictures(2)
    assert again.profile == "int32"
    assert (reference.run(graph, images).logits == reference.run(again, images).logits).all()


def test_golden_text() -> None:
    """Spikes that join, a doubled convolution, thresholds and biases: what a shortcut becomes, tensors by shape."""
    text = re.sub(r"#[0-9a-f]{8}", "", to_text(small("maxformer", LOIHI_LAVA, seed=0)))
    assert text == GOLDEN.read_text(encoding="utf-8")
