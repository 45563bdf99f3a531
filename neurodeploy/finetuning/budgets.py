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
from neurodeploy.ir.proof import node_bounds
from neurodeploy.ir.types import Interval, ValueType, signed
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES

GROWTH = (8.0, 4.0, 2.0, 1.5, 1.2, 1.1, 1.05, 1.02, 1.01)  # tried in this order, each for itself


@dataclass(frozen=True)
class Budgets:
    """sums: interval of every row's worst case, by convolution.  biases: largest magnitude in membrane units, by LIF.

    known: the type of every value with the sums as wide as their budgets.
    """

    sums: dict[str, Interval]
    biases: dict[str, int]
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
        self.biases: dict[str, int] = {}

    def bias(self, node: Node) -> None:
        """The largest bias of a LIF: some times its largest one now, or its threshold."""
        mantissa = np.abs(node.tensors["bias_mant"].astype(np.int64)).max(initial=0)
        now = int(mantissa) << node.integer("bias_exp")
        wanted = max(now, node.integer("vth") << self.profile.threshold_shift)
        tries = (self._with_bias(node, limit) for limit in (*(int(wanted * f) for f in GROWTH), wanted))
        fits = ((changed, limit) for changed, limit in tries if limit >= now and self._holds(changed, self.known))
        self.nodes[node.name], self.biases[node.name] = next(fits, (node, now))

    def _with_bias(self, node: Node, limit: int) -> tuple[Node, int]:
        """The LIF with biases from -limit to limit, rounded down onto the grid, and that limit."""
        top = signed(self.profile.bias_bits).hi
        least, most = node.integer("bias_exp"), max(self.profile.bias_exponent_max, node.integer("bias_exp"))
        exponent = next((e for e in range(least, most) if limit >> e <= top), most)
        mantissa = min(limit >> exponent, top)
        tensors = {**node.tensors, "bias_mant": np.array([-mantissa, mantissa])}
        own = {**node.attributes, "bias_exp": exponent}
        return replace(node, tensors=tensors, attributes=own), mantissa << exponent

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
