"""The first layer is the tight one: pixels have 8 bits, so its accumulator and its folded bias leave the chip's widths.

Pixels of p bits and weights as fine as the proof then allows compete: for each p the layers that read the pixels are
quantized, run on calibration images, and their spikes compared with the float layers'. The p of least error wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.images import slices
from neurodeploy.ir.graph import Attribute, Graph, Node
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.numerics import Profile
from neurodeploy.quantize.builder import Builder, Quantity
from neurodeploy.quantize.currents import current_of, driven
from neurodeploy.quantize.observe import convolve, fire, through
from neurodeploy.quantize.options import QuantizeOptions
from neurodeploy.quantize.scales import Current, LayerScale, choose_scale, decay_to_dv

PIXEL_BITS = (8, 7, 6, 5, 4, 3)
IMAGES = 32  # calibration images that the choice is measured on
VALUES = 1 << 23  # of a layer's currents at a time: 64 MB, and a few times that on the way to its spikes


@dataclass(frozen=True)
class PixelCode:
    """Pixels as integers: x = step * code. error: share of first-layer spikes that differ from the float layer's."""

    bits: int
    step: float
    span: Interval
    error: float = 0.0


def quantize_input(build: Builder, node: Node) -> None:
    """The input becomes an `encode` with the pixel width of least measured spike error."""
    layers = [reader for reader in build.traced.consumers[node.name] if reader.op == "conv"]
    tries = measured_codes(build.traced, layers, build.calibration, build.options)
    best = min(tries, key=lambda code: (code.error, -code.bits))
    attributes: dict[str, Attribute] = {
        "shape": node.integers("shape"),
        "step": best.step,
        "lo": best.span.lo,
        "hi": best.span.hi,
    }
    name = build.emit("encode", node, (), attributes)
    build.values[node.name] = Quantity(name, best.step)
    errors = {str(code.bits): None if np.isinf(code.error) else code.error for code in tries}
    build.report(node, kind="pixels", pixel_bits=best.bits, spike_error=best.error, tried=errors)


def measured_codes(
    graph: Graph, layers: list[Node], images: NDArray[np.float32], options: QuantizeOptions
) -> list[PixelCode]:
    """Every pixel width with its measured spike error; infinite where no scale fits."""
    codes = [pixel_code(images, bits) for bits in PIXEL_BITS]
    neural = [layer for layer in layers if driven(graph, layer)[1].op == "neuron"]
    if not neural:
        return codes[:1]
    spread = images[:: max(1, len(images) // IMAGES)][:IMAGES]  # data sets are often sorted by class
    errors = [_layer_errors(graph, layer, spread, codes, options) for layer in neural]
    means = [float(np.mean(each)) for each in zip(*errors, strict=True)]
    return [PixelCode(c.bits, c.step, c.span, error) for c, error in zip(codes, means, strict=True)]


def pixel_code(images: NDArray[np.float32], bits: int) -> PixelCode:
    """The code that spans the calibration images; signed where a pixel is below zero. Zero stays zero (padding)."""
    low, high = float(images.min()), float(images.max())
    if low >= 0:
        top = (1 << bits) - 1
        return PixelCode(bits, float(np.float32((high or 1.0) / top)), Interval(0, top))
    top = (1 << (bits - 1)) - 1
    return PixelCode(bits, float(np.float32(max(-low, high) / top)), Interval(-top - 1, top))


@dataclass(frozen=True)
class _Watched:
    """A layer that reads the pixels: its convolution, what lies between that and its neuron, T, and the widths."""

    layer: Node
    path: list[Node]
    steps: int
    profile: Profile

    def as_trained(self, current: Current, code: PixelCode, images: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Spikes [T, N, *shape] of the float layer."""
        real = convolve(self.layer, current.weight / code.step, images.astype(np.float64))
        real = real + current.bias.reshape(-1, *[1] * (real.ndim - 2))
        return fire(through(self.path, real), current.decay, current.threshold, self.steps)

    def in_integers(
        self, current: Current, scale: LayerScale, code: PixelCode, images: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Spikes [T, N, *shape] of the quantized layer on coded pixels."""
        codes = np.clip(np.rint(images / np.float32(code.step)), code.span.lo, code.span.hi).astype(np.float64)
        rough = convolve(self.layer, scale.weight, codes) * (1 << self.profile.threshold_shift)
        rough = rough + (scale.bias_mant << scale.bias_exp).reshape(-1, *[1] * (rough.ndim - 2))
        dv = decay_to_dv(current.decay, self.profile) / self.profile.decay_unit
        vth = scale.vth << self.profile.threshold_shift
        return fire(through(self.path, rough), dv, vth, self.steps, strict=True)


def _layer_errors(
    graph: Graph, layer: Node, images: NDArray[np.float32], codes: list[PixelCode], options: QuantizeOptions
) -> list[float]:
    """Share of a layer's spikes that differ from the float layer's, one a code; infinite where no scale fits."""
    path, neuron = driven(graph, layer)
    watched = _Watched(layer, path, graph.steps, options.profile)
    currents = [current_of(layer, neuron, code.step, ValueType(images.shape[1:], code.span)) for code in codes]
    scales = [choose_scale(current, options.bits(layer.name), graph.steps, options.profile) for current in currents]
    wrong, total = np.zeros(len(codes)), 0
    for _, part in slices(images, max(1, VALUES // (len(currents[0].weight) * images[0, 0].size))):
        wanted = watched.as_trained(currents[0], codes[0], part)
        total += wanted.size
        for i, scale in enumerate(scales):
            given = None if scale is None else watched.in_integers(currents[i], scale, codes[i], part)
            wrong[i] += np.inf if given is None else np.count_nonzero(wanted != given)
    return [float(count / total) for count in wrong]
