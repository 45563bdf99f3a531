"""Lower every op of the quantized graph to populations and crossbars, exactly; the rules are in docs/lowering.md.

A value is either a signal, which a population sends, or a drive, a sum over synapses that has not landed yet: the LIF
that reads it takes it as its input; any other reader gets it from a population of graded sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from neurodeploy.errors import DoesNotFitError, Finding, UnsupportedModelError
from neurodeploy.ir.chip import Nest
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.infer import decay_of_current
from neurodeploy.ir.mapped import (
    AttentionOrder,
    Crossbar,
    MappedGraph,
    NeuronChoice,
    Population,
    Residual,
    View,
)
from neurodeploy.ir.mapped_check import check_mapped
from neurodeploy.ir.passes import remove_dead, run_passes
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.proof import prove, require_proof
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.ir.verify import types
from neurodeploy.mapping.attention import Form, forms_of, lowered, operand, order_of, product
from neurodeploy.mapping.builder import Drive, Network, Signal, Synapses, planar, reshaped
from neurodeploy.mapping.delay import delayed
from neurodeploy.mapping.groups import split
from neurodeploy.mapping.layout import dense, listed, nest
from neurodeploy.mapping.pool import any_of_window, largest_by_ports, largest_of_window
from neurodeploy.mapping.reassociate import reassociate
from neurodeploy.mapping.stream import Plan, plan, require_custom
from neurodeploy.mapping.stream_lower import one_after_another, phased, streamed_attention
from neurodeploy.numerics import LOIHI_LAVA, PROFILES


@dataclass(frozen=True)
class Several:
    """A value that is the sum of signals, each of which goes to the readers' synapses: a residual without payloads."""

    signals: tuple[Signal, ...]


Value = Signal | Drive | Several
Lower = Callable[["Lowering", Node], Value]


@dataclass
class Lowering:
    """State of the walk: the network so far, and what each value became."""

    graph: Graph
    network: Network
    neurons: NeuronChoice = "stock"
    residual: Residual = "graded"
    chains: dict[str, Form] = field(default_factory=dict)  # outer product -> how its chain is lowered, if not plainly
    values: dict[str, Value] = field(default_factory=dict)
    plan: Plan | None = None  # how attention is streamed
    plain: dict[str, Signal] = field(default_factory=dict)  # values that are streamed, as they were before

    def signal(self, name: str) -> Signal:
        """A value as a signal; a sum lands in a population of graded sums that bears the value's name."""
        value = self.values[name]
        if not isinstance(value, Signal):
            drive = value if isinstance(value, Drive) else self._summed(value)
            value = self.values[name] = self.network.graded(name, drive)
        return value

    def drive(self, name: str) -> Drive:
        """A value as a drive: a signal through synapses of weight one; one that others read too lands first."""
        if len(self.graph.consumers[name]) > 1 and isinstance(self.values[name], Drive):
            self.signal(name)
        value = self.values[name]
        if isinstance(value, Several):
            return self._summed(value)
        return value if isinstance(value, Drive) else self.network.relayed(value)

    def terms(self, name: str) -> tuple[Signal, ...]:
        """The signals whose sum a value is."""
        value = self.values[name]
        return value.signals if isinstance(value, Several) else (self.signal(name),)

    def _summed(self, value: Several) -> Drive:
        drives = [self.network.relayed(signal) for signal in value.signals]
        interval = Interval(sum(d.interval.lo for d in drives), sum(d.interval.hi for d in drives))
        return Drive(drives[0].shape, interval, tuple(part for drive in drives for part in drive.parts))


