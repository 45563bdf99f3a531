"""A quantized graph as layers of a .net file, or everything that keeps it from being one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from neurodeploy.errors import Finding, UnsupportedModelError
from neurodeploy.ir.graph import ENCODERS, Graph, Node, live_nodes, tensor
from neurodeploy.ir.types import Interval
from neurodeploy.ir.verify import types
from neurodeploy.netx.layers import NO_MEMORY, Layer, Neuron, is_readout
from neurodeploy.netx.reading import Names
from neurodeploy.netx.weights import NotExecuted, dense_as_executed
from neurodeploy.numerics import LOIHI_LAVA, Int64

REFUSED = "ND-L010"
UNIT = 1 << 6  # membrane units of netx's bias, whose exponent is 6
ELSEWHERE = "neurodeploy export --to lava writes a folder that runs with lava-nc alone, whatever the layers"
OPS = {*ENCODERS, "conv", "delay", "lif", "reshape", "readout"}


@dataclass(frozen=True)
class Chain:
    """Layers in order, their names in the graph, and whether the last one shows its membrane instead of spikes."""

    layers: tuple[Layer, ...]
    names: Names
    shows_membrane: bool


def to_layers(graph: Graph) -> Chain:
    """The layers of a graph that is a chain of conv, dense and flatten with LIF.

    A last dense layer without neurons gets some that never fire nor forget: their membrane is the sum over T.
    Raises UnsupportedModelError with every layer that netx has not, or would run with other integers.
    """
    findings = list(_foreign(graph))
    if not findings:
        walk = _Walk(graph)
        chain = walk.chain()
        findings = walk.findings
    if findings:
        raise UnsupportedModelError(_said_once(findings))
    return chain


def _said_once(findings: list[Finding]) -> Iterator[Finding]:
    """The findings; what to do next in full where it comes first, elsewhere by the layer where it stands."""
    said: dict[str, str] = {}
    for finding in findings:
        first = said.setdefault(finding.next, finding.layer)
        yield finding if first == finding.layer else replace(finding, next=f"as of {first}, above")


def rounded(graph: Graph) -> tuple[Graph, int, int]:
    """The graph with biases in netx's unit; how many of them changed, and by how many membrane units at most."""
    nodes, count, worst = [], 0, 0
    for node in graph.nodes:
        if node.op == "lif":
            exact = _bias(node)
            near = np.rint(exact / UNIT).astype(np.int64)
            count, worst = count + int((near * UNIT != exact).sum()), max(worst, int(np.abs(near * UNIT - exact).max()))
            mantissa = tensor(near, np.int16 if np.abs(near).max() < 1 << 15 else np.int64)
            own = {**node.attributes, "bias_exp": 6 if near.any() else 0}
            node = replace(node, attributes=own, tensors={**node.tensors, "bias_mant": mantissa})  # noqa: PLW2901
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes)), count, worst


def _foreign(graph: Graph) -> Iterator[Finding]:
    """Every layer that is none of a chain of conv, dense and flatten with LIF."""
    for node in live_nodes(graph):
        if node.op not in OPS:
            yield _finding(node, "conv, dense and flatten with LIF, one after another", node.op)
        elif len(graph.consumers[node.name]) > 1:
            yield _finding(node, "one layer that reads it", f"{len(graph.consumers[node.name])} layers")
        elif node.op == "lif" and graph.by_name[node.inputs[0]].op not in ("conv", "delay", *ENCODERS):
            yield _finding(node, "synapses in front of neurons", graph.by_name[node.inputs[0]].op)
        elif node.op == "lif" and node.tensors.keys() != {"bias_mant"}:
            yield _finding(node, "one threshold for the whole layer", ", ".join(sorted(node.tensors)))
        elif node.op == "conv" and node.tensors["weight"].ndim not in (2, 4):
            yield _finding(node, "an image or a vector", "a sequence of tokens")
        elif node.op == "reshape" and len(node.integers("shape")) != 1:
            yield _finding(node, "a flatten", f"a reshape to {list(node.integers('shape'))}")


def _finding(node: Node, need: str, have: str, mend: str = ELSEWHERE) -> Finding:
    return Finding(REFUSED, node.name, need, have, mend, str(node.source))


def _bias(lif: Node) -> Int64:
    """The bias in membrane units."""
    return np.asarray(lif.tensors["bias_mant"].astype(np.int64) << lif.integer("bias_exp"))


