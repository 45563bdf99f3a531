"""What the quantization does to each layer, measured on calibration samples for the report.

Both networks run. `cumulative_error`: share of a neuron layer's spikes that differ from the float network's, each
network on its own values. `spike_error`: the same of the integer layer and the float layer on the very same inputs,
those of the integer network. `membrane_error`: the root mean square difference of their membranes after each step, in
weight units (one integer step of a synapse), of neurons that fired alike so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.images import spread
from neurodeploy.ir.graph import Node, topological
from neurodeploy.quantize.builder import Builder, Quantity
from neurodeploy.quantize.currents import driven, input_gain
from neurodeploy.quantize.execute import batches, integer_values, multiplications, real_values
from neurodeploy.quantize.integers import membranes
from neurodeploy.quantize.observe import through
from neurodeploy.quantize.samples import Float32, current

Array = NDArray[Any]
WORK = 1 << 31  # multiplications that the samples may take
MOST_SAMPLES = 32
DIGITS = 4  # that are kept: BLAS adds floats in an order of its own


@dataclass
class _Tally:
    """Sums over the samples."""

    wrong: int = 0
    spikes: int = 0
    own_wrong: int = 0
    own_spikes: int = 0
    squares: float = 0.0
    membranes: int = 0

    def document(self) -> dict[str, float]:
        """The shares and the root mean square, of what was counted."""
        found = {"cumulative_error": _share(self.wrong, self.spikes)}
        if self.own_spikes:
            found["spike_error"] = _share(self.own_wrong, self.own_spikes)
            found["membrane_error"] = _rounded(np.sqrt(self.squares / max(self.membranes, 1)))
        return found


def _share(part: int, whole: int) -> float:
    return _rounded(part / max(whole, 1))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def measure(build: Builder) -> None:
    """Put the errors of every layer beside the quantizer's choices."""
    graph = build.traced
    count = min(len(build.calibration), MOST_SAMPLES, max(1, WORK // max(1, multiplications(graph))))
    watched = {driven(graph, conv)[1].name: conv for conv in graph.of("conv")}
    tallies = {node.name: _Tally() for node in graph.of("neuron")}
    for images in batches(graph, spread(build.calibration, count)):
        _add(build, images, watched, tallies)
    layers = {choice["layer"]: choice for choice in build.choices if choice["kind"] != "stream"}
    for name, tally in tallies.items():
        conv = watched.get(name)
        entry = layers.get(conv.name) if conv is not None and build.streams[conv.name].plain else layers.get(name)
        if entry is not None:
            entry.update(tally.document())


def _add(build: Builder, images: Float32, watched: dict[str, Node], tallies: dict[str, _Tally]) -> None:
    graph, profile = build.traced, build.options.profile
    wanted = {node.name: value for node, _, value in real_values(graph, images) if node.op == "neuron"}
    nodes = topological(build.nodes)
    seen: dict[str, Array] = {}
    readers: dict[str, list[Node]] = {}
    for conv in watched.values():
        if build.streams[conv.name].plain:
            readers.setdefault(_axon(build, conv).name, []).append(conv)
    for node, inputs, value in integer_values(nodes, build.types, images, profile, graph.steps):
        for conv in readers.get(node.name, ()):
            seen[conv.name] = value
        if node.name in tallies:
            tally = tallies[node.name]
            tally.wrong += int(np.count_nonzero(value != wanted[node.name]))
            tally.spikes += value.size
            conv_here = watched.get(node.name)
            if conv_here is not None and conv_here.name in seen:
                _compare(build, conv_here, node, seen.pop(conv_here.name), inputs[0], tally)


def _axon(build: Builder, conv: Node) -> Quantity:
    return build.codes.get(conv.inputs[0], build.values[conv.inputs[0]])


def _compare(build: Builder, conv: Node, lif: Node, read: Array, sums: Array, tally: _Tally) -> None:
    """The integer layer against the float layer on what the integer network reads."""
    path, neuron = driven(build.traced, conv)
    axon, steps = _axon(build, conv), build.traced.steps
    real = read * np.float32(axon.scale) + (0 if axon.bias is None else axon.bias.astype(np.float32))
    y: Array = current(conv, conv.tensors["weight"], real)
    flat = through(path, y.reshape(-1, *y.shape[2:]))
    given = flat.reshape(*y.shape[:2], *flat.shape[1:]) * np.float32(input_gain(neuron))
    unit = np.float32(neuron.number("threshold")) / np.asarray(lif.thresholds, np.float32)
    v, alike = np.zeros(given.shape[1:], np.float32), np.ones(given.shape[1:], bool)
    shift = 1 << build.options.profile.threshold_shift
    for t, (fired, membrane) in enumerate(membranes(lif, sums, build.options.profile, steps)):
        v = np.float32(1 - neuron.number("decay")) * v + given[t % len(given)]
        spikes = v >= neuron.number("threshold")
        v = np.where(spikes, np.float32(0), v)
        alike &= spikes == (fired != 0)
        tally.own_wrong += int(np.count_nonzero(spikes != (fired != 0)))
        tally.own_spikes += spikes.size
        difference = (membrane / shift - v / unit)[alike]
        tally.squares += float(np.square(difference).sum())
        tally.membranes += difference.size
