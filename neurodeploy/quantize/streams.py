"""Streams: currents that are added, pooled and averaged before any neuron fires (membrane-shortcut residuals).

All convolutions of a stream share one unit, the real worth of an integer, so that their integers can be added; each
neuron that reads the stream gets the threshold and the bias of its place in it. Spikes that join are worth a whole
number of units. A stream of one convolution and one neuron is the plain layer of `currents`, with a unit of its own.
Source of the residual: Yao et al. 2023, Spike-driven Transformer, section 3.1 (membrane shortcut).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from neurodeploy.errors import Finding
from neurodeploy.ir.graph import Graph, Node

CARRIES = ("max_pool", "reshape", "permute", "slice", "add", "reduce_sum", "reduce_mean", "scale")
PLAIN = ("max_pool", "reshape", "permute")
ENDS = ("neuron", "time_mean")


@dataclass(frozen=True)
class Stream:
    """Currents that share a unit.

    nodes: of the traced graph, in its order, convolutions among them.  ends: the neurons and read-outs behind them.
    joins: values that are no currents and are added to one.  coding: the convolutions that read a current of it.
    """

    nodes: tuple[Node, ...]
    ends: tuple[Node, ...]
    joins: tuple[str, ...]
    coding: tuple[Node, ...] = ()

    @property
    def convs(self) -> tuple[Node, ...]:
        """The convolutions whose currents flow in it."""
        return tuple(node for node in self.nodes if node.op == "conv")

    @property
    def sources(self) -> tuple[str, ...]:
        """What has to be known before a unit can be chosen."""
        return (*(conv.inputs[0] for conv in self.convs), *self.joins)

    @property
    def plain(self) -> bool:
        """Whether it is one convolution that drives one neuron, or the read-out."""
        single = len(self.ends) == len(self.convs) == 1 and not self.joins and not self.coding
        chain = [*self.nodes, *self.ends]
        return single and all(
            node.inputs == (before.name,) and (node.op in PLAIN or node in self.ends)
            for before, node in pairwise(chain)
        )


@dataclass(frozen=True)
class Share:
    """A convolution's integers in a stream: weights in 2^doublings units, the current doubled so many times."""

    unit: float
    doublings: int


def find_streams(graph: Graph) -> dict[str, Stream]:
    """Value name -> the stream that it belongs to, for every current of a folded traced graph."""
    links = nx.Graph()
    for node in graph.nodes:
        carried = [name for name in node.inputs if name in links] if node.op in CARRIES else []
        if carried or node.op == "conv":
            links.add_node(node.name)
            links.add_edges_from((node.name, name) for name in carried)
    found: dict[str, Stream] = {}
    for names in nx.connected_components(links):
        nodes = tuple(node for node in graph.nodes if node.name in names)
        readers = {reader.name: reader for node in nodes for reader in graph.consumers[node.name]}
        joins = [name for node in nodes if node.op == "add" for name in node.inputs if name not in names]
        ends = tuple(node for node in readers.values() if node.op in ENDS)
        coding = tuple(node for node in readers.values() if node.op == "conv")
        found |= dict.fromkeys(names, Stream(nodes, ends, tuple(dict.fromkeys(joins)), coding))
    return found


def stray_currents(graph: Graph, streams: Mapping[str, Stream]) -> Iterator[Finding]:
    """Currents that something reads which takes spikes or counts."""
    for name in streams:
        wrong = [r for r in graph.consumers[name] if r.op not in (*ENDS, *CARRIES) and not _codes(r)]
        if wrong:
            node, have = graph.by_name[name], ", ".join(f"{r.op} {r.name}" for r in wrong)
            need = "a current that drives neurons, the read-out or convolutions without padding"
            mend = "put a spiking neuron behind it"
            yield Finding("ND-Q011", name, need, f"{name} drives {have}", mend, str(node.source))


def _codes(reader: Node) -> bool:
    """Whether it reads the code of a current; zeros of a padding would be none."""
    return reader.op == "conv" and not any(reader.integers("padding"))
