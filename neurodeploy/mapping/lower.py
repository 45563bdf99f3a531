"""Lower every op of the quantized graph to populations and crossbars, exactly; the rules are in docs/lowering.md.

A value is either a signal, which a population sends, or a drive, a sum over synapses that has not landed yet: the LIF
that reads it takes it as its input; any other reader gets it from a population of graded sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from neurodeploy.errors import DoesNotFitError, Finding, UnsupportedModelError
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.mapped import (
    AttentionOrder,
    ConvWeights,
    MappedGraph,
    Population,
    SparseWeights,
    View,
    Views,
)
from neurodeploy.ir.mapped_check import check_mapped
from neurodeploy.ir.passes import remove_dead, run_passes
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.proof import prove, require_proof
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.ir.verify import types
from neurodeploy.mapping.builder import Drive, Network, Signal, Synapses, positions, reshaped, sparse
from neurodeploy.mapping.pool import any_of_window, largest_of_window
from neurodeploy.mapping.reassociate import reassociate
from neurodeploy.numerics import LOIHI_LAVA, PROFILES

Lower = Callable[["Lowering", Node], "Signal | Drive"]


@dataclass
class Lowering:
    """State of the walk: the network so far, and what each value became."""

    graph: Graph
    network: Network
    values: dict[str, Signal | Drive] = field(default_factory=dict)

    def signal(self, name: str) -> Signal:
        """A value as a signal; a drive lands in a population of graded sums that bears the value's name."""
        value = self.values[name]
        if isinstance(value, Drive):
            value = self.values[name] = self.network.graded(name, value)
        return value

    def drive(self, name: str) -> Drive:
        """A value as a drive: a signal through synapses of weight one; one that others read too lands first."""
        if len(self.graph.consumers[name]) > 1:
            self.signal(name)
        value = self.values[name]
        return value if isinstance(value, Drive) else self.relayed(value)

    def relayed(self, signal: Signal, exponent: int = 0) -> Drive:
        """Each element of a signal times 2^exponent."""
        index, interval = self.network.index(signal), self.network.interval(signal)
        weights = sparse(positions(index.shape), index, 1, exponent)
        part = Synapses(signal.population, weights)
        return Drive(tuple(index.shape), interval.scaled(1 << exponent), (part,))


def lower(graph: Graph, attention: AttentionOrder = "auto") -> MappedGraph:
    """The mapped graph of a quantized graph; all populations know their depth.

    attention: the order of Q K^T V: "kv", "qk", or the one with fewer product neurons.
    Raises UnsupportedModelError for an op without a lowering, DoesNotFitError where a bound fails.
    """
    graph = _ordered(_for_chip(graph), attention)
    missing = [node for node in graph.nodes if node.op not in _LOWERINGS]
    if missing:
        mend = "run it on the CPU backends, or ask for a lowering in an issue"
        raise UnsupportedModelError(
            Finding("ND-M001", n.name, "an op with a lowering", n.op, mend, str(n.source)) for n in missing
        )
    state = Lowering(graph, Network(PROFILES[graph.profile], graph.steps))
    for node in graph.nodes:
        state.values[node.name] = _LOWERINGS[node.op](state, node)
    return check_mapped(_finished(state))


def _for_chip(graph: Graph) -> Graph:
    """The graph in a chip's widths: what was compiled for CPUs has to be proven again. Raises DoesNotFitError."""
    if PROFILES[graph.profile].chip:
        return graph
    graph = replace(graph, profile=LOIHI_LAVA.name)
    try:
        require_proof(graph)
    except DoesNotFitError as error:
        mend = 'run it on the CPU backends, which is what target "cpu" is for, or compile it for the chip'
        raise DoesNotFitError(replace(finding, next=mend) for finding in error.findings) from error
    return graph


def _ordered(graph: Graph, attention: AttentionOrder) -> Graph:
    """The graph in the order asked for, proven; "auto" stays with the order that it has where the other overflows."""
    ordered = run_passes(graph, (reassociate(attention), remove_dead))
    if attention == "auto" and not all(bound.holds for bound in prove(ordered)):
        ordered = run_passes(graph, (remove_dead,))
    require_proof(ordered)
    return ordered


