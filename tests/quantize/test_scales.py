"""The search for a layer's scale: the least error among what fits, on all weights or on a sample of many."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.proof import prove
from neurodeploy.ir.types import Interval
from neurodeploy.numerics import LOIHI_LAVA
from neurodeploy.quantize import quantize
from neurodeploy.quantize.scales import CLIP_SEARCH, SAMPLE, Current, bias_grid, choose_scale, fits, scale_at
from tests.traced_graphs import Sketch, pictures

STEPS, BITS = 4, 8


def current(shape: tuple[int, ...], axon: Interval, seed: int = 0) -> Current:
    """A layer with heavy tails, so that clipping the largest weights pays."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_t(4, shape) / np.sqrt(shape[1])
    return Current(weight, rng.normal(0, 0.2, shape[0]), axon, 0.5, 1.0)


def error(vth: int, layer: Current) -> float:
    """Squared error over all weights, in real units."""
    scale = scale_at(vth, layer, BITS, LOIHI_LAVA)
    return float(np.square(scale.weight * scale.unit - layer.weight).sum())


def candidates(layer: Current) -> list[int]:
    """The thresholds of the clip search that fit, by brute force."""
    free = layer.threshold * 127 / np.abs(layer.weight).max()
    tries = {max(1, int(free * factor)) for factor in CLIP_SEARCH}
    return [vth for vth in sorted(tries) if fits(vth, layer, BITS, STEPS, LOIHI_LAVA)]


@pytest.mark.parametrize(("shape", "axon"), [((24, 40), Interval(0, 1)), ((8, 9), Interval(-128, 127))])
def test_a_small_layer_gets_the_least_error_of_all_that_fits(shape: tuple[int, int], axon: Interval) -> None:
    layer = current(shape, axon)
    found = choose_scale(layer, BITS, STEPS, LOIHI_LAVA)
    assert found is not None
    assert error(found.vth, layer) <= min(error(vth, layer) for vth in candidates(layer))


def test_a_large_layer_is_judged_on_a_sample_about_as_well() -> None:
    layer = current((400, 600), Interval(0, 1))
    assert layer.weight.size > SAMPLE
    found = choose_scale(layer, BITS, STEPS, LOIHI_LAVA)
    assert found is not None and found.clipped > 0
    assert error(found.vth, layer) <= 1.02 * min(error(vth, layer) for vth in candidates(layer))


def test_a_large_layer_is_proven_on_all_its_weights() -> None:
    layer = current((400, 600), Interval(0, 18))
    layer.weight[123] = np.abs(layer.weight[123]) * 4  # one neuron far above the others
    found = choose_scale(layer, BITS, STEPS, LOIHI_LAVA)
    assert found is not None
    assert conv_sums(found.weight, layer.axon).magnitude <= LOIHI_LAVA.activation_max
    above = scale_at(found.vth + max(1, found.vth // 50), layer, BITS, LOIHI_LAVA)
    assert conv_sums(above.weight, layer.axon).magnitude > LOIHI_LAVA.activation_max


def test_the_read_out_keeps_the_payload() -> None:
    s, channels, side = Sketch(), 8, 96
    s.op("input", "images", shape=(1, side, side))
    x = s.lif("embed", s.conv("embed", "images", (channels, 1, 3, 3), padding=1))
    x = s.op("reduce_mean", "gap", x, axes=(1, 2), keepdims=0)
    head = {"weight": np.linspace(0.9, 1.0, 3 * channels).reshape(3, channels), "bias": np.zeros(3)}
    graph = s.finish("wide", STEPS, s.op("conv", "head", x, tensors=head, stride=(), padding=(), groups=1))
    (weight,) = (n.tensors["weight"] for n in quantize(graph, pictures(2, side)).of("conv") if n.name == "head")
    sums = conv_sums(weight, Interval(0, side * side))
    assert 0.95 * LOIHI_LAVA.payload_max < sums.magnitude <= LOIHI_LAVA.payload_max
    assert all(bound.holds for bound in prove(quantize(graph, pictures(2, side))))


def test_a_bias_beyond_every_grid_stays_beyond_it() -> None:
    mantissa, exponent = bias_grid(np.array([1e300, -1e25, 1.0]), LOIHI_LAVA)
    assert exponent == LOIHI_LAVA.bias_exponent_max
    assert np.abs(mantissa[:2]).min() > 1 << LOIHI_LAVA.bias_bits
    assert (mantissa[:2] > 0).tolist() == [True, False]
