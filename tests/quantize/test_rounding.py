"""Rounding with data: never worse than the nearest, bit-equal on all executors, and it follows the float network."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neurodeploy.backends.onnx import run as run_onnx
from neurodeploy.backends.reference import run
from neurodeploy.errors import DoesNotFitError, NeurodeployError, UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.proof import prove
from neurodeploy.ir.types import Interval
from neurodeploy.numerics import INT32, LOIHI_LAVA
from neurodeploy.quantize import QuantizeOptions, fold_batchnorm, layer_losses, quantize, sensitivity
from neurodeploy.quantize import compensate as c
from neurodeploy.quantize.execute import integer_logits, real_logits
from neurodeploy.quantize.fitted import _shrunk
from neurodeploy.quantize.sensitivity import WIDTHS, weight_bytes
from neurodeploy.report.describe import graph_document
from tests.float_graph import run_float
from tests.shortcut_graphs import SHORTCUTS
from tests.traced_graphs import FAMILIES, pictures

GRAPHS = {**FAMILIES, **SHORTCUTS}


def damped(rng: np.random.Generator, fan_in: int) -> np.ndarray:
    """H of random spikes that go together, damped as `Moments.damped` does; of silence, ones."""
    x = (rng.random((fan_in, 4 * fan_in)) < 0.2).astype(float)
    x[1:] = np.maximum(x[1:], x[:-1] * (rng.random(x[1:].shape) < 0.5))
    square = x @ x.T
    return square + (0.01 * np.diagonal(square).mean() or 1.0) * np.eye(fan_in)


@example(seed=53335, fan_in=2, top=1, settle=False)  # silence
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 16), st.integers(2, 90), st.sampled_from([1, 3, 7, 31]), st.booleans())
def test_no_row_is_worse_than_rounded_to_the_nearest(seed: int, fan_in: int, top: int, settle: bool) -> None:
    rng = np.random.default_rng(seed)
    square, exact = damped(rng, fan_in), rng.normal(size=(5, fan_in))
    unit = np.full(5, rng.uniform(0.5, 1.5) * np.abs(exact).max() / top)
    found = c.compensated(exact, unit, top, square, c.factor_of(square), settle)
    nearest = np.clip(np.rint(exact / unit[:, None]), -top, top)
    assert (found == np.rint(found)).all() and np.abs(found).max() <= top
    wrong = c.errors(found * unit[:, None], exact, square)
    assert (wrong <= c.errors(nearest * unit[:, None], exact, square)).all()


def test_inputs_that_go_together_gain_most() -> None:
    rng = np.random.default_rng(3)
    square, exact = damped(rng, 64), rng.normal(size=(32, 64))
    unit = np.full(32, 0.5)
    found = c.compensated(exact, unit, 7, square, c.factor_of(square))
    nearest = np.clip(np.rint(exact / 0.5), -7, 7)
    assert c.errors(found * 0.5, exact, square).sum() < 0.8 * c.errors(nearest * 0.5, exact, square).sum()


def test_the_factor_is_of_the_inverse() -> None:
    square = damped(np.random.default_rng(0), 20)
    order, factor = c.factor_of(square)
    assert np.allclose(factor.T @ factor @ square[np.ix_(order, order)], np.eye(20))
    assert (np.diff(np.diagonal(square)[order]) <= 0).all() and not np.tril(factor, -1).any()


@pytest.mark.parametrize("axon", [Interval(0, 1), Interval(-3, 2), Interval(0, 255)])
def test_rows_beyond_a_limit_are_shrunk_to_it(axon: Interval) -> None:
    rng = np.random.default_rng(1)
    rows, square = rng.integers(-7, 8, (4, 30)).astype(float), damped(rng, 30)
    limit = Interval(-20 * axon.magnitude, 15 * axon.magnitude)
    found = _shrunk(rows, rows, square, axon, limit)
    high, low = np.maximum(found * axon.lo, found * axon.hi), np.minimum(found * axon.lo, found * axon.hi)
    assert (high.sum(axis=1) <= limit.hi).all() and (low.sum(axis=1) >= limit.lo).all()
    assert (np.abs(found) <= np.abs(rows)).all() and (found * rows >= 0).all()


CHOICES: list[dict[str, Any]] = [
    {"weight_bits": 4},
    {"weight_bits": 3, "first_bits": 8, "last_bits": 6},
    {"weight_bits": 4, "rounding": "nearest", "scale": "spikes", "bias_correction": False},
    {"weight_bits": 8, "rounding": "compensated", "scale": "weight", "bias_correction": True},
    {"weight_bits": 2, "rounding": "compensated", "bias_correction": False},
]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize("family", GRAPHS)
def test_every_choice_is_proven_and_bit_equal(family: str, choices: dict[str, Any]) -> None:
    images = pictures(6)
    graph = quantize(GRAPHS[family](1), images, QuantizeOptions(**choices, profile=INT32))
    assert all(bound.holds for bound in prove(graph))
    wanted = run(graph, images)
    assert (run_onnx(graph, images).logits == wanted.logits).all()
    assert (integer_logits(graph, images) == wanted.logits * wanted.scale).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_samples_pass_the_float_network_as_it_is(family: str) -> None:
    traced, images = fold_batchnorm(FAMILIES[family](2)), pictures(3)
    assert np.allclose(real_logits(traced, images), run_float(traced, images.astype(float))["readout"][0], atol=1e-4)


def test_same_inputs_same_network() -> None:
    def made() -> Graph:
        return quantize(FAMILIES["qkformer"](0), pictures(8), QuantizeOptions(4))

    first, second = made(), made()
    assert first.metadata == second.metadata
    for a, b in zip(first.nodes, second.nodes, strict=True):
        assert all((a.tensors[name] == b.tensors[name]).all() for name in a.tensors)


def test_every_layer_reports_its_errors() -> None:
    graph = quantize(FAMILIES["qkformer"](0), pictures(8), QuantizeOptions(4))
    for choice in json.loads(graph.metadata["quantization"]):
        if choice["kind"] == "conv":
            assert choice["rounding"] == "compensated" and choice["bias_corrected"]
            assert 0 <= choice["spike_error"] <= 1 and 0 <= choice["cumulative_error"] <= 1
            assert choice["membrane_error"] >= 0 and choice["current_error"] >= 0


def test_a_layer_at_rest_has_no_share_of_error() -> None:
    graph = quantize(FAMILIES["qkformer"](3), pictures(6), QuantizeOptions(4))
    assert "Infinity" not in graph.metadata["quantization"] and "NaN" not in graph.metadata["quantization"]
    errors = {choice["layer"]: choice.get("current_error") for choice in json.loads(graph.metadata["quantization"])}
    assert errors["ssa.proj_conv"] is None and errors["head"] > 0  # nothing in front of ssa.proj_conv fires


def test_own_widths_of_the_first_and_last_layer() -> None:
    graph = quantize(FAMILIES["qkformer"](0), pictures(4), QuantizeOptions(3, first_bits=6, last_bits=5))
    bits = [c["weight_bits"] for c in json.loads(graph.metadata["quantization"]) if "weight_bits" in c]
    assert (bits[0], bits[-1]) == (6, 5) and set(bits[1:-1]) == {3}


@pytest.mark.parametrize(
    ("choices", "code"),
    [
        ({"rounding": "up"}, "ND-Q030"),
        ({"scale": "bits"}, "ND-Q030"),
        ({"bias_correction": 1}, "ND-Q030"),
        ({"threshold_groups": 5}, "ND-Q030"),
        ({"weight_bits": "auto"}, "ND-Q031"),
        ({"budget": 1000}, "ND-Q031"),
        ({"weight_bits": "auto", "budget": 9, "most_drop": 1.0}, "ND-Q031"),
        ({"weight_bits": "auto", "budget": 0}, "ND-Q032"),
        ({"weight_bits": "auto", "most_drop": 100}, "ND-Q032"),
        ({"weight_bits": {"*": "auto"}}, "ND-Q001"),
        ({"first_bits": 9}, "ND-Q001"),
        ({"last_bits": True}, "ND-Q001"),
    ],
)
def test_findings_of_the_options(choices: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        QuantizeOptions(**choices)
    assert [finding.code for finding in caught.value.findings] == [code]


def test_options_take_numbers_of_numpy() -> None:
    four = np.int64(4)
    assert QuantizeOptions(four, first_bits=four) == QuantizeOptions(4, first_bits=4)
    assert QuantizeOptions({"*": four}) == QuantizeOptions({"*": 4})
    assert type(QuantizeOptions("auto", most_drop=np.float32(0.5)).most_drop) is float


def test_a_budget_is_kept_with_the_fewest_bits_where_they_cost_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "WIDTHS", (8, 3))
    traced, images = FAMILIES["spikformer"](0), pictures(6)
    folded = fold_batchnorm(traced)
    most = sum(weight_bytes(folded, dict.fromkeys((n.name for n in folded.of("conv")), 8)).values())
    graph = quantize(traced, images, QuantizeOptions("auto", budget=most // 2))
    bits = {c["layer"]: c["weight_bits"] for c in json.loads(graph.metadata["quantization"]) if "weight_bits" in c}
    assert sum(weight_bytes(folded, bits).values()) <= most // 2
    assert graph_document(graph, ())["weight_bytes"] == sum(weight_bytes(folded, bits).values())
    assert len(set(bits.values())) > 1
    with pytest.raises(DoesNotFitError) as caught:
        quantize(traced, images, QuantizeOptions("auto", budget=10))
    assert [finding.code for finding in caught.value.findings] == ["ND-Q034"]


@pytest.mark.parametrize("bound", [{"budget": 1 << 20}, {"most_drop": 5.0}])
def test_a_network_that_no_width_holds_is_refused_for_that(bound: dict[str, Any]) -> None:
    traced = FAMILIES["qkformer"](0)
    heavy = {n.name: replace(n, tensors={**n.tensors, "weight": n.tensors["weight"] * 1e12}) for n in traced.of("conv")}
    traced = traced.with_nodes(heavy.get(node.name, node) for node in traced.nodes)
    with pytest.raises(NeurodeployError) as plain:
        quantize(traced, pictures(4), QuantizeOptions(8))
    with pytest.raises(NeurodeployError) as caught:
        quantize(traced, pictures(4), QuantizeOptions("auto", **bound))
    assert {f.code for f in caught.value.findings} == {f.code for f in plain.value.findings}
    assert not {"ND-Q034", "ND-Q035"} & {f.code for f in caught.value.findings}


def test_a_bound_on_the_drop_is_kept_on_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "WIDTHS", (8, 4))
    traced, images = FAMILIES["qkformer"](1), pictures(10)
    graph = quantize(traced, images, QuantizeOptions("auto", most_drop=20.0))
    wanted = real_logits(fold_batchnorm(traced), images).argmax(axis=1)
    assert (integer_logits(graph, images).argmax(axis=1) == wanted).mean() >= 0.8


class Uneven:
    """A judge for whom some widths lose nothing, all else everything."""

    def __init__(self, good: set[int] = frozenset({4, 8})) -> None:  # type: ignore[assignment]
        self.good = good
        self.graph, self.images = fold_batchnorm(FAMILIES["qkformer"](1)), pictures(2)
        self.asked: list[set[int]] = []

    def measured(self, bits: dict[str, int]) -> tuple[float, float]:
        self.asked.append(set(bits.values()))
        return (100.0 if self.asked[-1] in [{bits} for bits in self.good] else 0.0), 0.0


def test_fewer_bits_that_lose_less_than_more_are_found() -> None:
    judge = Uneven()
    layers = [node.name for node in judge.graph.of("conv")]
    start, end = dict.fromkeys(layers, 8), dict.fromkeys(layers, 2)
    between = [{**start, **dict.fromkeys(layers[:n], 2)} for n in range(1, len(layers))]
    found = sensitivity._verified([start, *between, end], judge, 1.0, lambda stage: None)  # type: ignore[arg-type]
    assert found.bits == dict.fromkeys(layers, 4)
    assert judge.asked[-3:] == [{2}, {3}, {4}]
    assert found.facts["lost"] == 0


def test_fewer_bits_are_found_where_eight_lose_too_much() -> None:
    judge = Uneven({4})
    path = [dict.fromkeys((node.name for node in judge.graph.of("conv")), bits) for bits in (8, 2)]
    found = sensitivity._verified(path, judge, 1.0, lambda stage: None)  # type: ignore[arg-type]
    assert {*found.bits.values()} == {4}
    with pytest.raises(DoesNotFitError, match="100 % of the 2 calibration samples differ at the least"):
        sensitivity._verified(path, Uneven(set()), 1.0, lambda stage: None)  # type: ignore[arg-type]


def test_sensitivity_has_a_row_a_layer_and_width() -> None:
    traced = FAMILIES["qkformer"](0)
    losses = layer_losses(traced, pictures(4), QuantizeOptions(profile=LOIHI_LAVA))
    convs = [node.name for node in fold_batchnorm(traced).of("conv")]
    assert [(loss.layer, loss.bits) for loss in losses] == [(name, bits) for name in convs for bits in WIDTHS]
    assert all(loss.refused or (0 <= loss.agreement <= 100 and loss.logit_error >= 0) for loss in losses)


def test_a_layer_from_another_network_is_as_quantized_anew() -> None:
    traced, images = FAMILIES["spikformer"](0), pictures(4)
    losses = {(loss.layer, loss.bits): loss for loss in layer_losses(traced, images)}
    for layer in ("ssa.q_conv", "ssa.proj_conv", "sps.proj_conv"):
        plain: dict[str, Any] = {"rounding": "nearest", "scale": "weight", "bias_correction": False}
        graph = quantize(traced, images, QuantizeOptions({layer: 3}, **plain))
        same, error = sensitivity.agreement(integer_logits(graph, images), real_logits(fold_batchnorm(traced), images))
        assert (same, error) == (losses[layer, 3].agreement, losses[layer, 3].logit_error)
