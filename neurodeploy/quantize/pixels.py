"""The first layer is the tight one: pixels have 8 bits, so its accumulator and its folded bias leave the chip's widths.

Pixels of p bits and weights as fine as the proof then allows compete: for each p the layers that read the pixels are
quantized, run on calibration images, and their spikes compared with the float layers'. The p of least error wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Attribute, Graph, Node
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.quantize.builder import Builder, Quantity
from neurodeploy.quantize.currents import current_of, driven
from neurodeploy.quantize.observe import convolve, fire, through
from neurodeploy.quantize.options import QuantizeOptions
from neurodeploy.quantize.scales import choose_scale, decay_to_dv

PIXEL_BITS = (8, 7, 6, 5, 4, 3)
IMAGES = 32  # calibration images that the choice is measured on


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
    return [PixelCode(c.bits, c.step, c.span, _error(graph, neural, spread, c, options)) for c in codes]


def pixel_code(images: NDArray[np.float32], bits: int) -> PixelCode:
    """The code that spans the calibration images; signed where a pixel is below zero. Zero stays zero (padding)."""
    low, high = float(images.min()), float(images.max())
    if low >= 0:
        top = (1 << bits) - 1
        return PixelCode(bits, float(np.float32((high or 1.0) / top)), Interval(0, top))
    top = (1 << (bits - 1)) - 1
    return PixelCode(bits, float(np.float32(max(-low, high) / top)), Interval(-top - 1, top))


def _error(
    graph: Graph, layers: list[Node], images: NDArray[np.float32], code: PixelCode, options: QuantizeOptions
) -> float:
    """Mean share of spikes that differ, over the layers that read the pixels."""
    span = code.span
    codes = np.clip(np.rint(images / np.float32(code.step)), span.lo, span.hi).astype(np.float64)
    errors = [_layer_error(graph, layer, images.astype(np.float64), codes, code, options) for layer in layers]
    return float(np.mean(errors))


def _layer_error(
    graph: Graph,
    layer: Node,
    images: NDArray[np.float64],
    codes: NDArray[np.float64],
    code: PixelCode,
    options: QuantizeOptions,
) -> float:
    path, neuron = driven(graph, layer)
    current = current_of(layer, neuron, code.step, ValueType(images.shape[1:], code.span))
    scale = choose_scale(current, options.bits(layer.name), graph.steps, options.profile)
    if scale is None:
        return float("inf")
    column = (1, -1, *[1] * (images.ndim - 2))
    real = convolve(layer, current.weight / code.step, images) + current.bias.reshape(column)
    rough = convolve(layer, scale.weight, codes) * (1 << options.profile.threshold_shift)
    rough = rough + (scale.bias_mant << scale.bias_exp).reshape(column)
    vth = scale.vth << options.profile.threshold_shift
    dv = decay_to_dv(current.decay, options.profile) / options.profile.decay_unit
    wanted = fire(through(path, real), current.decay, current.threshold, graph.steps)
    given = fire(through(path, rough), dv, vth, graph.steps, strict=True)
    return float((wanted != given).mean())
