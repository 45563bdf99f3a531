"""The lowered network with its crossbars as patterns: what is counted, tiled and placed, and never listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod

import numpy as np

from neurodeploy.errors import Finding, UnsupportedModelError
from neurodeploy.ir.chip import Bias, ChipNetwork, Filters, Grid, Nest, Neurons, Synapses
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.mapped import AttentionOrder, ConvWeights, NeuronChoice, Population, Residual
from neurodeploy.mapping.builder import Joint, Network, through
from neurodeploy.mapping.group_patterns import pieces
from neurodeploy.mapping.groups import Parts, parts_of, renamed
from neurodeploy.mapping.layout import Layout, dense, nest, regridded, renumbered
from neurodeploy.mapping.lower import walk
from neurodeploy.mapping.stream import Plan


def lower(
    graph: Graph,
    attention: AttentionOrder = "auto",
    neurons: NeuronChoice = "stock",
    residual: Residual = "graded",
) -> ChipNetwork:
    """The symbolic network of a quantized graph: that of `mapping.lower`, in patterns.

    Raises UnsupportedModelError for an op without a lowering, or a convolution whose image lies among its neurons so
    that no pattern expresses it (ND-M151), DoesNotFitError where a bound fails.
    """
    state = walk(graph, attention, neurons, residual)
    network = state.network
    parts = {p.name: parts_of(p, network.thresholds.get(p.name)) for p in network.populations.values()}
    found = [_synapses(joint, whole(pattern), parts) for joint, pattern in patterns_of(network)]
    return ChipNetwork(
        name=graph.name,
        profile=network.profile.name,
        steps=network.steps,
        period=network.period,
        neurons=tuple(_neurons(p, state.plan) for own in parts.values() for p in own.populations),
        synapses=tuple(one for synapses in found for one in synapses),
        output=state.signal(state.graph.output).population,
        wholes={name: parts[name].whole(network.populations[name].shape) for name in network.thresholds},
    )


def _synapses(joint: Joint, pattern: Nest | Filters, parts: Mapping[str, Parts]) -> Iterator[Synapses]:
    """A crossbar of the symbolic network, or one for each pair of parts, and for each run of their channels.

    Raises UnsupportedModelError (ND-M151).
    """
    source, target = parts[joint.source], parts[joint.target]
    found, seen = pieces(pattern, source, target), Counter[str]()
    if found is None:
        raise UnsupportedModelError([_refused(joint)])
    for p, q, piece in found:
        of, onto = source.populations[p], target.populations[q]
        name = renamed(joint, of.name, onto.name)
        seen[name] += 1
        name += f"@{seen[name]}" if seen[name] > 1 else ""
        yield Synapses(name, of.name, onto.name, piece, of.shape, onto.shape, joint.port, joint.delay, joint.late)


def patterns_of(network: Network) -> list[tuple[Joint, Nest | Filters]]:
    """Every crossbar with its pattern; shared weights stay int8. Raises UnsupportedModelError (ND-M151)."""
    found = [(joint, _pattern(network, joint)) for joint in network.crossbars]
    wrong = [_refused(joint) for joint, pattern in found if pattern is None]
    if wrong:
        raise UnsupportedModelError(wrong)
    return [(joint, pattern) for joint, pattern in found if pattern]


def whole(pattern: Nest | Filters) -> Nest | Filters:
    """The pattern with weights of int64, in which nobody's sums overflow."""
    return replace(pattern, weight=pattern.weight.astype(np.int64))


def _refused(joint: Joint) -> Finding:
    need, have = "an image whose axes have a stride each", "one that views have interleaved"
    return Finding("ND-M151", joint.name, need, have, "reorder the model's axes after this layer, or run it on Lava")


def _neurons(p: Population, plan: Plan | None) -> Neurons:
    every = plan is not None and plan.hears_all(p.name)
    who = (p.name, p.kind, p.shape, p.depth, p.interval)
    return Neurons(*who, vth=p.vth, dv=p.dv, du=p.du, bias=_bias(p), resets=p.resets, value=p.value, every=every)


def _bias(p: Population) -> Bias:
    """The arrays of biases that a population needs; an axis of one is shared."""
    if not p.bias_mant.any():
        return "none"
    own = (1,) * (len(p.shape) - p.bias_mant.ndim) + p.bias_mant.shape
    return "channel" if prod(own[1:]) == 1 else "neuron"


def synapses_of(network: Network, joint: Joint, pattern: Nest | Filters) -> Synapses:
    """A crossbar of the symbolic network."""
    source, target = (network.populations[name].shape for name in (joint.source, joint.target))
    ends = (joint.source, joint.target)
    return Synapses(joint.name, *ends, pattern, source, target, joint.port, joint.delay, joint.late)


def _pattern(network: Network, joint: Joint) -> Nest | Filters | None:
    """The pattern; that of shared weights from the views of its ports."""
    if not isinstance(joint.pattern, ConvWeights):
        return joint.pattern
    conv, target = joint.pattern, network.populations[joint.target]
    image = through(dense(network.populations[joint.source].shape), conv.in_views)
    if image is None or len(image.shape) != 3:
        return None
    height, width = (
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(image.shape[1:], conv.padding, conv.weight.shape[2:], conv.stride, strict=True)
    )
    result = (len(conv.weight), height, width)
    order = through(dense(result), conv.out_views)
    if order is None:
        return None
    return _filters(conv, image, result, order) or _one_tap(conv, image, result, order, dense(target.shape))


def _filters(conv: ConvWeights, image: Layout, result: tuple[int, int, int], order: Layout) -> Filters | None:
    """The convolution where both images have one stride an axis."""
    strides, (channel, row, column) = image.strides, dense(result).strides or (0, 0, 0)
    if strides is None:
        return None
    pattern = Filters(
        weight=conv.weight,
        stride=conv.stride,
        padding=conv.padding,
        groups=conv.groups,
        size_in=(image.shape[1], image.shape[2]),
        size_out=(result[1], result[2]),
        source=Grid(strides[0], strides[1], strides[2], image.offset),
        target=Grid(channel, row, column),
    )
    return regridded(pattern, order)


def _one_tap(
    conv: ConvWeights, image: Layout, result: tuple[int, int, int], order: Layout, target: Layout
) -> Nest | None:
    """A convolution of kernel 1, as tokens have it, on axes of several strides (heads and channels that lie apart)."""
    if conv.weight.shape[2:] != (1, 1) or conv.stride != (1, 1) or conv.padding != (0, 0):
        return None
    groups, width = conv.groups, conv.weight.shape[1]
    grouped = image.viewed(("reshape", (groups, width, *image.shape[1:])))
    if grouped is None:
        return None
    out = dense((groups, len(conv.weight) // groups, *result[1:])).expanded(2)
    weight = conv.weight.reshape(groups, -1, width, 1, 1)
    found = renumbered(nest(out, grouped.expanded(1), weight), order)
    return found and (renumbered(found, target) or found)
