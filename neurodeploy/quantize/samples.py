"""Calibration samples on their way through both networks, value by value, as the builder emits.

Integers come from the quantized nodes, floats from the traced ones; a value is held until its last reader has it. What
is added, gated or averaged in between is small; the samples are as many as MEMORY holds at the widest layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.verify import types
from neurodeploy.quantize import floats
from neurodeploy.quantize.builder import Builder
from neurodeploy.quantize.integers import evaluate, together
from neurodeploy.quantize.observe import fire
from neurodeploy.quantize.unfold import convolve, in_parts

Array = NDArray[Any]
Float32 = NDArray[np.float32]
MEMORY = 1 << 29  # bytes of the widest layer's values
HELD = 12  # bytes a neuron and step: float current, integer current, spikes of both
MOST_SAMPLES = 512


def sample_count(graph: Graph, available: int) -> int:
    """How many samples MEMORY holds."""
    widest = max(value.size for value in types(graph).values())
    return max(1, min(available, MOST_SAMPLES, MEMORY // (HELD * graph.steps * widest)))


def as_steps(images: Float32, events: bool) -> Float32:
    """Samples as [T, N, *shape]; T = 1 for images, which are the same at every step."""
    return images.swapaxes(0, 1) if events else images[None]


class Samples:
    """The values of both networks that some layer has still to read."""

    def __init__(self, build: Builder, images: Float32) -> None:
        self.build, self.steps = build, build.traced.steps
        self.images = as_steps(images, bool(build.traced.of("events")))
        self.integers: dict[str, Array] = {}
        self.reals: dict[str, Array] = {}
        self._handled: set[str] = set()
        self._run = 0
        self._late: list[Node] = []
        self._real_late: list[Node] = []

    @property
    def count(self) -> int:
        """How many samples there are."""
        return int(self.images.shape[1])

    def advance(self) -> None:
        """Evaluate what was emitted and whose inputs are known."""
        self._late += self.build.nodes[self._run :]
        self._run = len(self.build.nodes)
        self._late = [node for node in self._late if not self._evaluated(node)]

    def _evaluated(self, node: Node) -> bool:
        if any(name not in self.integers for name in node.inputs):
            return False
        inputs = [self.integers[name] for name in node.inputs] or [self.images]
        known = self.build.types[node.name]
        self.integers[node.name] = evaluate(node, inputs, known, self.build.options.profile, self.steps)
        return True

    def handled(self, node: Node) -> None:
        """A traced node is quantized: evaluate it, and let go what nobody reads any more."""
        self._handled.add(node.name)
        self.advance()
        self._real_late.append(node)
        self._real_late = [late for late in self._real_late if not self._real(late)]
        self._forget()

    def _real(self, node: Node) -> bool:
        if any(name not in self.reals for name in node.inputs):
            return False
        self.reals[node.name] = real_value(
            node, [self.reals[name] for name in node.inputs] or [self.images], self.steps
        )
        return True

    def _forget(self) -> None:
        graph, values, codes = self.build.traced, self.build.values, self.build.codes
        late = {node.name for node in self._real_late}
        used = [n.name for n in graph.nodes if any(c.name not in self._handled for c in graph.consumers[n.name])]
        names = {table[name].name for table in (values, codes) for name in used if name in table}
        names |= {name for node in self._late for name in node.inputs}
        self.integers = {name: value for name, value in self.integers.items() if name in names}
        wanted = {*used, *(name for node in graph.nodes if node.name in late for name in node.inputs)}
        self.reals = {name: value for name, value in self.reals.items() if name in wanted}


def real_value(node: Node, inputs: list[Array], steps: int) -> Array:
    """The float value [T, N, *shape] of a traced node, in float32; spikes in uint8."""
    if node.op in ("input", "events"):
        return inputs[0].astype(np.float32)
    if node.op == "conv":
        return current(node, node.tensors["weight"], inputs[0])
    if node.op == "neuron":
        return real_spikes(node, inputs[0], steps)
    flat, lead = together(inputs, steps)
    given: list[Any] = [x.astype(np.float32) if x.dtype == np.uint8 else x for x in flat]
    value = floats.value_of(node, *given)
    return np.asarray(value, np.float32).reshape(*lead, *value.shape[1:])


def current(conv: Node, weight: Array, x: Array) -> Float32:
    """The current of a traced convolution with a weight in real units, bias included."""
    y: Float32 = convolve(conv, weight, x, np.float32)
    if "bias" in conv.tensors:
        y += conv.tensors["bias"].astype(np.float32).reshape(-1, *[1] * (y.ndim - 3))
    return y


def real_spikes(neuron: Node, x: Array, steps: int) -> Array:
    """Spikes uint8 [T, N, *shape] of a float neuron."""
    gain = neuron.number("decay") if neuron.integer("decay_input") else 1.0
    spikes = np.empty((steps, *x.shape[1:]), np.uint8)
    for part in in_parts(x.shape[1], (1 << 18) // max(1, x[0, :1].size)):
        known = np.broadcast_to(x[:, part] * np.float32(gain), (steps, *x[0, part].shape))
        spikes[:, part] = fire(known, neuron.number("decay"), neuron.number("threshold"))
    return spikes
