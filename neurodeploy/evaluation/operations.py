"""What a network costs by the convention of the papers: MACs, synaptic operations (SOPs) and theoretical energy.

SOP_l = rate_l T MAC_l, and E = E_MAC T sum(MAC of the layers that multiply) + E_AC sum(SOP of the others). Source: the
theoretical energy of Spikformer (Zhou et al., ICLR 2023) and QKFormer (Zhou et al., NeurIPS 2024); batch norm is folded
and not counted, the image enters the first layer in each of the T steps. No memory access is counted, which on real
hardware costs more than the arithmetic: these are figures to compare papers by, no prediction for a chip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, UsageError
from neurodeploy.ir.graph import ENCODERS, Graph, Node
from neurodeploy.ir.types import ValueType
from neurodeploy.ir.verify import types

E_MAC = 4.6  # pJ, 32-bit float multiply and add in 45 nm: Horowitz, "Computing's energy problem", ISSCC 2014
E_AC = 0.9  # pJ, 32-bit float add in 45 nm, same source
VIEWS = ("reshape", "permute", "slice", "max_pool")

FLOATS = ("image", "current")  # what no accumulate-only synapse takes, by any convention

# Which layers multiply: "first" as the papers count (the layer that reads the image), "counts" also those that read
# residual counts beyond 1, which no accumulate-only synapse takes in one operation, "all" an artificial network.
CONVENTIONS = ("first", "counts", "all")


@dataclass(frozen=True)
class Activity:
    """A value over samples and steps: mean of its elements (a count of 3 is three spikes), share that is not zero."""

    mean: float
    nonzero: float


@dataclass(frozen=True)
class LayerOperations:
    """One layer of synapses.

    kind: conv or attention.  block: of the model, for sums.  macs: multiply-accumulates a step, dense.
    reads: image, spikes, counts or current (as its 8-bit code).  multiplies: whether it is counted as MACs.
    rate, nonzero: activity of what the layer reads; None for image and current, and where nothing was measured.
    sops: synaptic operations a sample of T steps, of a layer that accumulates.  energy: pJ a sample.
    """

    layer: str
    kind: str
    block: str
    macs: int
    reads: str
    multiplies: bool
    rate: float | None = None
    nonzero: float | None = None
    sops: float | None = None
    energy: float | None = None


@dataclass(frozen=True)
class Operations:
    """The cost of one sample of T steps.

    macs: a step, all layers.  sops: of the layers that accumulate.  energy: mJ.  rates: block -> mean firing rate of
    its LIFs.  samples: that rates were measured on, 0 for none: then sops, energy and rates are absent.
    """

    convention: str
    steps: int
    samples: int
    macs: int
    sops: float | None
    energy: float | None
    layers: tuple[LayerOperations, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=lambda: {"E_MAC_pJ": E_MAC, "E_AC_pJ": E_AC})

    def as_json(self) -> dict[str, Any]:
        """The cost as plain data."""
        return asdict(self)


class ActivityMeter:
    """Means of values, gathered slice by slice and step by step."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self.wanted = wanted
        self._sums: dict[str, tuple[int, int, int]] = {}

    def add(self, name: str, values: NDArray[np.int64]) -> None:
        """Count one value [n, *shape] of one step, if it is wanted."""
        if name in self.wanted:
            total, nonzero, places = self._sums.get(name, (0, 0, 0))
            size = (int(np.abs(values).sum()), int(np.count_nonzero(values)), values.size)
            self._sums[name] = (total + size[0], nonzero + size[1], places + size[2])

    def activities(self) -> dict[str, Activity]:
        """Value -> its activity."""
        return {name: Activity(total / size, nonzero / size) for name, (total, nonzero, size) in self._sums.items()}


def measured_values(graph: Graph) -> frozenset[str]:
    """The values whose activity `count_operations` asks for: what synapses read, and the spikes of all LIFs."""
    read = {node.inputs[_event_port(graph, node)] for node in _synaptic(graph)}
    return frozenset(read | {node.name for node in graph.of("lif")})


