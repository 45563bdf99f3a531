"""Convolutions: which neuron each one drives, and its integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.quantize.builder import Builder, Quantity, Refused
from neurodeploy.quantize.converter import axon_of
from neurodeploy.quantize.joins import doubled
from neurodeploy.quantize.scales import Current, LayerScale, choose_scale, onto_grid, round_to
from neurodeploy.quantize.streams import ENDS, PLAIN, Share

TOO_TIGHT = "ND-Q013"
MOST_CLIPPED = 0.5  # share of a layer's weights at the end of their range; beyond it the layer is another one
FINEST_STEP = 1.001  # by which the read-out's unit grows at least, where its sums leave the payload's width
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
    bias = conv.tensors["bias"].astype(np.float64) * gain if "bias" in conv.tensors else np.zeros(len(weight))
    span = axon.range.union(Interval(0, 0))
    return Current(weight, bias, span, neuron.number("decay"), neuron.number("threshold"))


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
    scale = choose_scale(current, bits, build.traced.steps, build.options.profile)
    if scale is None:
        raise _too_tight(build)
    _refuse_clipped(scale.clipped)
    _emit_conv(build, node, axon, scale.weight, scale.unit / input_gain(reader))
    _report_scale(build, node, scale, bits)


def _quantize_shared(build: Builder, node: Node, axon: Quantity, share: Share) -> None:
    """A conv of a stream: its unit is that of the others; one of larger weights counts in 2, 4, .. of them."""
    bits, unit = build.options.bits(node.name), share.unit * (1 << share.doublings)
    integers, clipped, zeroed = onto_grid(node.tensors["weight"] * (axon.scale / unit), bits)
    _refuse_clipped(clipped)
    _emit_conv(build, node, axon, integers, unit)
    current = build.values[node.name]
    build.values[node.name] = Quantity(doubled(build, node, current.name, share.doublings), share.unit, current.bias)
    facts = {"unit": unit, "largest_weight": int(np.abs(integers).max(initial=0)), "clipped": clipped, "zeroed": zeroed}
    build.report(node, kind="conv", weight_bits=bits, **facts)


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
    build.report(node, kind="conv", weight_bits=bits, **facts)


def _too_tight(build: Builder) -> Refused:
    """No scale exists for which the interval proof holds."""
    widths = build.options.profile
    need = f"activation in {widths.activation_bits} bits, bias in {widths.bias_bits} bits << {widths.bias_exponent_max}"
    have = "even a threshold of 1 leaves them"
    return Refused(TOO_TIGHT, need, have, "train with smaller biases or a higher threshold in this layer")


def _emit_conv(build: Builder, node: Node, axon: Quantity, weight: object, unit: float) -> None:
    keys = ("stride", "padding", "groups")
    attributes = {key: node.attributes[key] for key in keys}
    name = build.emit("conv", node, (axon.name,), attributes, {"weight": tensor(weight, np.int8)})
    build.exact[name] = node.tensors["weight"].astype(np.float64) * (axon.scale / unit)
    bias = None
    if "bias" in node.tensors:
        bias = node.tensors["bias"].astype(np.float64).reshape(-1, *[1] * (len(build.types[name].shape) - 1))
    build.values[node.name] = Quantity(name, unit, bias)


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
    integers = round_to(weight / unit, bits)
    _emit_conv(build, node, axon, integers, unit)
    build.report(node, kind="head", weight_bits=bits, unit=unit, largest_weight=int(np.abs(integers).max(initial=0)))
