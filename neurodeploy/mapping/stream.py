"""Streamed attention: K^T V summed token by token in neurons that remember, then the queries, token by token.

One step of the network takes P = N time steps (N tokens, `period`). Where tokens are independent of one another (layers
over tokens, from the value that queries, keys and values are computed of, to the read-out), token n is busy N - 1 - n
time steps before its layer's depth says: its phase.

    x          copied once with a delay of n for token n; all later layers keep that order
    k, v, q    three buses of C neurons: an OR over tokens, of which one a time step can fire
    K^T V      memory neurons [h, d, d]: count, over a period, the tokens whose key i and value j both fired; in the
               next period they send that count whenever a query i fires
    Q (K^T V)  a bus of C sums over i; token n's result is on it in the time step of its query
    LIFs       hold neurons everywhere, also before the attention: a stock LIF would leak in each of the P time steps

Exact: each memory neuron counts one key and one value a time step, and a hold computes stock LIF's integers once a
period.

Price, per block of C channels, d of them a head: in place of 2 N C d product neurons C d memory neurons and
4 C of buses; in place of 6 N C d synapses 4 (N C + C d). A sample takes N T time steps in place of T, so throughput is
1/N; the pipeline is deeper by about N a block; the residual waits N steps, in one relay of N C neurons for each 63. In
the time steps between, neurons are updated and none spikes: spikes are about those of the other orders, updates N times
as many. All LIFs are custom.

Refused (ND-M160): tokens that mix after the attention in anything but a sum that the host reads (a further stage's
convolutions, a max-pool, a LIF that sums over tokens), attention over several numbers of tokens, a streamed value that
meets one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from neurodeploy.errors import Finding, UnsupportedModelError, UsageError
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.mapped import EVERY, NeuronChoice, Residual, View, Views, apply_views
from neurodeploy.ir.verify import types
from neurodeploy.numerics import Int64

VIEWS = ("reshape", "permute", "slice")
ANY = np.array(EVERY)  # phases of a value to which all tokens add, each in its own time step
MEND = 'choose attention="auto", "kv" or "qk"'


@dataclass(frozen=True)
class Plan:
    """Which values are streamed, and how.

    period: time steps a step takes.  phases: value -> the phase of each element, int64 of its shape, or EVERY alone.
    entries: values whose tokens are put one after another.  chains: outer product -> inner product, of Q (K^T V).
    """

    period: int
    phases: Mapping[str, Int64]
    entries: frozenset[str]
    chains: Mapping[str, str]

    @property
    def inner(self) -> frozenset[str]:
        """Products K^T V, which memory neurons compute."""
        return frozenset(self.chains.values())

    def hears_all(self, population: str) -> bool:
        """Whether a population, or what it helps to compute, gets all tokens, each in its own time step."""
        mixed = {*self.chains, *(name for name, phases in self.phases.items() if phases.ndim == 0)}
        parts = population.split("/")
        return any("/".join(parts[:count]) in mixed for count in range(1, len(parts) + 1))

    def operands(self, graph: Graph, outer: str) -> tuple[str, str, str]:
        """Queries [*B, N, d], keys [*B, d, N], values [*B, N, m] of an outer product."""
        return _operands(graph, outer, self.chains[outer])


def require_custom(neurons: NeuronChoice, residual: Residual) -> None:
    """Raise UsageError where streamed attention is asked for without what it is made of."""
    if (neurons, residual) != ("custom", "graded"):
        need, have = 'neurons="custom" and residual="graded"', f'neurons="{neurons}", residual="{residual}"'
        advice = f"choose {need}, or another attention"
        raise UsageError(Finding("ND-M161", "attention", f"{need} for streamed attention", have, advice))


def plan(graph: Graph) -> Plan | None:
    """How to stream a quantized graph whose attention is in the order Q (K^T V); None where it has none.

    Raises UnsupportedModelError (ND-M160) with everything that keeps it from being streamed.
    """
    products = graph.of("spike_matmul")
    if not products:
        return None
    walk = _Walk(graph)
    for node in graph.nodes:
        walk.visit(node)
    for node in graph.of("delay"):
        walk.refuse(node, "delays of the network", "time steps that are steps of the network")
    for node in graph.of("lif"):
        if "thresholds" in node.tensors:
            walk.refuse(node, "threshold groups", "one threshold a layer")
    if walk.findings:
        raise UnsupportedModelError(walk.findings)
    phases = {name: tokens if tokens.ndim == 0 else walk.period - 1 - tokens for name, tokens in walk.tokens.items()}
    return Plan(walk.period, phases, frozenset(walk.entries), walk.chains)


class _Walk:
    """The token of each element of each value, in graph order; a value without any is not streamed."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.known = graph, types(graph)
        self.tokens: dict[str, Int64] = {}
        self.entries: set[str] = set()
        self.findings: list[Finding] = []
        self.raw: set[str] = set()  # results of an attention before their LIF: on a bus, in no neuron of their own
        self.chains = dict(self._chains())
        tokens = {self.known[name].shape[-2] for name in self.chains}
        self.period = max(tokens, default=1)
        if len(tokens) > 1:
            self.refuse(graph.by_name[next(iter(self.chains))], f"{sorted(tokens)} tokens", "one number of tokens")
        self.candidates = dict(self._candidates())

    def _chains(self) -> Iterator[tuple[str, str]]:
        products = {node.name for node in self.graph.of("spike_matmul")}
        inner = {node.inputs[1] for node in self.graph.of("spike_matmul")} & products
        for node in self.graph.of("spike_matmul"):
            if node.inputs[1] in inner:
                yield node.name, node.inputs[1]
            elif node.name not in inner:
                self.refuse(node, "a product of two", "a product of three: Q (K^T V)")

    def refuse(self, node: Node, have: str, need: str = "tokens that stay apart after the attention") -> None:
        """Note what keeps a node from being streamed."""
        self.findings.append(Finding("ND-M160", node.name, need, have, MEND, str(node.source)))

    def _candidates(self) -> Iterator[tuple[str, Int64]]:
        """Values of which queries, keys and values are computed, with the token of each element."""
        for outer in self.chains:
            for name, axis in self._parts(outer):
                yield self._back(name, _along(self.known[name].shape, axis))

    def _back(self, name: str, tokens: Int64) -> tuple[str, Int64]:
        """The value from which a streamed one is computed token by token, through one LIF and one layer."""
        name, tokens = self._unviewed(name, tokens)
        layer = self.graph.by_name[self.graph.by_name[name].inputs[0]] if self.graph.by_name[name].op == "lif" else None
        if layer is None or not _pointwise(layer) or not _same_for_channels(tokens):
            return name, tokens
        shape = self.known[layer.inputs[0]].shape
        return self._unviewed(layer.inputs[0], np.broadcast_to(tokens.max(axis=0), shape))

    def _unviewed(self, name: str, tokens: Int64) -> tuple[str, Int64]:
        """Before the views; elements that were sliced off have the token of no one, -1 or less."""
        while (node := self.graph.by_name[name]).op in VIEWS:
            shape = self.known[node.inputs[0]].shape
            order = apply_views(np.arange(np.prod(shape)).reshape(shape), _view(node))
            before = np.full(shape, EVERY, np.int64)
            before.reshape(-1)[order] = tokens
            name, tokens = node.inputs[0], before
        return name, tokens

    def visit(self, node: Node) -> None:
        """Find the phases of a value, and whether it is where streaming begins."""
        found = [self.tokens.get(name) for name in node.inputs]
        phases = self._forward(node, found)
        tokens = self.candidates.get(node.name)
        if tokens is not None and phases is None:
            self.entries.add(node.name)
            phases = tokens
            if not np.array_equal(tokens.reshape(len(tokens), -1), _in_order(tokens)):
                self.refuse(node, "tokens along no image or axis of their own", "a value [channels, tokens]")
        elif tokens is not None and phases is not None and not np.array_equal(phases, tokens):
            self.refuse(node, "other tokens than the attention before")
        if phases is not None:
            self.tokens[node.name] = phases

    def _forward(self, node: Node, found: list[Int64 | None]) -> Int64 | None:
        if node.name in self.chains.values():
            return None
        if any(name in self.raw for name in node.inputs) and node.op not in (*VIEWS, "lif"):
            self.refuse(node, f"a {node.op} of the attention's result", "a LIF after the attention")
        if node.op in VIEWS and node.inputs[0] in self.raw:
            self.raw.add(node.name)
        if node.name in self.chains:
            self.raw.add(node.name)
            return self._answers(node)
        if all(phases is None for phases in found):
            return None
        if any(phases is None for phases in found):
            self.refuse(node, "a value of all tokens at once beside one of token after token")
            return None
        return self._of(node, [phases for phases in found if phases is not None])

    def _answers(self, outer: Node) -> Int64:
        """The phases of an attention's result, if queries, keys and values come token by token."""
        for name, axis in self._parts(outer.name):
            if not np.array_equal(self.tokens.get(name, ANY), _along(self.known[name].shape, axis)):
                self.refuse(outer, f"{name}, which is not streamed so", "queries, keys and values token by token")
        return _along(self.known[outer.name].shape, -2)

    def _parts(self, outer: str) -> Iterator[tuple[str, int]]:
        """Queries, keys and values, each with its axis of tokens."""
        return zip(_operands(self.graph, outer, self.chains[outer]), (-2, -1, -2), strict=True)

    def _of(self, node: Node, found: list[Int64]) -> Int64:
        rule = _RULES.get(node.op)
        if rule:
            return rule(self, node, found[0])
        every = [phases.ndim == 0 for phases in found]
        if node.op in ("lif", "gate", "inhibit", "max_pool", "spike_matmul") and any(every):
            self.refuse(node, f"a {node.op} of a sum over tokens")
        if all(every):
            return ANY
        shaped = [np.broadcast_to(phases, self.known[node.name].shape) for phases in found]
        if any(every) or any(not np.array_equal(shaped[0], other) for other in shaped[1:]):
            self.refuse(node, f"a {node.op} of different tokens")
        return shaped[0]

    def viewed(self, node: Node, phases: Int64) -> Int64:
        """The phases through a view."""
        return apply_views(phases, _view(node)) if phases.ndim else ANY

    def convolved(self, node: Node, phases: Int64) -> Int64:
        """A layer over tokens keeps them apart; any other adds them up."""
        if not phases.ndim or not _pointwise(node) or not _same_for_channels(phases):
            return ANY
        return np.broadcast_to(phases.max(axis=0), self.known[node.name].shape)

    def summed(self, node: Node, phases: Int64) -> Int64:
        """A sum over anything but tokens keeps them apart."""
        if not phases.ndim:
            return ANY
        axes = node.integers("axes")
        low, high = phases.min(axis=axes, keepdims=True), phases.max(axis=axes, keepdims=True)
        return low.reshape(self.known[node.name].shape) if np.array_equal(low, high) else ANY

    def pooled(self, node: Node, phases: Int64) -> Int64:
        """Windows mix tokens."""
        self.refuse(node, "a max_pool of different tokens")
        return ANY

    def read(self, node: Node, phases: Int64) -> Int64:
        """The host adds up all time steps."""
        return ANY


