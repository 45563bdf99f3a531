"""What a run of the reference shows beside the proof: observed intervals, spikes, rasters and attention.

An `Observer` is the reference's `watch`: it sees every value int64 [n, *shape] of every slice and step, in graph order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.infer import decay_of_current
from neurodeploy.ir.proof import remembers
from neurodeploy.ir.types import Interval
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES, Int64, cuba_step
from neurodeploy.report.page.attention import Attention, attentions

RASTER_NEURONS = 12  # of each LIF, evenly spread over its neurons
Key = tuple[str, str]  # layer, quantity: as in `neurodeploy.ir.proof.Bound`


@dataclass(frozen=True)
class Spikes:
    """The spikes of one LIF.

    rate: spikes a neuron and step.  silent: share of its neurons that never fired.  busiest: rate of its most active
    neuron.  raster: [shown samples, T, neurons], uint8, of the neurons `picked` (flat index).
    """

    neurons: int
    rate: float
    silent: float
    busiest: float
    picked: tuple[int, ...]
    raster: NDArray[np.uint8]


class Observer:
    """Gathers extremes, spikes, rasters and attention; call `add` as the reference's watch."""

    def __init__(self, graph: Graph, shown: Collection[int] = (0,)) -> None:
        """shown: the samples, counted in the order of the run, whose raster and attention are kept."""
        self.graph, self.shown = graph, tuple(sorted(set(shown)))
        self._profile, self._known = PROFILES[graph.profile], types(graph)
        self._attentions = attentions(graph)
        self._wanted = {name for entry in self._attentions for name in entry.reads}
        self._extremes: dict[Key, tuple[int, int]] = {}
        self._calls: dict[str, int] = {}
        self._start: dict[str, int] = {}
        self._held: dict[str, Int64] = {}  # what LIFs, convolutions and attention read later in the step
        self._membrane: dict[str, Int64] = {}
        self._current: dict[str, Int64] = {}
        self._spikes: dict[str, Int64] = {}
        self._rasters: dict[str, dict[tuple[int, int], NDArray[np.uint8]]] = {}
        self._kept: dict[tuple[str, int], Int64] = {}
        self.samples = 0

    def add(self, name: str, values: Int64) -> None:
        """See one value [n, *shape] of one step."""
        node = self.graph.by_name[name]
        first, step = self._place(name, len(values))
        self._extreme(node, values)
        if node.op == "lif":
            self._fire(node, values, first, step)
        if any(user.op == "lif" for user in self.graph.consumers[name]):
            self._held[name] = values
        if name in self._wanted:
            self._attend(name, values, first)
        if step == self.graph.steps - 1:
            self.samples = max(self.samples, first + len(values))

    def _place(self, name: str, count: int) -> tuple[int, int]:
        """The number of the first sample in a value, and its time step."""
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        step, first = call % self.graph.steps, self._start.get(name, 0)
        if step == self.graph.steps - 1:
            self._start[name] = first + count
        return first, step

    def _note(self, layer: str, quantity: str, values: Int64) -> None:
        low, high = int(values.min()), int(values.max())
        before = self._extremes.get((layer, quantity), (low, high))
        self._extremes[layer, quantity] = min(before[0], low), max(before[1], high)

    def _extreme(self, node: Node, values: Int64) -> None:
        """The quantities that `ir.proof.node_bounds` bounds, of this value and of what reads it."""
        if self._known[node.name].kind in ("counts", "graded"):
            self._note(node.name, "accumulator", values)
        for user in self.graph.consumers[node.name]:
            if user.op == "conv":
                self._note(user.name, "input payload", values)
            elif user.op == "readout":
                self._note(user.name, "payload", values)
            elif user.op == "lif":
                self._note(user.name, "activation", values << user.integer("weight_exp"))

    def _fire(self, node: Node, spikes: Int64, first: int, step: int) -> None:
        """Follow the membrane: a step without a threshold gives it as it is before the fire rule."""
        activation = self._held[node.inputs[0]] << node.integer("weight_exp")
        bias = node.tensors["bias_mant"].astype(np.int64) << node.integer("bias_exp")
        before = np.zeros_like(spikes) if step == 0 else self._membrane[node.name]
        flowed = np.zeros_like(spikes) if step == 0 else self._current.get(node.name, np.zeros_like(spikes))
        decays, profile = (decay_of_current(node), node.integer("dv")), self._profile
        _, (current, unfired) = cuba_step(activation, (flowed, before), bias, profile.state_max, decays, profile)
        if remembers(node):
            self._note(node.name, "current", current)
            self._current[node.name] = current
        self._note(node.name, "membrane", unfired)
        self._release(node)
        self._membrane[node.name] = np.where(spikes == 1, np.int64(0), unfired)
        total = spikes.sum(axis=0).reshape(-1)
        self._spikes[node.name] = self._spikes.get(node.name, np.zeros_like(total)) + total
        picked = spikes.reshape(len(spikes), -1)[:, list(_spread(total.size, RASTER_NEURONS))]
        rows = self._rasters.setdefault(node.name, {})
        for place in self._here(first, len(spikes)):
            rows[place, step] = picked[place - first].astype(np.uint8)

    def _release(self, node: Node) -> None:
        """Forget the input of a LIF that is its last reader here."""
        name = node.inputs[0]
        readers = [user for user in self.graph.consumers[name] if user.op == "lif"]
        if readers[-1] is node and name not in self._wanted:
            del self._held[name]

    def _attend(self, name: str, values: Int64, first: int) -> None:
        """Keep what attention of the shown samples reads, and sum it once all of a step is there."""
        self._held[name] = values
        for entry in self._attentions:
            if entry.last != name:
                continue
            for place in self._here(first, len(values)):
                found = entry.tokens(*(self._held[read][place - first] for read in entry.reads))
                key = entry.layer + entry.kind, place
                self._kept[key] = self._kept.get(key, np.zeros_like(found)) + found

    def _here(self, first: int, count: int) -> Sequence[int]:
        return [place for place in self.shown if first <= place < first + count]

    @property
    def intervals(self) -> Mapping[Key, Interval]:
        """(layer, quantity) -> the smallest interval that holds every observed value."""
        return {key: Interval(*span) for key, span in self._extremes.items()}

    def spikes(self) -> dict[str, Spikes]:
        """LIF -> its spikes, in graph order."""
        return {name: self._of(name, total) for name, total in self._spikes.items()}

    def _of(self, name: str, total: Int64) -> Spikes:
        places = max(1, self.samples * self.graph.steps)
        picked = _spread(total.size, RASTER_NEURONS)
        shown = [place for place in self.shown if place < self.samples]
        raster = [[self._rasters[name][place, step] for step in range(self.graph.steps)] for place in shown]
        shape = (len(shown), self.graph.steps, len(picked))
        return Spikes(
            neurons=total.size,
            rate=float(total.sum() / (total.size * places)),
            silent=float((total == 0).mean()),
            busiest=float(total.max() / places),
            picked=picked,
            raster=np.array(raster, np.uint8).reshape(shape),
        )

    def attention(self) -> dict[Attention, dict[int, NDArray[Any]]]:
        """Each attention -> shown sample -> a count a token [h, w], summed over heads and time steps."""
        found: dict[Attention, dict[int, NDArray[Any]]] = {}
        for entry in self._attentions:
            rows = {place: self._kept.get((entry.layer + entry.kind, place)) for place in self.shown}
            found[entry] = {place: row.reshape(entry.grid) for place, row in rows.items() if row is not None}
        return found


def _spread(size: int, most: int) -> tuple[int, ...]:
    """At most so many indices, evenly spread over `size`."""
    count = min(size, most)
    return tuple((2 * i + 1) * size // (2 * count) for i in range(count))
