"""How far weights and biases may grow while the interval proof holds: fixed once, kept by projection after each step.

Each convolution gets an interval for the sums of its rows, each LIF a largest bias. The transfer functions of the
proof are monotone: sums and biases inside their budgets prove the network whatever the integers are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.infer import IllegalNode
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.proof import bias_units, node_bounds
from neurodeploy.ir.types import Interval, ValueType, signed
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES

GROWTH = (8.0, 4.0, 2.0, 1.5, 1.2, 1.1, 1.05, 1.02, 1.01)  # tried in this order, each for itself


@dataclass(frozen=True)
class Budgets:
    """sums: interval of every row's worst case, by convolution.  biases: in membrane units, by LIF.

    known: the type of every value with the sums as wide as their budgets.
    """

    sums: dict[str, Interval]
    biases: dict[str, Interval]
    known: dict[str, ValueType]


def budgets(graph: Graph, convs: Iterable[str], lifs: Iterable[str]) -> Budgets:
    """The budgets of these convolutions and LIFs of a proven graph. Raises what `types` raises."""
    found = _Search(graph)
    for name in lifs:
        found.bias(graph.by_name[name])
    for name in convs:
        found.conv(graph.by_name[name])
    return Budgets(found.sums, found.biases, found.known)


class _Search:
    """Grows one budget after the other."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.profile = graph, PROFILES[graph.profile]
        self.known = dict(types(graph))
        self.nodes = dict(graph.by_name)  # a LIF with a budget has the ends of it as its bias
        self.sums: dict[str, Interval] = {}
        self.biases: dict[str, Interval] = {}

    def bias(self, node: Node) -> None:
        """The widest biases of a LIF that hold: some times its largest one or its threshold, else the range of now."""
        now = bias_units(node)
        wanted = max(now.magnitude, node.integer("vth") << self.profile.threshold_shift)
        sizes = (int(wanted * factor) for factor in (*GROWTH, 1.0))
        spans = [Interval(-size, size) for size in sizes if size >= now.magnitude]
        tries = (self._with_bias(node, span) for span in (*spans, now.union(Interval(0, 0))))
        fits = (found for found in tries if now.within(found[1]) and self._holds(found[0], self.known))
        self.nodes[node.name], self.biases[node.name] = next(fits, (node, now))

    def _with_bias(self, node: Node, span: Interval) -> tuple[Node, Interval]:
        """The LIF with the ends of these biases, drawn in onto the grid, and what they then are."""
        top = signed(self.profile.bias_bits).hi
        least = node.integer("bias_exp")
        most = max(self.profile.bias_exponent_max, least)
        exponent = next((e for e in range(least, most) if span.magnitude >> e <= top), most)
        low, high = -min(-span.lo >> exponent, top), min(span.hi >> exponent, top)
        tensors = {**node.tensors, "bias_mant": np.array([low, high])}
        changed = replace(node, tensors=tensors, attributes={**node.attributes, "bias_exp": exponent})
        return changed, Interval(low << exponent, high << exponent)

    def conv(self, node: Node) -> None:
        """The widest sums of a convolution for which all that it reaches holds."""
        now = self.known[node.name]
        self.sums[node.name] = now.range
        for factor in GROWTH:
            span = Interval(int(now.range.lo * factor), int(now.range.hi * factor))
            if (grown := self._grown(node, replace(now, interval=span))) is not None:
                self.sums[node.name] = span
                self.known |= grown
                return

    def _grown(self, node: Node, value: ValueType) -> dict[str, ValueType] | None:
        """The types of all that changes with a value, or None where a bound no longer holds."""
        changed = {node.name: value}
        for reader in self._reached(node.name):
            known = {**self.known, **changed}
            try:
                inputs = tuple(known[name] for name in reader.inputs)
                changed[reader.name] = OPS[reader.op].types(reader, inputs, self.graph.steps)
            except IllegalNode:
                return None
            if not self._holds(self.nodes[reader.name], {**known, **changed}):
                return None
        return changed if self._holds(node, {**self.known, **changed}) else None

    def _reached(self, name: str) -> Iterator[Node]:
        """The nodes whose type or bounds depend on a value, in order: up to the LIFs, whose spikes are 0 and 1."""
        reached = {name}
        for node in self.graph.nodes:
            if not reached.isdisjoint(node.inputs):
                yield node
                if node.op != "lif":
                    reached.add(node.name)

    def _holds(self, node: Node, known: dict[str, ValueType]) -> bool:
        return all(bound.holds for bound in node_bounds(node, known, self.graph.steps, self.profile))