def count_operations(
    graph: Graph, activity: Mapping[str, Activity] | None = None, samples: int = 0, convention: str = "first"
) -> Operations:
    """The operations of a quantized graph, by layer.

    activity: of `measured_values`, over `samples` samples; without it only MACs are known.
    Raises UsageError for an unknown convention.
    """
    if convention not in CONVENTIONS:
        need = f"one of {', '.join(CONVENTIONS)}"
        raise UsageError(Finding("ND-V020", "convention", need, repr(convention), "`first` is what the papers count"))
    layers = tuple(_layer(graph, node, activity, convention) for node in _synaptic(graph))
    rates = _block_rates(graph, activity) if activity else {}
    macs = sum(layer.macs for layer in layers)
    if not activity:
        return Operations(convention, graph.steps, 0, macs, None, None, layers)
    sops = sum(layer.sops or 0.0 for layer in layers if not layer.multiplies)
    energy = sum(layer.energy or 0.0 for layer in layers) * 1e-9
    return Operations(convention, graph.steps, samples, macs, sops, energy, layers, rates)


def block_of(path: str) -> str:
    """A layer's path up to its last index (`stage1.0.attn.q_lif` -> `stage1.0`), or its first part."""
    parts = path.split(".")
    last = max((i for i, part in enumerate(parts) if part.isdigit()), default=0)
    return ".".join(parts[: last + 1])


def _synaptic(graph: Graph) -> Iterator[Node]:
    """Layers of the model with synapses; what the quantizer made of a current is arithmetic of the integers alone."""
    return (node for node in graph.nodes if node.op in ("conv", "spike_matmul") and node.name not in graph.made)


def macs_of(node: Node, known: Mapping[str, ValueType]) -> int:
    """Dense multiply-accumulates of one step: a weight a position of a conv, n k m a head of a matrix product."""
    if node.op == "conv":
        return prod(known[node.name].shape[1:]) * int(node.tensors["weight"].size)
    return prod(known[node.inputs[0]].shape) * known[node.inputs[1]].shape[-1]


def _event_port(graph: Graph, node: Node) -> int:
    """The operand whose spikes are the events: of a product the left one, or the right one where it alone is binary."""
    known = types(graph)
    kinds = [known[name].kind for name in node.inputs]
    return 1 if kinds[0] != "spikes" and kinds[-1] == "spikes" and len(kinds) == 2 else 0


def _reads(graph: Graph, name: str) -> str:
    node = graph.by_name[name]
    while node.op in VIEWS:
        node = graph.by_name[node.inputs[0]]
    if node.op in ENCODERS:
        return "image"
    if node.name in graph.made:
        return "current"
    return "spikes" if types(graph)[name].kind == "spikes" else "counts"


def _layer(graph: Graph, node: Node, activity: Mapping[str, Activity] | None, convention: str) -> LayerOperations:
    read = node.inputs[_event_port(graph, node)]
    reads, macs = _reads(graph, read), macs_of(node, types(graph))
    multiplies = reads in FLOATS or convention == "all" or (convention == "counts" and reads == "counts")
    kind, block = ("conv" if node.op == "conv" else "attention"), block_of(node.source.path or node.name)
    if not activity:
        return LayerOperations(node.name, kind, block, macs, reads, multiplies)
    seen, dense = activity[read], macs * graph.steps
    rate, nonzero = (None, None) if reads in FLOATS else (seen.mean, seen.nonzero)
    sops = None if multiplies else seen.mean * dense
    energy = E_AC * sops if sops is not None else E_MAC * dense
    return LayerOperations(node.name, kind, block, macs, reads, multiplies, rate, nonzero, sops, energy)


def _block_rates(graph: Graph, activity: Mapping[str, Activity]) -> dict[str, float]:
    """Mean firing rate of each block's LIFs, a neuron counts once whatever its layer."""
    known = types(graph)
    spikes: dict[str, float] = {}
    neurons: dict[str, int] = {}
    for node in graph.of("lif"):
        if node.name in graph.made:
            continue
        block, size = block_of(node.name), known[node.name].size
        spikes[block] = spikes.get(block, 0.0) + activity[node.name].mean * size
        neurons[block] = neurons.get(block, 0) + size
    return {block: total / neurons[block] for block, total in spikes.items()}
