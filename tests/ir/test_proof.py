"""The interval proof: bounds are reached by worst-case inputs, and never left by any."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import product

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir.graph import Node
from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.proof import currents, membrane, node_bounds, prove, require_proof
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.numerics import LOIHI_LAVA, cuba_step, lif_step
from tests.ir.graphs import conv, encode, lif, quantized, small


@pytest.mark.parametrize("axon", [Interval(0, 1), Interval(-3, 2), Interval(0, 255), Interval(-128, 127)])
@pytest.mark.parametrize("seed", range(5))
def test_conv_interval_is_exactly_what_inputs_reach(axon: Interval, seed: int) -> None:
    weight = np.random.default_rng(seed).integers(-128, 128, (3, 2, 2, 2))
    corners = np.array(list(product((axon.lo, axon.hi), repeat=8)))
    sums = corners @ weight.reshape(3, -1).T
    assert conv_sums(weight, axon) == Interval(int(sums.min()), int(sums.max()))


def membranes(currents: np.ndarray, bias: int, vth: int, dv: int) -> np.ndarray:
    """Membranes before the fire rule of every row of currents [rows, T], by the written step without its clip."""
    v, seen = np.zeros(len(currents), np.int64), []
    for u in currents.T:
        kept = np.trunc(v * (4096 - dv) / 4096).astype(np.int64)
        seen.append(kept + (u << 6) + bias)
        _, v = lif_step(u, v, np.int64(bias), vth, dv)
    return np.stack(seen)


@pytest.mark.parametrize("dv", [0, 1, 1000, 2048, 4095])
@pytest.mark.parametrize(("vth", "bias"), [(0, 0), (1, -40), (3, 17), (50, 5)])
def test_no_input_leaves_the_membrane_interval(dv: int, vth: int, bias: int) -> None:
    span, steps = Interval(-2, 3), 4
    currents = np.array(list(product(range(span.lo, span.hi + 1), repeat=steps)))
    node = lif("lif", "x", [bias], vth=vth, dv=dv)
    bound = membrane(node, ValueType((1,), span), steps, LOIHI_LAVA)
    seen = membranes(currents, bias, vth, dv)
    assert bound.lo == seen.min()
    assert bound.hi >= seen.max()


@pytest.mark.parametrize("dv", [0, 1, 1000, 2048, 4095])
@pytest.mark.parametrize("exponent", [0, 3])
def test_membrane_interval_is_reached_below_threshold(dv: int, exponent: int) -> None:
    span, steps = Interval(-700, 900), 6
    node = lif("lif", "x", [-5], vth=1 << 16, dv=dv, weight_exp=exponent)
    worst = np.array([[span.lo] * steps, [span.hi] * steps]) << exponent
    seen = membranes(worst, -5, 1 << 16, dv)
    assert membrane(node, ValueType((1,), span), steps, LOIHI_LAVA) == Interval(int(seen.min()), int(seen.max()))


def cuba_runs(activations: np.ndarray, node: Node) -> tuple[np.ndarray, np.ndarray]:
    """(currents, membranes before the fire rule) of every row of activations [rows, T], by the written step."""
    u = v = np.zeros(len(activations), np.int64)
    flows, seen = [], []
    bias, (vth, dv, du) = np.int64(node.tensors["bias_mant"][0]), (node.integer(key) for key in ("vth", "dv", "du"))
    for a in activations.T:
        seen.append(cuba_step(a, (u, v), bias, LOIHI_LAVA.state_max, (du, dv))[1][1])
        _, (u, v) = cuba_step(a, (u, v), bias, vth, (du, dv))
        flows.append(u)
    return np.stack(flows), np.stack(seen)


@pytest.mark.parametrize("du", [1, 37, 1024, 2049, 4095, 4096])
@pytest.mark.parametrize(("vth", "dv", "bias"), [(0, 2048, 0), (1, 0, -40), (30, 3000, 17)])
def test_no_input_leaves_the_intervals_of_a_current_that_lasts(du: int, vth: int, dv: int, bias: int) -> None:
    span, steps = Interval(-2, 3), 4
    node = lif("lif", "x", [bias], vth=vth, dv=dv, du=du)
    flows, seen = cuba_runs(np.array(list(product(range(span.lo, span.hi + 1), repeat=steps))), node)
    assert reduce(Interval.union, currents(node, ValueType((1,), span), steps, LOIHI_LAVA)) == Interval(
        int(flows.min()), int(flows.max())
    )
    bound = membrane(node, ValueType((1,), span), steps, LOIHI_LAVA)
    assert bound.lo <= seen.min() and bound.hi >= seen.max()


@pytest.mark.parametrize("du", [1, 205, 4095])
def test_intervals_of_a_current_that_lasts_are_reached_below_threshold(du: int) -> None:
    span, steps = Interval(-70, 90), 6
    node = lif("lif", "x", [-5], vth=1 << 16, du=du)
    flows, seen = cuba_runs(np.array([[span.lo] * steps, [span.hi] * steps]), node)
    found = {bound.quantity: bound.interval for bound in node_bounds(node, _types(span), steps, LOIHI_LAVA)}
    assert found["membrane"] == Interval(int(seen.min()), int(seen.max()))
    assert found["current"].lo == flows.min() and found["current"].hi == flows.max()


def _types(span: Interval) -> dict[str, ValueType]:
    return {"x": ValueType((1,), span), "lif": ValueType((1,), Interval(0, 1))}


def test_a_current_beyond_the_state_is_refused_and_one_that_forgets_is_no_matter() -> None:
    span, steps = Interval(0, 1 << 15), 6
    for du, fits in ((4095, True), (1024, True), (1, False)):
        node = lif("lif", "x", [0], vth=0, dv=4095, du=du)
        bounds = {bound.quantity: bound for bound in node_bounds(node, _types(span), steps, LOIHI_LAVA)}
        assert bounds["current"].holds == fits
    plain = lif("lif", "x", [0])
    assert "current" not in {bound.quantity for bound in node_bounds(plain, _types(span), steps, LOIHI_LAVA)}


def test_small_graph_is_proven() -> None:
    bounds = require_proof(small())
    quantities = {(bound.layer, bound.quantity) for bound in bounds}
    assert {("block.conv", "weight"), ("block.lif", "membrane"), ("logits", "payload")} <= quantities


LIMITS = {
    "activation": ({"weight_exp": 10}, [[[0]]]),
    "threshold": ({"vth": 1 << 17}, [[[0]]]),
    "bias mantissa": ({}, [[[4096]]]),
    "bias exponent": ({"bias_exp": 8}, [[[0]]]),
    "membrane": ({"vth": 100_000, "bias_exp": 7, "weight_exp": 7, "dv": 0}, [[[4095]]]),
}


@pytest.mark.parametrize("quantity", LIMITS)
def test_each_limit_is_named_when_it_is_left(quantity: str) -> None:
    own, bias = LIMITS[quantity]
    graph = quantized(encode(), conv("conv", "pixels", [[[[60]]]]), lif("lif", "conv", bias, **own))
    failed = {bound.quantity for bound in prove(replace(graph, steps=3)) if not bound.holds}
    assert quantity in failed
    with pytest.raises(DoesNotFitError, match=f"(?s)ND-P001 lif.*{quantity} in "):
        require_proof(replace(graph, steps=3))


def test_limits_hold_up_to_their_last_value() -> None:
    top = {"vth": (1 << 17) - 1, "bias_exp": 7}
    graph = quantized(encode(hi=255), conv("conv", "pixels", [[[[127]]]]), lif("lif", "conv", [[[4095]]], **top))
    assert all(bound.holds for bound in prove(graph))
    beyond = {"vth": 1 << 17, "bias_exp": 8}
    other = quantized(*graph.nodes[:2], lif("lif", "conv", [[[4096]]], **beyond))
    failed = [bound.quantity for bound in prove(other) if not bound.holds]
    assert failed == ["threshold", "bias mantissa", "bias exponent"]


def test_payload_into_a_convolution_has_eight_bits() -> None:
    wide = conv("wide", "pixels", [[[[20]]]])
    graph = quantized(encode(), wide, conv("next", "wide", [[[[1]]]]))
    assert [(b.layer, b.quantity) for b in prove(graph) if not b.holds] == [("next", "input payload")]


def test_differences_in_a_pool_window_have_the_width_of_a_payload() -> None:
    """A max-pool of sums becomes ReLU neurons on the chip, which send up to the width of the whole interval."""
    sums = conv("sums", "pixels", np.full((1, 300, 1, 1), 127).tolist())
    pool = Node("max_pool", "pool", ("sums",), {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)})
    graph = quantized(encode((300, 2, 2), lo=-128, hi=127), sums, pool)
    assert [(b.layer, b.quantity) for b in prove(graph) if not b.holds] == [("pool", "difference in a window")]


def test_differences_in_a_pool_window_are_no_matter_without_a_chip() -> None:
    sums = conv("sums", "pixels", np.full((1, 600, 1, 1), 127).tolist())
    pool = Node("max_pool", "pool", ("sums",), {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)})
    graph = replace(quantized(encode((600, 2, 2), lo=-128, hi=127), sums, pool), profile="int32")
    assert all(bound.holds for bound in require_proof(graph))
