"""The first layer is the tight one: pixels have 8 bits, so its accumulator and its folded bias leave the chip's widths.

A code of the pixels and weights as fine as the proof then allows compete: for each code the layers that read the pixels
are quantized, run on calibration images, and their spikes compared with the float layers'. The least error wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.images import slices, spread
from neurodeploy.ir.graph import EVENTS, Graph, Node
from neurodeploy.ir.types import ValueType
from neurodeploy.numerics import Profile, lif_step
from neurodeploy.quantize.builder import Builder, Quantity
from neurodeploy.quantize.codes import Code, best_code, candidates
from neurodeploy.quantize.currents import current_of, driven
from neurodeploy.quantize.observe import Float, convolve, fire, through
from neurodeploy.quantize.options import QuantizeOptions
from neurodeploy.quantize.scales import Current, LayerScale, choose_scale, decay_to_dv

Float32 = NDArray[np.float32]

IMAGES = 32  # calibration images that the choice is measured on
FRAMES = 128  # calibration event frames that the choice is measured on, T to a sample
VALUES = 1 << 23  # of a layer's currents at a time: 64 MB, and a few times that on the way to its spikes


def quantize_input(build: Builder, node: Node) -> None:
    """The input becomes an `encode`, event frames an `encode_events`, with the code of least measured spike error."""
    events = node.op == "events"
    layers = [reader for reader in build.traced.consumers[node.name] if reader.op == "conv"]
    codes = candidates(build.calibration, events)
    tries = measured(build.traced, layers, build.calibration, build.options, codes)
    best = best_code(tries, events)
    span = {"lo": best.interval.lo, "hi": best.interval.hi}
    name = build.emit(
        EVENTS if events else "encode", node, (), {"shape": node.integers("shape"), "step": best.step, **span}
    )
    build.values[node.name] = Quantity(name, best.step)
    if events:
        facts = {"step": best.step, **span, "clipped": best.clipped_share(build.calibration)}
    else:
        facts = {"pixel_bits": best.bits}
    tried = {str(code if events else code.bits): _finite(code.error) for code in tries if code.error is not None}
    build.report(node, kind="events" if events else "pixels", **facts, spike_error=_finite(best.error), tried=tried)


def _finite(error: float | None) -> float | None:
    """JSON has no infinity."""
    return None if error is None or np.isinf(error) else error


def measured(
    graph: Graph, layers: list[Node], images: Float32, options: QuantizeOptions, codes: list[Code]
) -> list[Code]:
    """Every code with its measured spike error, infinite where no scale fits.

    The widest code alone, unmeasured, where no layer that reads the input drives a neuron directly.
    """
    neural = [layer for layer in layers if driven(graph, layer)[1].op == "neuron"]
    if not neural:
        return codes[:1]
    frames = frames_of(graph, images)
    errors = [_layer_errors(graph, layer, frames, codes, options) for layer in neural]
    means = [float(np.mean(each)) for each in zip(*errors, strict=True)]
    return [replace(code, error=error) for code, error in zip(codes, means, strict=True)]


def frames_of(graph: Graph, images: Float32) -> Float32:
    """The samples that the choice is measured on, [N, T, *shape]; [N, 1, *shape] where an image stays for all steps.

    They are spread over the calibration, for data sets are often sorted by class.
    """
    events = bool(graph.of("events"))
    count = max(1, FRAMES // graph.steps) if events else IMAGES
    chosen = spread(images, count)
    return chosen if events else chosen[:, None]


@dataclass(frozen=True)
class _Watched:
    """A layer that reads the pixels: its convolution, what lies between that and its neuron, T, and the widths."""

    layer: Node
    path: list[Node]
    steps: int
    profile: Profile

    def as_trained(self, current: Current, code: Code, frames: Float32) -> NDArray[np.bool_]:
        """Spikes [T, N, *shape] of the float layer."""
        currents = self._currents(current.weight / code.step, current.bias, frames.astype(np.float64))
        return fire(currents, current.decay, current.threshold)

    def in_integers(self, current: Current, scale: LayerScale, code: Code, frames: Float32) -> NDArray[np.bool_]:
        """Spikes [T, N, *shape] of the quantized layer on coded pixels."""
        weight = scale.weight << self.profile.threshold_shift
        codes = code.encode(frames).astype(np.float64)
        currents = self._currents(weight, scale.bias_mant << scale.bias_exp, codes).astype(np.int64)
        dv, zero = decay_to_dv(current.decay, self.profile), np.zeros(currents.shape[1:], np.int64)
        membrane, spikes = zero, []
        for units in currents:  # a bias of each neuron's own: activation and bias in membrane units
            fired, membrane = lif_step(zero, membrane, units, scale.vth, dv, self.profile)
            spikes.append(fired != 0)
        return np.stack(spikes)

    def _currents(self, weight: NDArray[Any], bias: NDArray[Any], frames: Float) -> Float:
        """What reaches the neuron, [T, N, *shape]."""
        by_step = frames.swapaxes(0, 1)
        sums = convolve(self.layer, weight, by_step.reshape(-1, *frames.shape[2:]))
        sums = through(self.path, sums + bias.reshape(-1, *[1] * (sums.ndim - 2)))
        known = sums.reshape(*by_step.shape[:2], *sums.shape[1:])
        return np.broadcast_to(known, (self.steps, *known.shape[1:]))


def _layer_errors(
    graph: Graph, layer: Node, frames: Float32, codes: list[Code], options: QuantizeOptions
) -> list[float]:
    """Share of a layer's spikes that differ from the float layer's, one a code; infinite where no scale fits."""
    path, neuron = driven(graph, layer)
    watched = _Watched(layer, path, graph.steps, options.profile)
    currents = [current_of(layer, neuron, code.step, ValueType(frames.shape[2:], code.interval)) for code in codes]
    scales = [choose_scale(current, options.bits(layer.name), graph.steps, options.profile) for current in currents]
    wrong, total = np.zeros(len(codes)), 0
    for _, part in slices(frames, max(1, VALUES // (len(currents[0].weight) * frames[0, :, 0].size))):
        wanted = watched.as_trained(currents[0], codes[0], part)
        total += wanted.size
        for i, scale in enumerate(scales):
            given = None if scale is None else watched.in_integers(currents[i], scale, codes[i], part)
            wrong[i] += np.inf if given is None else np.count_nonzero(wanted != given)
    return [float(count / total) for count in wrong]
