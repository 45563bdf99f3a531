"""Convolutions: which neuron each one drives, and its integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.numerics import Int64
from neurodeploy.quantize.builder import Builder, Quantity, Refused
from neurodeploy.quantize.converter import axon_of
from neurodeploy.quantize.fitted import Fit, Seen, sums_of, with_bias
from neurodeploy.quantize.groups import Groups, choose_groups
from neurodeploy.quantize.joins import doubled
from neurodeploy.quantize.observe import Float
from neurodeploy.quantize.scales import (
    MOST_CLIPPED,
    Current,
    LayerScale,
    by_row,
    choose_scale,
    fits_sums,
    most_clipping,
    onto_grid,
    round_to,
)
from neurodeploy.quantize.spikes import Layer, choose, grouped
from neurodeploy.quantize.streams import ENDS, PLAIN, Share

TOO_TIGHT = "ND-Q013"
HEAD_TRIES = 16  # units of the read-out's weights, where data chooses
FINEST_STEP = 1.001  # by which the read-out's unit grows at least, where its sums leave the payload's width
WITHIN = 0.499  # of an integer: what was not rounded to the nearest still rounds to what it became
BIAS_BITS = 31  # of the read-out's bias in units of the logits


def driven(graph: Graph, conv: Node) -> tuple[list[Node], Node]:
    """The max-pools and views between a convolution and the first neuron (or read-out) that it drives, and that.

    Or the node that ends the way, where the current is added or averaged first.
    """
    path: list[Node] = []
    node = conv
    while True:
        readers = sorted(graph.consumers[node.name], key=lambda reader: reader.op not in ENDS)
        if readers[0].op not in PLAIN:
            return path, readers[0]
        node = readers[0]
        path.append(node)


def input_gain(neuron: Node) -> float:
    """What a neuron multiplies its input by: its decay where `decay_input` is set, else 1."""
    return neuron.number("decay") if neuron.integer("decay_input") else 1.0


def current_of(conv: Node, neuron: Node, axon_scale: float, axon: ValueType) -> Current:
    """The current of a neuron in real units per integer axon, the neuron's input gain folded in."""
    gain = input_gain(neuron)
    weight = conv.tensors["weight"].astype(np.float64) * (gain * axon_scale)
    bias = bias_of(conv) * gain
    span = axon.range.union(Interval(0, 0))
    return Current(weight, bias, span, neuron.number("decay"), neuron.number("threshold"))


def bias_of(conv: Node) -> Float:
    """The bias of a traced convolution, float64 [Co]."""
    given = conv.tensors.get("bias")
    return np.zeros(len(conv.tensors["weight"])) if given is None else given.astype(np.float64)


def quantize_conv(build: Builder, node: Node) -> None:
    """A traced conv becomes an int8 conv whose unit suits the neuron that it drives."""
    axon = axon_of(build, node)
    node = _with_bias_of(node, axon)
    if node.name in build.shares:
        _quantize_shared(build, node, axon, build.shares[node.name])
        return
    _, reader = driven(build.traced, node)
    if reader.op == "time_mean":
        _quantize_head(build, node, axon)
        return
    known, bits = build.types[axon.name], build.options.bits(node.name)
    current = current_of(node, reader, axon.scale, known)
    if seen := _seen(build, node, axon, current.weight, current.bias, input_gain(reader)):
        _quantize_seen(build, node, axon, current, seen)
        return
    if groups := _groups(build, node, current, bits):
        _quantize_grouped(build, node, axon, current, groups)
        return
    scale = choose_scale(current, bits, build.traced.steps, build.options.profile)
    if scale is None:
        raise _too_tight(build)
    _refuse_clipped(scale.clipped)
    _emit_conv(build, node, axon, scale.weight, scale.unit / input_gain(reader))
    _report_scale(build, node, scale, bits)


def _unseen(build: Builder) -> dict[str, object]:
    """What is told of a layer that data should have rounded, whose inputs wait for a unit that waits for it."""
    if build.samples is None:
        return {}
    return {"rounding": "nearest", "because": "its inputs are known only once its unit is chosen"}


def _seen(build: Builder, node: Node, axon: Quantity, weight: Float, bias: Float, gain: float) -> Seen | None:
    """What the layer reads on the samples; None where the rounding looks at none, or where they are not there yet."""
    if build.samples is None:
        return None
    build.samples.advance()
    build.say(f"quantize {node.name}")
    known = axon.name in build.samples.integers and node.inputs[0] in build.samples.reals
    return Seen(build, node, axon, weight, bias, gain) if known else None


