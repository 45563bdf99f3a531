"""The planner: a quantized graph becomes a list of kernel calls, once; weights are packed, buffers have their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.native import conv
from neurodeploy.backends.native.lower import LOWER, Context
from neurodeploy.backends.native.recorder import Op, Recorder
from neurodeploy.backends.native.views import INT32, Buffer, Space, Type, View, dense, loop, memory_order
from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.graph import Graph, Node, live_nodes
from neurodeploy.ir.infer import decay_of_current
from neurodeploy.ir.proof import node_bounds, remembers, symmetric
from neurodeploy.ir.types import SIGNED_BYTE, Interval, ValueType
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES, Profile

Value = View | conv.Pending
OPS = frozenset({*LOWER, "conv", "lif", "readout"})
MAX_AXES = 11  # of a value, beside time (native/plan.hpp)
MOST_SHIFT = 32  # bits of a membrane in the kernels


@dataclass(frozen=True)
class Plan:
    """A program of the engine, and its outputs in the order in which it takes their arrays: [N, *shape] each.

    calls: (layer, kernel) of each call, in order.
    """

    program: Any
    outputs: tuple[tuple[str, tuple[int, ...], type[np.generic]], ...]
    calls: tuple[tuple[str, str], ...]


def plan(graph: Graph, probes: tuple[str, ...], path: str) -> Plan:
    """Lower a quantized graph for one processor path; probes: LIFs whose spikes and membranes are written out.

    outputs: "logits" int64 [classes], then for each probe its spikes uint8 and membranes int32 [T, *shape].
    Raises DoesNotFitError with every value and membrane that int32 does not hold.
    """
    planner = _Planner(graph, probes, path)
    recorder = planner.run()
    calls = tuple((step.layer, step.call) for step in recorder.steps)
    return Plan(recorder.finish(), tuple(planner.outputs), calls)


def record(graph: Graph, probes: tuple[str, ...], path: str) -> Recorder:
    """The kernel calls of a plan, before their buffers have a place. Raises as `plan` does."""
    return _Planner(graph, probes, path).run()


def check_widths(graph: Graph) -> None:
    """Raise DoesNotFitError unless the kernels know all ops and hold all weights, neurons and values but logits."""
    profile, known = PROFILES[graph.profile], types(graph)
    findings = []
    for node in graph.nodes:
        value = known[node.name]
        if node.name != graph.output and not value.range.within(INT32):
            findings.append(_finding(node, "values in int32", f"worst case {value.range}"))
        if node.op not in OPS:
            findings.append(_finding(node, "an op that the kernels know", node.op))
        if len(value.shape) > MAX_AXES:
            findings.append(_finding(node, f"at most {MAX_AXES} axes", str(len(value.shape))))
        if node.op == "conv":
            findings += _wide_weights(node)
        if node.op == "lif":
            bounds = list(node_bounds(node, known, graph.steps, profile))
            findings += _wide_neurons(node, {bound.quantity: bound.interval for bound in bounds}, profile)
    if findings:
        raise DoesNotFitError(findings)


def _wide_weights(node: Node) -> Iterator[Finding]:
    weight = node.tensors["weight"]
    found = Interval(int(weight.min()), int(weight.max()))
    if not found.within(SIGNED_BYTE):
        yield _finding(node, "weights in int8", str(found))


def _wide_neurons(node: Node, bounds: Mapping[str, Interval], profile: Profile) -> Iterator[Finding]:
    most, threshold = symmetric(profile.state_max), node.integer("vth") << profile.threshold_shift
    shift = profile.threshold_shift + node.integer("weight_exp")
    for quantity in ("membrane", "current"):
        worst = bounds.get(quantity, most)
        if not (worst.within(most) and worst.within(INT32)):
            yield _finding(node, f"{quantity}s in {most}", f"worst case {worst}")
    if not Interval(threshold, threshold).within(INT32):
        yield _finding(node, "a threshold in int32", f"{threshold} membrane units")
    if shift >= MOST_SHIFT:
        yield _finding(node, f"a synaptic input shifted by less than {MOST_SHIFT}", str(shift))


def _finding(node: Node, need: str, have: str) -> Finding:
    return Finding("ND-B022", node.name, need, have, "run it on the backend reference", str(node.source))


class _Planner:
    def __init__(self, graph: Graph, probes: tuple[str, ...], path: str) -> None:
        self.graph, self.probes, self.types = graph, probes, types(graph)
        self.recorder = Recorder(path)
        self.profile: Profile = PROFILES[graph.profile]
        self.values: dict[str, Value] = {}
        self.outputs: list[tuple[str, tuple[int, ...], type[np.generic]]] = []
        self.readers = self._readers()

    def run(self) -> Recorder:
        check_widths(self.graph)
        logits = self._output("logits", self.types[self.graph.output].shape, np.int64, Type.I64)
        context = Context(self.recorder, self._images())
        for node in self.graph.nodes:
            if node.name not in self.readers:
                continue
            self.recorder.layer = node.name
            if node.op == "readout":
                self._readout(node, logits)
            else:
                self.values[node.name] = self._lowered(context, node)
        return self.recorder

    def _readers(self) -> dict[str, int]:
        """How many nodes read each value that is needed, for the output or a probe."""
        needed = {node.name for node in live_nodes(self.graph)} | set(self.probes)
        for node in reversed(self.graph.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        readers = dict.fromkeys(needed, 0)
        for node in self.graph.nodes:
            for name in node.inputs if node.name in needed else ():
                readers[name] += 1
        return readers

    def _images(self) -> View:
        """[T, *shape] of the sample, C order."""
        graph = self.graph
        shape = graph.image_shape
        frame = graph.encoders[0].integers("shape")
        strides = dense(frame, range(len(frame)))
        time = strides[0] * frame[0] if len(shape) > len(frame) else 0
        return View(Buffer(Space.IMAGE), Type.F32, (graph.steps, *frame), (time, *strides))

    def _lowered(self, context: Context, node: Node) -> Value:
        known = self.types[node.name]
        if node.op == "conv":
            return self._sole(node, self._conv(node, known))
        waiting = self.values[node.inputs[0]] if node.inputs else None
        if isinstance(waiting, conv.Pending):
            fused = self._fused(node, waiting, known)
            if fused is not None:
                return self._sole(node, fused)
        if node.op == "lif":
            x = self._view(node.inputs[0])
            return self._lif(node, self._lasting(node, x) if remembers(node) else x)
        spans = [self.types[name].range for name in node.inputs]
        return LOWER[node.op](context, node, [self._view(name) for name in node.inputs], spans, known)

    def _sole(self, node: Node, value: Value) -> Value:
        """What waits is written now if more than one node reads it."""
        if isinstance(value, conv.Pending) and self.readers[node.name] != 1:
            return conv.write_sums(self.recorder, value)
        return value

    def _view(self, name: str) -> View:
        """The value in memory: the sums of a convolution that waited for a LIF."""
        value = self.values[name]
        if isinstance(value, conv.Pending):
            value = self.values[name] = conv.write_sums(self.recorder, value)
        return value

    def _conv(self, node: Node, known: ValueType) -> Value:
        x, span = self._view(node.inputs[0]), self.types[node.inputs[0]].range
        make = conv.pending if node.integer("groups") == 1 else conv.grouped
        return make(self.recorder, node, x, span, known.shape, self.graph.steps)

    def _fused(self, node: Node, waiting: conv.Pending, known: ValueType) -> Value | None:
        """The node as part of the convolution before it, or None."""
        if node.op == "lif":
            return self._fused_lif(node, waiting)
        if node.op == "max_pool":
            return conv.pooled(waiting, node, known.shape) if self._pools_into_lif(node, waiting) else None
        view = None
        if node.op == "permute":
            view = waiting.view.permuted(node.integers("axes"))
        elif node.op == "reshape":
            view = waiting.view.reshaped(known.shape)
        return None if view is None else replace(waiting, view=view)

    def _pools_into_lif(self, node: Node, waiting: conv.Pending) -> bool:
        """Whether a LIF with a bias and a threshold a channel alone reads the pooled sums."""
        readers = [reader for reader in self.graph.consumers[node.name] if reader.name in self.readers]
        if not conv.can_pool(waiting) or len(readers) != 1 or readers[0].op != "lif":
            return False
        return all(values.shape[1:] == (1, 1) for values in readers[0].tensors.values())

    def _numbers(self, node: Node) -> tuple[int, int, int, int]:
        """(shift, decay bits, keep, threshold in membrane units); a lasting current comes in membrane units."""
        shift, unit = self.profile.threshold_shift, self.profile.decay_unit
        threshold = node.integer("vth") << shift
        left = 0 if remembers(node) else shift + node.integer("weight_exp")
        return left, self.profile.decay_bits, unit - node.integer("dv"), threshold

    def _current_numbers(self, node: Node) -> tuple[int, int, int, int]:
        """The numbers of a neuron that never fires, whose membrane is the lasting current of this one."""
        shift, unit = self.profile.threshold_shift + node.integer("weight_exp"), self.profile.decay_unit
        return shift, self.profile.decay_bits, unit - decay_of_current(node), INT32.hi

    def _lasting(self, node: Node, x: View) -> View:
        """The synaptic current of a LIF that remembers it, int32 [T, *shape], membrane units."""
        nothing = self.recorder.constant(np.zeros((1,) * (len(x.shape) - 1), np.int32), Type.I32)
        silence = self.recorder.new(x.shape, memory_order(x), Type.U8)
        current = replace(silence, buffer=Buffer(Space.ARENA, 4 * silence.buffer.size), type=Type.I32)
        self._charge(x, silence, current, nothing, self._current_numbers(node))
        return current

    def _fused_current(self, node: Node, waiting: conv.Pending) -> View:
        """The same straight from the convolution (and pooling) before it."""
        current = replace(waiting.view, buffer=Buffer(Space.ARENA, 4 * int(np.prod(waiting.base.shape))), type=Type.I32)
        numbers, nothing = self._current_numbers(node), np.zeros(waiting.outputs, np.int64)
        neuron = conv.Neuron(numbers, nothing, np.full(waiting.outputs, INT32.hi), current)
        conv.write_spikes(self.recorder, waiting, neuron)
        return current

    def _thresholds(self, node: Node) -> NDArray[np.int64]:
        """In membrane units, of the rank of the value."""
        found = np.broadcast_to(node.thresholds, node.tensors.get("thresholds", node.tensors["bias_mant"]).shape)
        return found.astype(np.int64) << self.profile.threshold_shift

    def _fused_lif(self, node: Node, waiting: conv.Pending) -> View | None:
        if remembers(node):
            return self._lif(node, self._fused_current(node, waiting))
        bias, thresholds = (conv.by_channel(waiting, own) for own in (_bias(node), self._thresholds(node)))
        if bias is None or thresholds is None:
            return None
        kept = None
        if node.name in self.probes:
            size = 4 * int(np.prod(waiting.base.shape))
            kept = replace(waiting.view, buffer=Buffer(Space.ARENA, size), type=Type.I32)
        y = conv.write_spikes(self.recorder, waiting, conv.Neuron(self._numbers(node), bias, thresholds, kept))
        return self._probed(node, y, kept)

    def _lif(self, node: Node, x: View) -> View:
        recorder, own = self.recorder, [_bias(node)]
        if "thresholds" in node.tensors:  # they share the strides of the bias
            own = list(np.broadcast_arrays(*own, self._thresholds(node)))
        bias, *thresholds = (recorder.constant(values.astype(np.int32), Type.I32) for values in own)
        y = recorder.new(x.shape, memory_order(x), Type.U8)
        kept = replace(y, buffer=Buffer(Space.ARENA, 4 * y.buffer.size), type=Type.I32)
        kept_view = kept if node.name in self.probes else None
        self._charge(x, y, kept_view, bias, self._numbers(node), *thresholds)
        return self._probed(node, y, kept_view)

    def _charge(
        self,
        x: View,
        y: View,
        kept: View | None,
        bias: View,
        numbers: tuple[int, int, int, int],
        thresholds: View | None = None,
    ) -> None:
        """Neurons of input x: spikes y, membranes after reset; thresholds: of each, with the strides of the bias."""
        shape = x.shape[1:]
        over = loop(shape, x.strides[1:], y.strides[1:], bias.broadcast(shape).strides[1:], key=1)
        self.recorder.add(
            "lif",
            {"x": x, "y": y, "v": kept, "bias": bias, "thresholds": thresholds},
            loop=over,
            neuron=numbers,
            steps=self.graph.steps,
            step_x=x.strides[0],
            step_y=y.strides[0],
        )

    def _probed(self, node: Node, y: View, kept: View | None) -> View:
        """Write spikes and membranes of a probed LIF into the caller's arrays."""
        if kept is not None:
            shape = self.types[node.name].shape
            self.recorder.map(Op.SET, y, self._output(f"{node.name}.spikes", y.shape, np.uint8, Type.U8))
            self.recorder.map(Op.SET, kept, self._output(f"{node.name}.v", (y.shape[0], *shape), np.int32, Type.I32))
        return y

    def _output(self, name: str, shape: tuple[int, ...], kind: type[np.generic], element: Type) -> View:
        buffer = Buffer(Space.OUTPUT + len(self.outputs))
        self.outputs.append((name, shape, kind))
        return View(buffer, element, shape, dense(shape, range(len(shape))))

    def _readout(self, node: Node, logits: View) -> None:
        x = self._view(node.inputs[0])
        bias = self.recorder.constant(node.tensors["bias"].astype(np.int64), Type.I64)
        row = View(logits.buffer, Type.I64, (1, *logits.shape), (1, *logits.strides))
        self.recorder.map(Op.SET, bias, row)
        self.recorder.map(Op.ADD, x, replace(row, shape=x.shape, strides=(0, *logits.strides)), over_time=True)


def _bias(node: Node) -> NDArray[np.int64]:
    """bias_mant 2^bias_exp, membrane units."""
    return node.tensors["bias_mant"].astype(np.int64) << node.integer("bias_exp")
