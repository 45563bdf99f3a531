"""Post-training quantization: a folded traced graph becomes integers for which the interval proof holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DoesNotFitError, Finding, UnsupportedModelError, UsageError
from neurodeploy.images import check_images
from neurodeploy.ir.graph import Graph, Node, Stage, tensor, topological
from neurodeploy.ir.passes import remove_dead, run_passes, simplify_views
from neurodeploy.ir.proof import require_proof
from neurodeploy.ir.types import BINARY, ValueType
from neurodeploy.ir.verify import types
from neurodeploy.quantize.builder import Builder, Latents, Quantity, Refused
from neurodeploy.quantize.converter import axon_of
from neurodeploy.quantize.counts import embed_counts
from neurodeploy.quantize.currents import TOO_TIGHT, input_gain, quantize_conv
from neurodeploy.quantize.ends import with_ends
from neurodeploy.quantize.fold import fold_batchnorm
from neurodeploy.quantize.joins import add_currents, require_one_scale
from neurodeploy.quantize.measure import measure
from neurodeploy.quantize.options import QuantizeOptions
from neurodeploy.quantize.pixels import quantize_input
from neurodeploy.quantize.samples import Samples, sample_count, spread
from neurodeploy.quantize.scales import bias_grid, decay_to_dv
from neurodeploy.quantize.sensitivity import Loss, auto_bits, sensitivity
from neurodeploy.quantize.streams import Stream, find_streams, stray_currents
from neurodeploy.quantize.units import choose_unit

Handler = Callable[[Builder, Node], None]

WORST_THRESHOLD = 0.05  # share of a threshold that rounding to units of its stream may change


Say = Callable[[str], None]


def quantize(
    traced: Graph, calibration: object, options: QuantizeOptions | None = None, say: Say | None = None
) -> Graph:
    """The integer network of a traced graph; see `quantize_exactly`."""
    return quantize_exactly(traced, calibration, options, say)[0]


def quantize_exactly(
    traced: Graph, calibration: object, options: QuantizeOptions | None = None, say: Say | None = None
) -> tuple[Graph, Latents]:
    """The integer network of a traced graph, and what its integers are rounded from.

    Latents, float64, by node: of a conv its weight in weight units; of a lif that reads a current its bias in membrane
    units; of the readout its bias in units of the integer logits. Shapes as of the integers, a bias may broadcast.

    calibration: float32 images [N, C, H, W], or event frames [N, T, C, H, W]; they choose the pixel code, the first
    layer's widths, and what the options leave to data.  say(stage) is called as long work begins.
    Raises UsageError for bad images or options, UnsupportedModelError with every node that cannot be quantized,
    DoesNotFitError where the interval proof fails, or where "auto" finds no bits.
    """
    folded, images, options = _prepared(traced, calibration, options)
    if options.weight_bits == "auto":
        options = options.with_bits(auto_bits(folded, images, options, _unmeasured, say))
    build = _built(folded, images, with_ends(folded, options), say)
    (say or (lambda stage: None))("measure the errors of the layers")
    measure(build)
    graph = _finished(traced, build)
    return graph, {n: v for n, v in build.exact.items() if n in graph.by_name}


def layer_losses(
    traced: Graph, calibration: object, options: QuantizeOptions | None = None, say: Say | None = None
) -> list[Loss]:
    """What each layer loses at 8, 6, 4, 3 and 2 bits, all others at 8. Raises as `quantize_exactly`."""
    folded, images, options = _prepared(traced, calibration, options)
    return sensitivity(folded, images, options, _unmeasured, say)


def _prepared(
    traced: Graph, calibration: object, options: QuantizeOptions | None
) -> tuple[Graph, NDArray[np.float32], QuantizeOptions]:
    """The folded graph, and the calibration and options checked against it."""
    options = options or QuantizeOptions()
    folded = run_passes(traced, (fold_batchnorm, simplify_views, remove_dead))
    (source,) = (*folded.of("input"), *folded.of("events"))
    options.check_patterns(node.name for node in folded.of("conv"))
    return folded, _calibration(calibration, _sample_shape(folded, source)), options


def _unmeasured(folded: Graph, images: NDArray[np.float32], options: QuantizeOptions) -> Graph:
    return _finished(folded, _built(folded, images, options))


def _built(folded: Graph, images: NDArray[np.float32], options: QuantizeOptions, say: Say | None = None) -> Builder:
    """The builder once every node is quantized."""
    options = options.settled(node.name for node in folded.of("conv"))
    build = Builder(folded, options, images, streams=find_streams(folded))
    if options.needs_samples:
        build.say = say or build.say
        build.samples = Samples(build, spread(images, sample_count(folded, len(images))))
    _walk(build)
    build.samples = None
    return build


def _finished(traced: Graph, build: Builder) -> Graph:
    """The quantized graph, proven."""
    folded = build.traced
    metadata = {**traced.metadata, "quantization": json.dumps(build.choices, sort_keys=True)}
    made = [node.name for node in build.nodes if node.name not in folded.by_name]
    metadata |= {"made": json.dumps(made)} if made else {}
    quantized = replace(
        folded,
        stage=Stage.QUANTIZED,
        nodes=topological(build.nodes),
        profile=build.options.profile.name,
        output_scale=build.output_scale,
        metadata=metadata,
    )
    quantized = run_passes(quantized, (simplify_views, remove_dead))
    require_proof(quantized)
    return quantized


def _sample_shape(graph: Graph, source: Node) -> tuple[int, ...]:
    """The shape of one sample: an image, or T event frames."""
    frame = source.integers("shape")
    return (graph.steps, *frame) if source.op == "events" else frame


def _calibration(images: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The images, checked. Raises UsageError, also where every value is zero: they have no range to code."""
    checked = check_images(images, shape)
    if not checked.any():
        need, mend = "calibration data as the model will see it", "pass some tens of real samples"
        raise UsageError(Finding("ND-Q004", "calibration", need, "every value is zero", mend))
    return checked