def _quantize_seen(build: Builder, node: Node, axon: Quantity, current: Current, seen: Seen) -> None:
    """A conv whose integers are chosen by what it reads."""
    path, reader = driven(build.traced, node)
    bits, options, gain = build.options.bits(node.name), build.options, input_gain(reader)
    vth = None
    if options.scale == "weight":
        scale = choose_scale(current, bits, build.traced.steps, options.profile)
        vth = None if scale is None else scale.vth
    chosen = choose(build, Layer(path, reader, current, bits), seen, vth)
    if chosen is None:
        raise _too_tight(build)
    if options.threshold_groups > 1 and _keeps_channels(path):
        chosen = grouped(build, Layer(path, reader, current, bits), seen, chosen)
    _, clipped, zeroed = onto_grid(seen.weight / by_row(chosen.unit, seen.weight), bits)
    _refuse_clipped(clipped)
    _emit_fit(build, node, axon, chosen.fit, chosen.unit / gain, seen, gain)
    largest = int(np.abs(chosen.fit.integers).max(initial=0))
    facts = {**_thresholds(chosen.vth, chosen.unit), "largest_weight": largest, "clipped": clipped, "zeroed": zeroed}
    build.report(node, kind="conv", weight_bits=bits, **facts, **_how(build, chosen.fit))


def _thresholds(vth: int | Int64, unit: float | Float) -> dict[str, object]:
    """What is told of a layer's thresholds: of groups the largest, and how many channels have each."""
    distinct, channels = np.unique(vth, return_counts=True)
    groups = {"thresholds": distinct.tolist(), "channels": channels.tolist()} if np.size(vth) > 1 else {}
    return {"vth": int(np.max(vth)), "unit": float(np.min(unit)), **groups}


def _keeps_channels(path: list[Node]) -> bool:
    """Whether each window that is pooled on the way to the neuron holds one channel."""
    views = [step.op != "max_pool" for step in path]
    return views == sorted(views)


def _how(build: Builder, fit: Fit) -> dict[str, object]:
    options = build.options
    return {
        "rounding": options.rounding,
        "scale_by": options.scale,
        "bias_corrected": options.bias_correction is True,
        "current_error": _short(np.sqrt(fit.error)),
        "current_error_nearest": _short(np.sqrt(fit.nearest)),
    }


def _short(value: float) -> float | None:
    """Four digits: what a sum of floats is, whatever adds it. JSON has no infinity."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _emit_fit(
    build: Builder, node: Node, axon: Quantity, fit: Fit, unit: float | Float, seen: Seen, gain: float
) -> None:
    node = replace(node, tensors=with_bias(node, fit.bias / gain)) if fit.bias.any() or "bias" in node.tensors else node
    _emit_conv(build, node, axon, fit.integers, unit)
    kept = np.clip(seen.weight / by_row(unit * gain, seen.weight) - fit.integers, -WITHIN, WITHIN)
    build.exact[node.name] = fit.integers + kept


def _groups(build: Builder, node: Node, current: Current, bits: int) -> Groups | None:
    """Groups of channels with a threshold each, where they are asked for and lower the error enough."""
    path, _ = driven(build.traced, node)
    if build.options.threshold_groups == 1 or not _keeps_channels(path):
        return None
    profile, steps = build.options.profile, build.traced.steps
    found = choose_groups(current, bits, build.options.threshold_groups, profile, steps)
    if found is None or found.count == 1:
        return None
    units = by_row(current.threshold / found.vth, current.weight)
    sums = sums_of(round_to(current.weight / units, bits), current.axon).union(Interval(0, 0))
    if onto_grid(current.weight / units, bits)[1] > MOST_CLIPPED:
        return None
    return found if fits_sums(found.vth, current, current.bias, sums, steps, profile) else None


def _quantize_grouped(build: Builder, node: Node, axon: Quantity, current: Current, groups: Groups) -> None:
    """A conv whose channels have units of their own."""
    _, reader = driven(build.traced, node)
    bits, unit = build.options.bits(node.name), current.threshold / groups.vth
    integers, clipped, zeroed = onto_grid(current.weight / by_row(unit, current.weight), bits)
    _refuse_clipped(clipped)
    _emit_conv(build, node, axon, integers, unit / input_gain(reader))
    facts = {
        **_thresholds(groups.vth, unit),
        "largest_weight": int(np.abs(integers).max(initial=0)),
        "clipped": clipped,
        "zeroed": zeroed,
    }
    build.report(node, kind="conv", weight_bits=bits, **facts)


def _quantize_shared(build: Builder, node: Node, axon: Quantity, share: Share) -> None:
    """A conv of a stream: its unit is that of the others; one of larger weights counts in 2, 4, .. of them."""
    bits, unit = build.options.bits(node.name), share.unit * (1 << share.doublings)
    weight = node.tensors["weight"].astype(np.float64) * axon.scale
    integers, clipped, zeroed = onto_grid(weight / unit, bits)
    _refuse_clipped(clipped)
    how: dict[str, object] = _unseen(build)
    if seen := _seen(build, node, axon, weight, bias_of(node), 1.0):
        fit = seen.fit(unit, (1 << (bits - 1)) - 1, sums_of(integers, seen.axon))
        integers, how = fit.integers, _how(build, fit) | {"scale_by": "stream"}
        _emit_fit(build, node, axon, fit, unit, seen, 1.0)
    else:
        _emit_conv(build, node, axon, integers, unit)
    current = build.values[node.name]
    build.values[node.name] = Quantity(doubled(build, node, current.name, share.doublings), share.unit, current.bias)
    facts = {"unit": unit, "largest_weight": int(np.abs(integers).max(initial=0)), "clipped": clipped, "zeroed": zeroed}
    build.report(node, kind="conv", weight_bits=bits, **facts, **how)


def _refuse_clipped(clipped: float) -> None:
    if clipped > MOST_CLIPPED:
        need, have = "weights below the largest integer times the threshold", f"{clipped:.0%} of them are beyond"
        raise Refused("ND-Q014", need, have, "check the weights of this layer, or give it more weight_bits")


def _with_bias_of(node: Node, axon: Quantity) -> Node:
    """The conv with what the bias of its axons, one a channel, makes of its own; it has no padding."""
    if axon.bias is None:
        return node
    weight, groups = node.tensors["weight"].astype(np.float64), node.integer("groups")
    taps = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1).sum(axis=3)
    shift = (taps * axon.bias.reshape(groups, 1, -1)).sum(axis=2).reshape(-1)
    bias = shift + node.tensors.get("bias", np.zeros(len(weight)))
    return replace(node, tensors={**node.tensors, "bias": tensor(bias, np.float64)})


def _report_scale(build: Builder, node: Node, scale: LayerScale, bits: int) -> None:
    """Note the width and scale of a layer."""
    facts = {
        "vth": scale.vth,
        "unit": scale.unit,
        "largest_weight": int(scale.worth()),
        "clipped": scale.clipped,
        "zeroed": scale.zeroed,
    }
    build.report(node, kind="conv", weight_bits=bits, **facts, **_unseen(build))


def _too_tight(build: Builder) -> Refused:
    """No scale exists for which the interval proof holds."""
    widths = build.options.profile
    need = f"activation in {widths.activation_bits} bits, bias in {widths.bias_bits} bits << {widths.bias_exponent_max}"
    have = "even a threshold of 1 leaves them"
    return Refused(TOO_TIGHT, need, have, "train with smaller biases or a higher threshold in this layer")


def _emit_conv(build: Builder, node: Node, axon: Quantity, weight: object, unit: float | Float) -> None:
    """unit: worth of one integer, of all output channels or of each."""
    keys = ("stride", "padding", "groups")
    attributes = {key: node.attributes[key] for key in keys}
    name = build.emit("conv", node, (axon.name,), attributes, {"weight": tensor(weight, np.int8)})
    exact = node.tensors["weight"].astype(np.float64)
    build.exact[name] = exact * (axon.scale / by_row(unit, exact))
    rank, bias, units = len(build.types[name].shape), None, None
    if "bias" in node.tensors:
        bias = node.tensors["bias"].astype(np.float64).reshape(-1, *[1] * (rank - 1))
    if np.ndim(unit):
        units = np.asarray(unit, np.float64).reshape(-1, *[1] * (rank - 1))
    build.values[node.name] = Quantity(name, float(np.min(unit)), bias, units)


def _bias_unit(build: Builder, node: Node) -> float:
    """The least unit in which the read-out's bias, T times, stays within BIAS_BITS bits."""
    bias = np.abs(node.tensors["bias"].astype(np.float64)).max(initial=0.0) if "bias" in node.tensors else 0.0
    return float(bias) * build.traced.steps / (1 << BIAS_BITS)


