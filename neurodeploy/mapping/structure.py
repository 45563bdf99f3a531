"""What the structure of a network proves about which neurons can be active in one step.

Two facts: at most k neurons along an axis of a population (one-hot codes, and what is gated by them), and pairs of
populations of which a neuron of one and its twin in the other are never active together (a mask and what it inhibits).
They follow from stateless neurons, which answer to the inputs of the step alone; all inputs of a population are of one
sample and step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from neurodeploy.ir.chip import ChipNetwork, Nest, Neurons, Synapses
from neurodeploy.ir.chip_loops import places
from neurodeploy.ir.types import BINARY
from neurodeploy.mapping.tile_counts import Factors, factors
from neurodeploy.numerics import PROFILES


@dataclass(frozen=True)
class AtMost:
    """Of the neurons along an axis of a population, the others fixed, at most `count` are active in one step."""

    axis: int
    count: int


@dataclass
class Structure:
    """Facts of a network.  most: population -> facts.  apart: pairs of populations, twins of which are never active
    together.
    """

    most: dict[str, tuple[AtMost, ...]] = field(default_factory=dict)
    apart: set[frozenset[str]] = field(default_factory=set)


def structure_of(network: ChipNetwork, given: Mapping[str, tuple[AtMost, ...]] | None = None) -> Structure:
    """Everything that follows from the synapses and thresholds, and from what is given.

    given: what is known of populations beforehand, as of a source whose code is one-hot.
    """
    found = Structure(dict(given or {}))
    for neurons in sorted(network.neurons, key=lambda one: one.depth):
        if _stateless(neurons, network):
            _follow(network, neurons, found)
    return found


def _stateless(neurons: Neurons, network: ChipNetwork) -> bool:
    if neurons.kind == "product":
        return True
    unit = PROFILES[network.profile].decay_unit
    forgets = neurons.dv >= unit - 1 and neurons.du >= unit
    return neurons.kind == "lif" and forgets and neurons.bias == "none" and not neurons.resets and neurons.vth >= 0


def _follow(network: ChipNetwork, neurons: Neurons, found: Structure) -> None:
    """What the inputs of a stateless population say about it."""
    for one in network.inputs(neurons.name):
        known = factors(one)
        if known is None or known.fan_in != 1 or one.late:  # what comes late was active in another step
            continue
        others = [s for s in network.inputs(neurons.name) if s is not one and s.port == one.port]
        beside = sum(_highest(network, other) for other in others)
        if not others if neurons.kind == "product" else beside <= neurons.vth:  # it is silent wherever this input is
            held = tuple(f for fact in found.most.get(one.source, ()) for f in _through(fact, one, known))
            found.most[neurons.name] = found.most.get(neurons.name, ()) + held
        silenced = _alone(network, one) + beside <= neurons.vth
        if neurons.kind == "lif" and silenced and _twins(one, known):
            found.apart.add(frozenset((one.source, neurons.name)))


def _weights(one: Synapses) -> tuple[int, int]:
    weight = one.pattern.weight
    exponent = max(getattr(one.pattern, "exponent", 0), 0)  # a shift to the right only makes it less
    return int(weight.min(initial=0)) << exponent, int(weight.max(initial=0)) << exponent


def _highest(network: ChipNetwork, one: Synapses) -> int:
    """The most that one neuron can get from these synapses, at most."""
    known, sent = factors(one), network.by_name[one.source].interval
    fan_in = known.fan_in if known else network.by_name[one.source].size
    return fan_in * max(0, *(w * x for w in _weights(one) for x in (sent.lo, sent.hi)))


def _alone(network: ChipNetwork, one: Synapses) -> int:
    """The most that an active axon of a binary source adds; nothing is known of others."""
    most, exponent = int(one.pattern.weight.max(initial=-128)), getattr(one.pattern, "exponent", 0)
    binary = network.by_name[one.source].interval.within(BINARY)
    return 1 << 62 if not binary else most << exponent if exponent >= 0 else most >> -exponent


def _through(fact: AtMost, one: Synapses, known: Factors) -> list[AtMost]:
    """A fact about the source as one about the target, where an axis of one is an axis of the other."""
    along = []
    for axis, factor in enumerate(known.axes):
        moved = places(factor.source, one.source_shape)
        if not moved[fact.axis].any():
            continue
        alone = not np.delete(moved, fact.axis, axis=0).any()
        along.append((axis, alone and len(np.unique(moved[fact.axis])) == len(factor.source)))
    return [AtMost(along[0][0], fact.count)] if len(along) == 1 and along[0][1] else []


def _twins(one: Synapses, known: Factors) -> bool:
    """Whether neuron i of the source goes to neuron i of the target, for all."""
    if one.source_shape != one.target_shape or known.first or known.free != 1:
        return False
    strides = [prod(one.target_shape[axis + 1 :]) for axis in range(len(one.target_shape))]
    axes = zip(known.axes, strides, strict=True)
    return all(len(f.source) == f.extent and (f.source == f.coordinate * stride).all() for f, stride in axes)


def same_loops(one: Synapses, other: Synapses) -> bool:
    """Whether two patterns join the same neurons of their sources and targets, whatever the weights."""
    return (one.source_shape, one.target_shape, _geometry(one)) == (
        other.source_shape,
        other.target_shape,
        _geometry(other),
    )


def _geometry(one: Synapses) -> tuple[object, ...]:
    pattern = one.pattern
    if isinstance(pattern, Nest):
        return pattern.axes, pattern.target, pattern.source
    places = (pattern.stride, pattern.padding, pattern.groups, pattern.size_in, pattern.size_out)
    return pattern.weight.shape, *places, pattern.source, pattern.target