def lower(
    graph: Graph,
    attention: AttentionOrder = "auto",
    neurons: NeuronChoice = "stock",
    residual: Residual = "graded",
) -> MappedGraph:
    """The mapped graph of a quantized graph; all populations know their depth.

    attention: the order of Q K^T V: "kv", "qk", or the one with fewer product neurons; see mapping/attention.py for the
    others.
    neurons: "custom" takes neurons that a programmable chip can have and Lava has not in stock, where they spare some.
    residual: "graded" sums spikes in neurons that send counts; "spikes" gives each reader the synapses of all terms.
    Raises UnsupportedModelError for an op without a lowering, DoesNotFitError where a bound fails, or where what was
    asked for would not be exact.
    """
    return check_mapped(materialised(walk(graph, attention, neurons, residual)))


def walk(
    graph: Graph,
    attention: AttentionOrder = "auto",
    neurons: NeuronChoice = "stock",
    residual: Residual = "graded",
) -> Lowering:
    """The lowered network, its crossbars as patterns. Raises UnsupportedModelError, DoesNotFitError, UsageError."""
    if attention == "stream":
        require_custom(neurons, residual)
    graph = _ordered(_for_chip(graph), order_of(attention))
    missing = [node for node in graph.nodes if node.op not in _LOWERINGS]
    if missing:
        mend = "run it on the CPU backends, or ask for a lowering in an issue"
        raise UnsupportedModelError(
            Finding("ND-M001", n.name, "an op with a lowering", n.op, mend, str(n.source)) for n in missing
        )
    forms = {form.chain.outer.name: form for form in forms_of(graph, attention)}
    streamed = plan(graph) if attention == "stream" else None
    network = Network(PROFILES[graph.profile], graph.steps, period=streamed.period if streamed else 1)
    state = Lowering(graph, network, neurons, residual, forms, plan=streamed)
    inner = {form.chain.inner.name for form in forms.values()} | (streamed.inner if streamed else set())
    for node in graph.nodes:
        if node.name not in inner:  # lowered with the outer product
            state.values[node.name] = _LOWERINGS[node.op](state, node)
        if streamed and node.name in streamed.entries:
            state.plain[node.name] = state.signal(node.name)
            shape = types(graph)[node.name].shape
            state.values[node.name] = one_after_another(network, state.plain[node.name], shape)
    state.signal(graph.output)
    return state


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


@lru_cache(maxsize=4)  # prices ask for the same few again and again
def _ordered(graph: Graph, attention: AttentionOrder) -> Graph:
    """The graph in the order asked for, proven; "auto" stays with the order that it has where the other overflows."""
    ordered = run_passes(graph, (reassociate(attention), remove_dead))
    if attention == "auto" and not all(bound.holds for bound in prove(ordered)):
        ordered = run_passes(graph, (remove_dead,))
    require_proof(ordered)
    return ordered


def materialised(state: Lowering) -> MappedGraph:
    """The network with every synapse listed that the chip does not share."""
    graph, network = state.graph, state.network
    (source,), readout = graph.encoders, graph.by_name[graph.output]
    signals = {name: value for name, value in (state.values | state.plain).items() if isinstance(value, Signal)}
    populations = tuple(network.populations.values())
    crossbars = tuple(
        Crossbar(j.name, j.source, j.target, listed(j.pattern), j.port, j.delay, j.early, j.late)
        for j in network.crossbars
    )
    found = MappedGraph(
        neurons=state.neurons,
        name=graph.name,
        profile=graph.profile,
        steps=graph.steps,
        encoding=PixelCode.of(source),
        period=network.period,
        populations=phased(populations, crossbars, state.plan.phases) if state.plan else populations,
        crossbars=crossbars,
        output=state.signal(graph.output).population,
        output_bias=readout.tensors["bias"].astype(np.int64),
        output_scale=graph.output_scale,
        views={name: (signal.population, signal.views) for name, signal in signals.items()},
    )
    return split(found, network.thresholds)


def _encode(state: Lowering, node: Node) -> Signal:
    known = types(state.graph)[node.name]
    state.network.populations[node.name] = Population(node.name, "source", known.shape, 0, known.range, value=node.name)
    return Signal(node.name)