def _finished(state: Lowering) -> MappedGraph:
    graph, network = state.graph, state.network
    (source,), readout = graph.encoders, graph.by_name[graph.output]
    signals = {name: value for name, value in state.values.items() if isinstance(value, Signal)}
    return MappedGraph(
        name=graph.name,
        profile=graph.profile,
        steps=graph.steps,
        encoding=PixelCode.of(source),
        populations=tuple(network.populations.values()),
        crossbars=tuple(network.crossbars),
        output=state.signal(graph.output).population,
        output_bias=readout.tensors["bias"].astype(np.int64),
        output_scale=graph.output_scale,
        views={name: (signal.population, signal.views) for name, signal in signals.items()},
    )


def _encode(state: Lowering, node: Node) -> Signal:
    known = types(state.graph)[node.name]
    state.network.populations[node.name] = Population(node.name, "source", known.shape, 0, known.range, value=node.name)
    return Signal(node.name)


def _conv(state: Lowering, node: Node) -> Drive:
    signal = _whole(state, state.signal(node.inputs[0]))
    known, weight = types(state.graph)[node.name], node.tensors["weight"].astype(np.int64)
    index = state.network.index(signal)
    if weight.ndim == 2:
        rows, taps = np.nonzero(weight)
        cols = rows // (len(weight) // node.integer("groups")) * weight.shape[1] + taps
        synapses: SparseWeights | ConvWeights = SparseWeights(rows, index[cols], weight[rows, taps])
    else:
        synapses = _planar(node, signal.views, tuple(index.shape), known.shape)
    return Drive(known.shape, known.range, (Synapses(signal.population, synapses),))


def _whole(state: Lowering, signal: Signal) -> Signal:
    """A signal that a convolution can read: what is sliced lands once more, for shared weights take all axons."""
    if all(kind != "slice" for kind, _ in signal.views):
        return signal
    name = f"{signal.population}/slice{len(state.network.populations)}"
    return state.network.graded(name, state.relayed(signal))


def _planar(node: Node, views: Views, image: tuple[int, ...], out: tuple[int, ...]) -> ConvWeights:
    """A convolution over one or two axes as one over two: tokens [C, N] become an image [C, 1, N]."""
    weight = node.tensors["weight"].astype(np.int64)
    stride, padding = node.integers("stride"), node.integers("padding")
    before: Views = views
    after: Views = ()
    if weight.ndim == 3:
        flat: View = ("reshape", (image[0], 1, image[1]))
        before, after = (*views, flat), (("reshape", out),)
        weight, stride, padding = weight[:, :, None, :], (1, *stride), (0, *padding)
    return ConvWeights(weight, (stride[0], stride[1]), (padding[0], padding[1]), node.integer("groups"), before, after)


def _lif(state: Lowering, node: Node) -> Signal:
    exponent, shape = node.integer("weight_exp"), types(state.graph)[node.name].shape
    drive = state.drive(node.inputs[0])
    if exponent:
        drive = _scaled(state, node, drive, exponent)
    bias, dv = node.tensors["bias_mant"].astype(np.int64), node.integer("dv")
    population = Population(
        name=node.name,
        kind="lif",
        shape=shape,
        depth=0,
        interval=BINARY,
        vth=node.integer("vth"),
        dv=dv,
        bias_mant=bias,
        bias_exp=node.integer("bias_exp"),
        resets=True,
        value=node.name,
    )
    return state.network.land(population, drive)


def _scaled(state: Lowering, node: Node, drive: Drive, exponent: int) -> Drive:
    """Every synapse times 2^exponent; a convolution's weights have no room for it, so it lands first."""
    if all(isinstance(part.weights, SparseWeights) for part in drive.parts):
        parts = [
            Synapses(p.source, SparseWeights(p.weights.rows, p.weights.cols, p.weights.weights, exponent))
            for p in drive.parts
            if isinstance(p.weights, SparseWeights)
        ]
        return Drive(drive.shape, drive.interval.scaled(1 << exponent), tuple(parts))
    return state.relayed(state.signal(node.inputs[0]), exponent)


def _max_pool(state: Lowering, node: Node) -> Signal | Drive:
    signal = state.signal(node.inputs[0])
    if state.network.interval(signal) == BINARY:  # a constant 0 would become a LIF that is taken to fire
        return state.network.stateless(node.name, any_of_window(state.network, node, signal), vth=0)
    return largest_of_window(state.network, node, signal)


def _add(state: Lowering, node: Node) -> Drive:
    known = types(state.graph)[node.name]
    parts = [part for name in node.inputs for part in state.drive(name).parts]
    return Drive(known.shape, known.range, tuple(parts))