_RULES: Mapping[str, Callable[[_Walk, Node, Int64], Int64]] = {
    **dict.fromkeys(VIEWS, _Walk.viewed),
    "conv": _Walk.convolved,
    "reduce_sum": _Walk.summed,
    "max_pool": _Walk.pooled,
    "readout": _Walk.read,
}


def _view(node: Node) -> Views:
    dims: Mapping[str, Callable[[], tuple[int, ...]]] = {
        "reshape": lambda: node.integers("shape"),
        "permute": lambda: node.integers("axes"),
        "slice": lambda: (node.integer("axis"), node.integer("start"), node.integer("stop")),
    }
    view: View = (node.op, dims[node.op]())  # type: ignore[assignment]
    return (view,)


def _pointwise(node: Node) -> bool:
    """Whether a layer computes each token from itself alone."""
    if node.op != "conv" or node.tensors["weight"].ndim == 2:
        return False
    plain = all(n == 1 for n in (*node.tensors["weight"].shape[2:], *node.integers("stride")))
    return plain and not any(node.integers("padding"))


def _same_for_channels(tokens: Int64) -> bool:
    return bool(((tokens == tokens.max(axis=0)) | (tokens == EVERY)).all())


def _along(shape: tuple[int, ...], axis: int) -> Int64:
    """The index along one axis (-1 or -2), of the whole shape."""
    index = np.arange(shape[axis], dtype=np.int64)
    return np.broadcast_to(index if axis == -1 else index[:, None], shape)


def _operands(graph: Graph, outer: str, inner: str) -> tuple[str, str, str]:
    key, value = graph.by_name[inner].inputs
    return graph.by_name[outer].inputs[0], key, value


def _in_order(tokens: Int64) -> Int64:
    """Token 0, 1, .. along all axes but the first."""
    return np.broadcast_to(np.arange(tokens[0].size), (len(tokens), tokens[0].size))
