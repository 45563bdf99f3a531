"""Firing rates of every population of a chip network, from a run of the quantized graph.

A population that computes a value of the graph is measured by that value; a helper (a term of a product, a node of a
max-pool's tree, a relay) is computed from those that it reads, with its own equation (`ir.mapped.Population`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import ChipNetwork, Neurons
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.verify import types
from neurodeploy.mapping.bill_activity import Rates, arriving

COMPUTED = frozenset({"sum", "relu", "product", "max", "lif"})
MOST_COMPUTED = 1 << 25  # neurons of helpers, 20 bytes each; larger ones are left to the bound


@dataclass
class Meter:
    """Counts, for every neuron that can be known, the steps in which it sent something.

    direct: value of the graph -> population, or whole of several.  helpers: that are computed, in order of depth.
    What may send in each time step of a period (buses of streamed attention) is left to the bound.
    """

    network: ChipNetwork
    direct: dict[str, str]
    helpers: tuple[Neurons, ...]
    look: Callable[[Mapping[str, Rates]], None] | None = None
    _now: dict[str, Rates] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _counts: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    _steps: int = 0

    @classmethod
    def of(cls, network: ChipNetwork, graph: Graph, lowered: Graph) -> Meter:
        """A meter of a network.

        graph: that will run.  lowered: that the network was made from; where attention was reordered, values of the
        same name need not be the same.
        """
        same = {n.name: n.op for n in lowered.nodes if n.op != "readout" and _alike(graph, n.name, n.op, n.inputs)}
        values = {n.value or n.name: n for n in network.neurons if not n.every}
        sizes = {name: value.size for name, value in types(lowered).items()}
        whole = {name: name for name in network.wholes if name in same}
        direct = {
            value: n.name
            for value, n in values.items()
            if value in same and value not in whole and sizes[value] == n.size and _plain(network, n, same[value])
        }
        parts = {part for name in whole for part, _ in network.wholes[name].parts}
        known, helpers, room = {*direct.values(), *parts}, list[Neurons](), MOST_COMPUTED
        for neurons in sorted(network.neurons, key=lambda n: n.depth):
            inputs = network.inputs(neurons.name)
            memoryless = not neurons.resets and neurons.bias == "none" and neurons.kind in COMPUTED
            reads = {synapses.source for synapses in inputs}
            if (
                neurons.name not in known
                and memoryless
                and not neurons.every
                and reads
                and reads <= known
                and neurons.size <= room
            ):
                room -= neurons.size
                helpers.append(neurons)
                known.add(neurons.name)
        return cls(network, direct | whole, tuple(helpers))

    def add(self, name: str, values: NDArray[np.int64]) -> None:
        """Take one value [1, *shape] of one step; once all of a step have come, helpers follow."""
        if name not in self.direct:
            return
        flat = values.astype(np.float64).reshape(-1)
        whole = self.network.wholes.get(name)
        for part, members in whole.parts if whole else ((self.direct[name], slice(None)),):
            self._now[part] = flat[members].reshape(self.network.by_name[part].shape)
        self._seen.add(name)
        if len(self._seen) == len(self.direct):
            self._finish()

    def _finish(self) -> None:
        for neurons in self.helpers:
            self._now[neurons.name] = self._sent(neurons)
        for name, sent in self._now.items():
            fired = (sent != 0).astype(np.int32)
            self._counts[name] = self._counts[name] + fired if name in self._counts else fired
        if self.look:
            self.look(self._now)
        self._now.clear()
        self._seen.clear()
        self._steps += 1

    def _sent(self, neurons: Neurons) -> Rates:
        """What a memoryless population sends in a step."""
        ports: dict[str, Rates] = {}
        for synapses in self.network.inputs(neurons.name):
            came = arriving(synapses, self._now[synapses.source], weighted=True)
            ports[synapses.port] = ports[synapses.port] + came if synapses.port in ports else came
        values = [came.reshape(neurons.shape) for came in ports.values()]
        if neurons.kind == "product":
            return values[0] * values[1]
        if neurons.kind == "max":
            return np.asarray(np.max(values, axis=0), np.float64)
        if neurons.kind == "lif":
            return (values[0] > neurons.vth).astype(np.float64)
        return np.maximum(values[0], 0.0) if neurons.kind == "relu" else values[0]

    def rates(self) -> dict[str, Rates]:
        """Population -> messages of each neuron a time step: in `period` of them it sends at most once."""
        steps = self._steps * self.network.period
        return {name: counts / steps for name, counts in self._counts.items()}


def _alike(graph: Graph, name: str, op: str, inputs: tuple[str, ...]) -> bool:
    node = graph.by_name.get(name)
    return node is not None and node.op == op and node.inputs == inputs


def _plain(network: ChipNetwork, neurons: Neurons, op: str) -> bool:
    """Whether a population sends the value itself: counts of a product may be clipped, or share words."""
    sources = {synapses.source for synapses in network.inputs(neurons.name)}
    return op != "spike_matmul" or sources == {f"{neurons.name}/product"}