def _inhibit(state: Lowering, node: Node) -> Signal:
    """spikes AND NOT mask: a LIF without memory that the mask inhibits."""
    shape = types(state.graph)[node.name].shape
    mask, spikes = (state.signal(name) for name in node.inputs)
    seen = np.broadcast_to(state.network.index(mask), shape)
    parts = (
        Synapses(mask.population, sparse(positions(shape), seen, -1)),
        Synapses(spikes.population, sparse(positions(shape), state.network.index(spikes), 1)),
    )
    return state.network.stateless(node.name, Drive(shape, Interval(-1, 1), parts), vth=0)


def _gate(state: Lowering, node: Node) -> Signal:
    """mask AND spikes: a LIF without memory that needs both."""
    shape = types(state.graph)[node.name].shape
    mask, spikes = (state.signal(name) for name in node.inputs)
    seen = np.broadcast_to(state.network.index(mask), shape)
    parts = (
        Synapses(mask.population, sparse(positions(shape), seen, 1)),
        Synapses(spikes.population, sparse(positions(shape), state.network.index(spikes), 1)),
    )
    return state.network.stateless(node.name, Drive(shape, Interval(0, 2), parts), vth=1)


def _spike_matmul(state: Lowering, node: Node) -> Drive:
    """[*B, n, k] times [*B, k, m]: a product neuron a term [*B, n, k, m], summed over k by synapses of weight one."""
    left, right = (state.signal(name) for name in node.inputs)
    a, b = state.network.index(left)[..., :, :, None], state.network.index(right)[..., None, :, :]
    shape = tuple(np.broadcast_shapes(a.shape, b.shape))
    terms, interval = positions(shape), state.network.interval(left) * state.network.interval(right)
    ports = [
        Drive(shape, state.network.interval(signal), (Synapses(signal.population, sparse(terms, index, 1)),))
        for signal, index in ((left, a), (right, b))
    ]
    product = state.network.land(Population(f"{node.name}/product", "product", shape, 0, interval), *ports)
    known = types(state.graph)[node.name]
    rows = np.expand_dims(positions(known.shape), -2)
    return Drive(known.shape, known.range, (Synapses(product.population, sparse(rows, terms, 1)),))


def _reduce_sum(state: Lowering, node: Node) -> Drive:
    signal, known = state.signal(node.inputs[0]), types(state.graph)[node.name]
    index, axes = state.network.index(signal), node.integers("axes")
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(index.shape))
    rows = positions(kept)
    return Drive(known.shape, known.range, (Synapses(signal.population, sparse(rows, index, 1)),))


def _view(state: Lowering, node: Node) -> Signal | Drive:
    """Views cost nothing: they are how the next synapses number their axons."""
    view: View = ("reshape", node.integers("shape")) if node.op == "reshape" else ("permute", node.integers("axes"))
    if len(state.graph.consumers[node.inputs[0]]) > 1:
        state.signal(node.inputs[0])
    value = state.values[node.inputs[0]]
    if isinstance(value, Drive):
        return reshaped(value, (view,))
    return Signal(value.population, (*value.views, view))


def _slice(state: Lowering, node: Node) -> Signal:
    """A part of a population's neurons; those that nothing reads need no synapse."""
    signal = state.signal(node.inputs[0])
    part: View = ("slice", (node.integer("axis"), node.integer("start"), node.integer("stop")))
    return Signal(signal.population, (*signal.views, part))


def _readout(state: Lowering, node: Node) -> Signal:
    """The host sums the payloads of the head over the T steps of a sample, and adds the bias.

    It takes neurons in their own order: a value whose views reorder them lands once more, in the order of the classes.
    """
    signal = state.signal(node.inputs[0])
    if np.array_equal(state.network.index(signal), np.arange(state.network.populations[signal.population].size)):
        return signal
    return state.network.graded(node.name, state.relayed(signal))


_LOWERINGS: dict[str, Lower] = {
    "encode": _encode,
    "encode_events": _encode,
    "conv": _conv,
    "lif": _lif,
    "max_pool": _max_pool,
    "add": _add,
    "gate": _gate,
    "inhibit": _inhibit,
    "spike_matmul": _spike_matmul,
    "reduce_sum": _reduce_sum,
    "reshape": _view,
    "slice": _slice,
    "permute": _view,
    "readout": _readout,
}