def _conv(state: Lowering, node: Node) -> Drive:
    known = types(state.graph)[node.name]
    one = _vector if node.tensors["weight"].ndim == 2 else _image
    parts = tuple(one(state, node, signal) for signal in state.terms(node.inputs[0]))
    return Drive(known.shape, known.range, parts)


def _image(state: Lowering, node: Node, signal: Signal) -> Synapses:
    """A convolution over an image or over tokens: shared weights."""
    signal = _whole(state, signal)
    image, result = state.network.layout(signal).shape, types(state.graph)[node.name].shape
    return Synapses(signal.population, planar(node, signal.views, image, result))


def _vector(state: Lowering, node: Node, signal: Signal) -> Synapses:
    """A layer on one vector: a synapse a weight."""
    weight, groups = node.tensors["weight"].astype(np.int64), node.integer("groups")
    out, width = len(weight) // groups, weight.shape[1]
    signal = state.network.viewed(signal, ("reshape", (groups, width)))
    target, source = dense((groups, out)).expanded(2), state.network.layout(signal).expanded(1)
    return Synapses(signal.population, nest(target, source, weight.reshape(groups, out, width)))


def _whole(state: Lowering, signal: Signal) -> Signal:
    """A signal that a convolution can read: what is sliced lands once more, for shared weights take all axons."""
    sliced = any(kind == "slice" for kind, _ in signal.views)
    return state.network.copied(signal, "slice") if sliced else signal


def _lif(state: Lowering, node: Node) -> Signal:
    exponent, shape = node.integer("weight_exp"), types(state.graph)[node.name].shape
    drive = state.drive(node.inputs[0])
    if exponent:
        drive = _scaled(state, node, drive, exponent)
    bias, dv = node.tensors["bias_mant"].astype(np.int64), node.integer("dv")
    population = Population(
        name=node.name,
        kind="hold" if state.plan else "lif",
        shape=shape,
        depth=0,
        interval=BINARY,
        vth=node.integer("vth"),
        dv=dv,
        du=decay_of_current(node),
        bias_mant=bias,
        bias_exp=node.integer("bias_exp"),
        resets=True,
        value=node.name,
    )
    if "thresholds" in node.tensors:
        state.network.thresholds[node.name] = node.tensors["thresholds"].astype(np.int64)
    return state.network.land(population, drive)


def _scaled(state: Lowering, node: Node, drive: Drive, exponent: int) -> Drive:
    """Every synapse times 2^exponent; a convolution's weights have no room for it, so it lands first."""
    parts = [
        Synapses(p.source, replace(p.pattern, exponent=p.pattern.exponent + exponent))
        for p in drive.parts
        if isinstance(p.pattern, Nest)
    ]
    if len(parts) == len(drive.parts):
        return Drive(drive.shape, drive.interval.scaled(1 << exponent), tuple(parts))
    return state.network.relayed(state.signal(node.inputs[0]), exponent)


def _max_pool(state: Lowering, node: Node) -> Signal | Drive:
    signal = state.signal(node.inputs[0])
    if state.network.interval(signal) == BINARY:  # a constant 0 would become a LIF that is taken to fire
        return state.network.stateless(node.name, any_of_window(state.network, node, signal), vth=0)
    return (largest_by_ports if state.neurons == "custom" else largest_of_window)(state.network, node, signal)


def _add(state: Lowering, node: Node) -> Drive | Several:
    known = types(state.graph)[node.name]
    values = [state.values[name] for name in node.inputs]
    if state.residual == "spikes" and not any(isinstance(value, Drive) for value in values):
        signals = tuple(signal for name in node.inputs for signal in state.terms(name))
        if all(state.network.interval(signal).within(BINARY) for signal in signals):
            return Several(signals)
    parts = [part for name in node.inputs for part in state.drive(name).parts]
    return Drive(known.shape, known.range, tuple(parts))