def _quantize_head(build: Builder, node: Node, axon: Quantity) -> None:
    """The read-out's weights: the largest one takes the whole width, unless a worst case leaves the payload's.

    Logits are sums, nothing fires. Many tokens are the tight case: 768 axons of up to 16 * 196 each at 224 pixels.
    """
    bits = build.options.bits(node.name)
    weight = node.tensors["weight"].astype(np.float64) * axon.scale
    largest = float(np.abs(weight).max(initial=0)) or 1.0
    unit = max(largest / ((1 << (bits - 1)) - 1), _bias_unit(build, node))
    span, most = build.types[axon.name].range, build.options.profile.payload_max
    while (sums := conv_sums(round_to(weight / unit, bits), span).magnitude) > most:
        unit *= max(sums / most, FINEST_STEP)
    integers, how = round_to(weight / unit, bits), _unseen(build)
    if seen := _seen(build, node, axon, weight, bias_of(node), 1.0):
        unit, fit = _head_fit(seen, unit, bits, most)
        integers, how = fit.integers, _how(build, fit) | {"scale_by": "current"}
        _emit_fit(build, node, axon, fit, unit, seen, 1.0)
    else:
        _emit_conv(build, node, axon, integers, unit)
    largest_weight = int(np.abs(integers).max(initial=0))
    build.report(node, kind="head", weight_bits=bits, unit=unit, largest_weight=largest_weight, **how)


def _head_fit(seen: Seen, unit: float, bits: int, most: int) -> tuple[float, Fit]:
    """The unit of least error of the logits, from the one that clips nothing to finer ones; nothing fires behind."""
    top = (1 << (bits - 1)) - 1
    units = [unit / factor for factor in np.geomspace(1.0, most_clipping(bits), HEAD_TRIES)]
    costs = seen.errors(units, top)
    limit = Interval(-most, most)
    best = units[int(np.argmin(costs))]
    return best, seen.fit(best, top, limit)
