"""What becomes of each traced op: one handler an op, of the walk over the graph in `quantize`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.quantize.builder import Builder, Quantity, Refused
from neurodeploy.quantize.counts import embed_counts
from neurodeploy.quantize.currents import input_gain, quantize_conv
from neurodeploy.quantize.joins import add_currents, require_one_scale
from neurodeploy.quantize.pixels import quantize_input
from neurodeploy.quantize.scales import bias_grid, decay_to_dv

Handler = Callable[[Builder, Node], None]

WORST_THRESHOLD = 0.05  # share of a threshold that rounding to units of its stream may change


def _neuron(build: Builder, node: Node) -> None:
    """A neuron on currents takes the scale of its convolution; one on counts is embedded."""
    x = build.values[node.inputs[0]]
    current = node.inputs[0] in build.streams
    gain = input_gain(node)
    unit = (x.scale if x.units is None else x.units) * gain
    rank = len(build.types[x.name].shape)
    if current:
        profile = build.options.profile
        units = np.zeros([1] * rank) if x.bias is None else x.bias * gain / unit * (1 << profile.threshold_shift)
        mantissa, exponent = bias_grid(units, profile)
        build.exact[node.name] = units
        thresholds = _thresholds(build, node, unit)
        attributes = {
            "vth": int(np.max(thresholds)),
            "dv": decay_to_dv(node.number("decay"), profile),
            "weight_exp": 0,
        }
    else:
        mantissa, exponent = np.zeros([1] * rank, np.int64), 0
        attributes = _count_attributes(build, node, node.number("threshold") / x.scale / gain)
        thresholds = np.array(attributes["vth"])
    tensors = {"bias_mant": tensor(mantissa, np.int16 if np.abs(mantissa).max() < 1 << 15 else np.int64)}
    if np.unique(thresholds).size > 1:
        tensors["thresholds"] = tensor(thresholds, np.int32)
    name = build.emit("lif", node, (x.name,), {**attributes, "bias_exp": exponent}, tensors)
    build.values[node.name] = Quantity(name, 1.0)


def _thresholds(build: Builder, node: Node, unit: float | NDArray[np.float64]) -> NDArray[np.int64]:
    """One threshold, or where groups of channels have units of their own one for each."""
    if isinstance(unit, float):
        return np.array(_threshold(build, node, unit))
    found: NDArray[np.int64] = np.rint(node.number("threshold") / unit).astype(np.int64)
    return found


def _threshold(build: Builder, node: Node, unit: float) -> int:
    """The integer threshold of a neuron on a current: exact in a plain layer, whose unit is made for it.

    Others share the unit of their stream, and theirs is rounded. Raises Refused beyond WORST_THRESHOLD.
    """
    threshold = node.number("threshold")
    vth = round(threshold / unit)
    if not build.streams[node.inputs[0]].plain:
        error = abs(vth * unit - threshold) / threshold
        if error > WORST_THRESHOLD:
            need, have = f"a threshold that rounds by {WORST_THRESHOLD:.0%} at most", f"{threshold / unit:.3g} units"
            raise Refused("ND-Q027", need, have, "give the neurons that read this current thresholds of one size")
        build.report(node, kind="threshold", vth=vth, threshold_error=error)
    return vth


def _count_attributes(build: Builder, node: Node, theta: float) -> dict[str, int]:
    counts = build.types[build.values[node.inputs[0]].name].range
    found = embed_counts(theta, node.number("decay"), counts, build.traced.steps, build.options.profile)
    facts = {"theta": theta, "lemma": found.lemma, "exact": found.exact, "weight_exp": found.weight_exp}
    build.report(node, kind="counts", **facts)
    return {"vth": found.vth, "dv": found.dv, "weight_exp": found.weight_exp}


def _view(build: Builder, node: Node) -> None:
    """Reshape, permute, slice and max-pool keep the scale; a bias goes along, where it is one for a whole window."""
    x = build.values[node.inputs[0]]
    if node.op == "max_pool" and x.bias is not None and prod(x.bias.shape[1:]) > 1:
        need, have = "one bias for a whole window", "a bias that differs along the axes that are pooled"
        raise Refused("ND-Q023", need, have, "pool along the map of the convolution, or behind the neuron")
    shape = build.types[x.name].shape
    name = build.emit(node.op, node, (x.name,), node.attributes)
    bias, units = (_view_of_bias(node, own, shape) for own in (x.bias, x.units))
    build.values[node.name] = Quantity(name, x.scale, bias, units)


def _view_of_bias(node: Node, bias: NDArray[np.float64] | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    if bias is None or node.op == "max_pool":
        return bias
    if node.op == "permute":
        return np.asarray(bias.transpose(node.integers("axes")))
    if node.op == "slice":
        whole = bias.shape[node.integer("axis")] == 1
        return bias if whole else bias.take(range(node.integer("start"), node.integer("stop")), node.integer("axis"))
    full: NDArray[np.float64] = np.broadcast_to(bias, shape).reshape(node.integers("shape"))
    for axis in range(full.ndim):  # keep it small: an axis along which nothing changes is one entry
        first = full.take([0], axis=axis)
        full = first if (full == first).all() else full
    return np.asarray(full)


def _inputs(build: Builder, node: Node) -> list[Quantity]:
    """The inputs, which are spikes or counts: `stray_currents` are refused before."""
    return [build.values[name] for name in node.inputs]


def _add(build: Builder, node: Node) -> None:
    if node.name in build.streams:
        add_currents(build, node)
        return
    a, b = _inputs(build, node)
    require_one_scale(a, b)
    build.values[node.name] = Quantity(build.emit("add", node, (a.name, b.name), {}), a.scale)


def _mul(build: Builder, node: Node) -> None:
    """A product of spikes is an AND, with 1 - x an AND NOT; the mask is that x, else the input that is broadcast."""
    a, b = _inputs(build, node)
    if a.scale < 0 and b.scale < 0:
        raise Refused("ND-Q025", "spikes times 1 - x", "(1 - x) (1 - y)", "put a spiking neuron behind one of them")
    wide = build.types[a.name].size > build.types[b.name].size
    first = a.scale < 0 or not (wide or b.scale < 0)
    mask, spikes = (a, b) if first else (b, a)
    name = build.emit("inhibit" if mask.scale < 0 else "gate", node, (mask.name, spikes.name), {})
    build.values[node.name] = Quantity(name, abs(a.scale * b.scale))


def _complement(build: Builder, node: Node) -> None:
    """1 - x of spikes: no node of its own, for products alone read it, and inhibit by x."""
    (x,) = _inputs(build, node)
    wrong = ", ".join(f"{reader.op} {reader.name}" for reader in _readers(build.traced, node) if reader.op != "mul")
    if wrong or x.scale != 1:
        have = f"{node.name} read by {wrong}" if wrong else f"spikes of {x.scale:.6g}"
        raise Refused("ND-Q025", "1 - x of spikes, as a factor of spikes", have, "use it as in the IAND of SEW-ResNet")
    build.values[node.name] = Quantity(x.name, -1.0, np.ones([1] * len(build.types[x.name].shape)))


def _readers(graph: Graph, node: Node) -> list[Node]:
    """What reads a value, views looked through."""
    readers = graph.consumers[node.name]
    return [end for r in readers for end in (_readers(graph, r) if r.op in ("reshape", "permute", "slice") else [r])]


def _matmul(build: Builder, node: Node) -> None:
    a, b = _inputs(build, node)
    build.values[node.name] = Quantity(build.emit("spike_matmul", node, (a.name, b.name), {}), a.scale * b.scale)


def _scale(build: Builder, node: Node) -> None:
    """A factor moves into the threshold of the neuron behind it."""
    x, factor = build.values[node.inputs[0]], node.number("factor")
    if factor <= 0:
        raise Refused("ND-Q022", "a positive factor", f"{factor:.6g}", "fold the sign into a layer")
    build.values[node.name] = Quantity(x.name, x.scale * factor, None if x.bias is None else x.bias * factor)


def _reduce(build: Builder, node: Node) -> None:
    """A mean over tokens is a sum whose scale is divided by their number; a bias is summed along."""
    x, axes = build.values[node.inputs[0]], node.integers("axes")
    shape = build.types[x.name].shape
    name = build.emit("reduce_sum", node, (x.name,), node.attributes)
    count = float(np.prod([shape[axis] for axis in axes])) if node.op == "reduce_mean" else 1.0
    bias = None
    if x.bias is not None:
        bias = np.broadcast_to(x.bias, shape).sum(axis=axes, keepdims=bool(node.integer("keepdims"))) / count
    build.values[node.name] = Quantity(name, x.scale / count, bias)


def _readout(build: Builder, node: Node) -> None:
    """Mean over T of the head: a sum over T, the 1 / T in the output scale, the bias added once."""
    x = build.values[node.inputs[0]]
    build.output_scale = x.scale / build.traced.steps
    shape = build.types[x.name].shape
    bias = np.zeros(shape) if x.bias is None else np.broadcast_to(x.bias, shape)
    build.exact[node.name] = bias / build.output_scale
    tensors = {"bias": tensor(np.rint(build.exact[node.name]), np.int64)}
    build.values[node.name] = Quantity(build.emit("readout", node, (x.name,), {}, tensors), build.output_scale)


HANDLERS: dict[str, Handler] = {
    "input": quantize_input,
    "events": quantize_input,
    "conv": quantize_conv,
    "neuron": _neuron,
    "max_pool": _view,
    "reshape": _view,
    "permute": _view,
    "slice": _view,
    "add": _add,
    "mul": _mul,
    "complement": _complement,
    "matmul": _matmul,
    "scale": _scale,
    "reduce_sum": _reduce,
    "reduce_mean": _reduce,
    "time_mean": _readout,
}