def _walk(build: Builder) -> None:
    """Quantize every node once what it reads is known, and a convolution of a stream once all that flows in is.

    What follows from a finding is left out.
    """
    findings = list(stray_currents(build.traced, build.streams))
    if findings:
        raise UnsupportedModelError(findings)
    waiting, open_streams = list(build.traced.nodes), _shared(build)
    before = -1
    while waiting and (build.patient or before != len(waiting) + len(open_streams)):
        build.patient = before != len(waiting) + len(open_streams)
        before = len(waiting) + len(open_streams)
        open_streams = [stream for stream in open_streams if not _settled(build, stream, findings)]
        waiting = [node for node in waiting if not _handled(build, node, findings)]
    findings = findings or [_circular(node) for node in waiting if node.op == "conv"]
    if findings:
        tight = all(finding.code == TOO_TIGHT for finding in findings)
        raise DoesNotFitError(findings) if tight else UnsupportedModelError(findings)


def _circular(conv: Node) -> Finding:
    """A convolution that waits for a current to which its own is added."""
    need, have = "a current that its own is not added to", "a current that waits for this layer"
    return Finding("ND-Q012", conv.name, need, have, "put a spiking neuron in front of it", str(conv.source))


def _shared(build: Builder) -> list[Stream]:
    """The streams whose convolutions share a unit, in the order of the graph."""
    unique = {id(stream): stream for stream in build.streams.values() if not stream.plain}
    return list(unique.values())


def _settled(build: Builder, stream: Stream, findings: list[Finding]) -> bool:
    """Choose the unit of a stream if all that flows into it is known; False where it has to wait."""
    if any(name not in build.values for name in stream.sources):
        return False
    refused = [finding for conv in stream.convs for finding in _unreadable(build, conv)]
    findings.extend(refused)
    try:
        build.shares |= {} if refused else choose_unit(build, stream, _quantize)
    except DoesNotFitError as error:
        findings.extend(error.findings)
    return True


def _unreadable(build: Builder, conv: Node) -> Iterator[Finding]:
    """Why a convolution cannot read its current; it has to, before a unit can be chosen for what it makes of that."""
    try:
        axon_of(build, conv)
    except Refused as refusal:
        yield refusal.finding(conv)


def _handled(build: Builder, node: Node, findings: list[Finding]) -> bool:
    """Quantize a node if what it needs is known; False where it has to wait. A neuron that waits still makes spikes."""
    settled = node.op != "conv" or build.streams[node.name].plain or node.name in build.shares
    settled = settled and not (node.op == "conv" and _unseen(build, node))
    if not settled or any(name not in build.values for name in node.inputs):
        if node.op == "neuron":
            build.types[node.name] = ValueType(types(build.traced)[node.name].shape, BINARY)
            build.values[node.name] = Quantity(node.name, 1.0)
        return False
    try:
        _quantize(build, node)
    except Refused as refusal:
        findings.append(refusal.finding(node))
    if build.samples:
        build.samples.handled(node)
    return True


def _unseen(build: Builder, conv: Node) -> bool:
    """Whether a convolution waits for the integers that it reads: not where a unit has to be chosen without them."""
    if build.samples is None or not build.patient:
        return False
    name = build.values[conv.inputs[0]].name if conv.inputs[0] in build.values else ""
    return name not in build.samples.integers


def _quantize(build: Builder, node: Node) -> None:
    _HANDLERS[node.op](build, node)


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


_HANDLERS: dict[str, Handler] = {
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