@dataclass
class _Walk:
    """From the input to the read-out. pending: synapses that wait for their neurons, and their delay."""

    graph: Graph
    findings: list[Finding] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    synapse: dict[str, str] = field(default_factory=dict)
    neuron: dict[str, str] = field(default_factory=dict)
    pending: tuple[Node, Int64 | None] | None = None
    shows_membrane: bool = False

    def chain(self) -> Chain:
        """All layers; `findings` tells what is wrong."""
        for node in live_nodes(self.graph):
            _STEPS[node.op](self, node)
        return Chain(tuple(self.layers), Names(self.synapse, self.neuron), self.shows_membrane)

    @property
    def path(self) -> str:
        return f"/layer/{len(self.layers)}"

    def encode(self, node: Node) -> None:
        reader = self.graph.consumers[node.name][0]
        if reader.op != "lif":
            self.layers.append(Layer("input", self.path, node.integers("shape")))

    def conv(self, node: Node) -> None:
        if self.pending is not None:
            self.findings.append(_finding(node, "neurons between synapses", "a layer without"))
        self.pending = node, None

    def delay(self, node: Node) -> None:
        if self.pending is None or self.pending[0].tensors["weight"].ndim != 2:
            self.findings.append(_finding(node, "delays between dense synapses and their neurons", "delays elsewhere"))
            return
        delay = node.tensors["delay"].astype(np.int64)
        if delay.max() > LOIHI_LAVA.delay_max:
            self.findings.append(_finding(node, f"delays of {LOIHI_LAVA.delay_max} steps at most", f"{delay.max()}"))
        self.pending = self.pending[0], np.broadcast_to(delay, types(self.graph)[node.name].shape)

    def lif(self, node: Node) -> None:
        own = Neuron(
            node.integer("du") if "du" in node.attributes else NO_MEMORY, node.integer("dv"), node.integer("vth")
        )
        bias = self._netx_bias(node)
        if self.pending is None:
            encoder = self.graph.by_name[node.inputs[0]]
            gain = round(1 / encoder.number("step"))
            alone = bias is None or (bias == bias.flat[0]).all()
            if gain * encoder.number("step") != 1 or not alone or node.integer("weight_exp"):
                self.findings.append(_finding(node, "input neurons of one integer weight and bias", "others"))
            bias = None if bias is None else bias.flat[:1]
            self.neuron[self.path] = node.name
            shape = types(self.graph)[node.name].shape
            self.layers.append(Layer("input", self.path, shape, own, np.array([gain]), bias))
            return
        (synapses, delay), self.pending = self.pending, None
        self._add(synapses, node.integer("weight_exp"), own, bias, delay, node.name)

    def reshape(self, node: Node) -> None:
        if self.pending is not None:
            self.findings.append(_finding(node, "neurons in front of a flatten", "synapses"))
        self.layers.append(Layer("flatten", self.path, node.integers("shape")))

    def readout(self, node: Node) -> None:
        if self.pending is None:
            if self.layers and is_readout(self.layers[-1]):
                need = "a last threshold that tells its neurons from a read-out, which never fires"
                have = f"vth {LOIHI_LAVA.threshold_max}, the largest, of neurons that never forget"
                self.findings.append(_finding(node, need, have))
            return
        (synapses, delay), self.pending = self.pending, None
        reach = types(self.graph)[synapses.name].range.scaled(self.graph.steps)
        most = LOIHI_LAVA.threshold_max
        if synapses.tensors["weight"].ndim != 2 or delay is not None:
            self.findings.append(_finding(synapses, "a dense layer in front of the logits", "a convolution, or delays"))
        elif reach.magnitude > most:
            need = f"logits of {most} at most, the largest membrane that does not fire"
            self.findings.append(_finding(synapses, need, f"worst case {reach}"))
        else:
            self._add(synapses, 0, Neuron(NO_MEMORY, 0, most), None, None, node.name)
            self.shows_membrane = True

    def _add(self, node: Node, exponent: int, own: Neuron, bias: Int64 | None, delay: Int64 | None, name: str) -> None:
        weight = node.tensors["weight"].astype(np.int64) << exponent
        dense = weight.ndim == 2
        if dense and node.integer("groups") == 1:
            self._require_executed(node, weight)
        elif dense:
            self.findings.append(_finding(node, "dense synapses", f"{node.integer('groups')} groups"))
        window = () if dense else (node.integers("stride"), node.integers("padding"), (1, 1), node.integer("groups"))
        self.synapse[self.path], self.neuron[self.path] = node.name, name
        shape = types(self.graph)[node.name].shape
        self.layers.append(Layer("dense" if dense else "conv", self.path, shape, own, weight, bias, delay, *window))

    def _require_executed(self, node: Node, weight: Int64) -> None:
        try:
            changed = int(np.count_nonzero(dense_as_executed(weight) != weight))
            have = f"{changed} of {weight.size} that it changes, from {weight.min()} to {weight.max()}"
        except NotExecuted as error:
            changed, have = 1, str(error)
        if changed:
            self.findings.append(_finding(node, "weights that netx executes as they are (optimize_weight_bits)", have))

    def _netx_bias(self, node: Node) -> Int64 | None:
        """The bias in weight units, a channel, or a neuron [W, H, C]; None for none."""
        exact = _bias(node)
        odd, width = int((exact % UNIT != 0).sum()), Interval(-(1 << 12), (1 << 12) - 1)
        near = exact // UNIT
        if odd:
            have = f"{odd} of {exact.size} between multiples of {UNIT} membrane units"
            mend = f"export with rounded biases (--round-bias), another network by half a weight unit; or {ELSEWHERE}"
            self.findings.append(_finding(node, "biases in whole weight units: netx has the exponent 6", have, mend))
        elif not width.lo <= near.min() <= near.max() <= width.hi:
            option = "--weight-bits" if self.neuron else "--first-bits"
            mend = f"compile with fewer {option}: units grow, where biases do not outweigh the weights; or {ELSEWHERE}"
            have = f"{near.min()}..{near.max()}"
            self.findings.append(_finding(node, f"biases in {width} weight units", have, mend))
        if not near.any():
            return None
        shape = types(self.graph)[node.name].shape
        if near.size == 1 or all(n == 1 for n in near.shape[1:]):
            return np.broadcast_to(near.reshape(-1), shape[:1])
        whole: Int64 = np.broadcast_to(near, shape).transpose(2, 1, 0)
        return whole


_STEPS = {
    **dict.fromkeys(ENCODERS, _Walk.encode),
    "conv": _Walk.conv,
    "delay": _Walk.delay,
    "lif": _Walk.lif,
    "reshape": _Walk.reshape,
    "readout": _Walk.readout,
}