def _inhibit(state: Lowering, node: Node) -> Signal:
    """spikes AND NOT mask: a LIF without memory that the mask inhibits."""
    return _masked(state, node, -1, Interval(-1, 1), vth=0)


def _gate(state: Lowering, node: Node) -> Signal:
    """mask AND spikes: a LIF without memory that needs both."""
    return _masked(state, node, 1, Interval(0, 2), vth=1)


def _masked(state: Lowering, node: Node, weight: int, reach: Interval, vth: int) -> Signal:
    """A LIF without memory, of the mask's weight and a spike's 1."""
    shape = types(state.graph)[node.name].shape
    mask, spikes = (state.signal(name) for name in node.inputs)
    parts = [
        Synapses(signal.population, nest(dense(shape), state.network.layout(signal).broadcast(shape), gain))
        for signal, gain in ((mask, weight), (spikes, 1))
    ]
    return state.network.stateless(node.name, Drive(shape, reach, tuple(parts)), vth)


def _spike_matmul(state: Lowering, node: Node) -> Drive:
    """A product neuron a term; a chain of two products in the form asked for."""
    network, form = state.network, state.chains.get(node.name)
    if state.plan:
        query, key, value = (state.signal(name) for name in state.plan.operands(state.graph, node.name))
        return streamed_attention(network, node.name, query, key, value)
    if form is None:
        left, right = (operand(network, state.signal(name)) for name in node.inputs)
        return product(network, node.name, left, right)
    inner = form.chain.inner
    outer = next(name for name in node.inputs if name != inner.name)
    return lowered(network, form, [state.signal(name) for name in (*inner.inputs, outer)])


def _reduce_sum(state: Lowering, node: Node) -> Drive:
    known, axes = types(state.graph)[node.name], node.integers("axes")
    parts = []
    for signal in state.terms(node.inputs[0]):
        layout = state.network.layout(signal)
        kept = tuple(1 if axis in axes else n for axis, n in enumerate(layout.shape))
        parts.append(Synapses(signal.population, nest(dense(kept), layout)))
    return Drive(known.shape, known.range, tuple(parts))


def _view(state: Lowering, node: Node) -> Value:
    """Views cost nothing: they are how the next synapses number their axons."""
    view: View = ("reshape", node.integers("shape")) if node.op == "reshape" else ("permute", node.integers("axes"))
    if len(state.graph.consumers[node.inputs[0]]) > 1 and isinstance(state.values[node.inputs[0]], Drive):
        state.signal(node.inputs[0])
    value = state.values[node.inputs[0]]
    seen = reshaped(value, view) if isinstance(value, Drive) else None
    return seen or _through(state, node, view)


def _slice(state: Lowering, node: Node) -> Value:
    """A part of a population's neurons; those that nothing reads need no synapse."""
    part: View = ("slice", (node.integer("axis"), node.integer("start"), node.integer("stop")))
    return _through(state, node, part)


def _through(state: Lowering, node: Node, view: View) -> Signal | Several:
    """The signals of a value through a view."""
    signals = tuple(state.network.viewed(signal, view) for signal in state.terms(node.inputs[0]))
    return signals[0] if len(signals) == 1 else Several(signals)


def _readout(state: Lowering, node: Node) -> Signal:
    """The host sums the payloads of the head over the T steps of a sample, and adds the bias.

    It takes the neurons of one population in their own order: what views reorder, or has several thresholds, lands once
    more, in the order of the classes.
    """
    signal = state.signal(node.inputs[0])
    whole = state.network.layout(signal).is_dense(state.network.populations[signal.population].shape)
    if whole and signal.population not in state.network.thresholds:
        return signal
    return state.network.graded(node.name, state.network.relayed(signal))


_LOWERINGS: dict[str, Lower] = {
    "encode": _encode,
    "encode_events": _encode,
    "conv": _conv,
    "lif": _lif,
    "delay": lambda state, node: delayed(
        state.network, node, state.signal(node.inputs[0]), state.graph.encoders[0].name
    ),
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
