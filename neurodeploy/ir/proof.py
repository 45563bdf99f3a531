"""The interval proof: no accumulator, payload, bias, threshold or membrane leaves its width in T steps.

Everything is computed in Python ints from the worst case of every input, so a proof holds for any image. Lava's CPU
models do not enforce these widths, and a run without overflow proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.infer import decay_of_current
from neurodeploy.ir.types import Interval, ValueType, signed, unsigned
from neurodeploy.ir.verify import types
from neurodeploy.numerics import NO_MEMORY, PROFILES, Profile

_NEXT = {"input payload": "fewer residual additions before this layer, or a spiking neuron in front of it"}
_NEXT_ELSE = "fewer weight_bits in this layer, or fewer inputs a neuron"


@dataclass(frozen=True)
class Bound:
    """One proven quantity: its worst-case interval beside the interval that the target has for it."""

    layer: str
    quantity: str
    interval: Interval
    limit: Interval
    source: str = ""

    @property
    def holds(self) -> bool:
        """Whether the worst case fits."""
        return self.interval.within(self.limit)


def symmetric(limit: int) -> Interval:
    """-limit..limit."""
    return Interval(-limit, limit)


def activation(node: Node, x: ValueType) -> Interval:
    """The summed synaptic input of a LIF, in weight units: x * 2^weight_exp."""
    return x.range.scaled(1 << node.integer("weight_exp"))


def remembers(node: Node) -> bool:
    """Whether the synaptic current of a LIF lasts beyond its step."""
    return decay_of_current(node) < NO_MEMORY


def bias_units(node: Node) -> Interval:
    """The bias of a LIF in membrane units, over all its neurons."""
    bias = node.tensors["bias_mant"].astype(np.int64)
    return Interval(int(bias.min()), int(bias.max())).scaled(1 << node.integer("bias_exp"))


def membrane(node: Node, x: ValueType, steps: int, profile: Profile) -> Interval:
    """The worst-case membrane before the fire rule over T steps, in membrane units.

    After each step a neuron either fired and is 0, or holds at most vth * 2^6; the decay truncates towards zero.
    """
    bias = bias_units(node)
    keep, ceiling = profile.decay_unit - node.integer("dv"), node.integer("vth") << profile.threshold_shift
    held = seen = Interval(0, 0)
    for current in currents(node, x, steps, profile):
        before = _decayed(held, keep, profile) + current + bias
        seen = seen.union(before)
        held = Interval(min(0, before.lo, ceiling), max(0, min(before.hi, ceiling)))
    return seen


def currents(node: Node, x: ValueType, steps: int, profile: Profile) -> Iterator[Interval]:
    """The worst-case synaptic current of each of the T steps, in membrane units, without the bias."""
    keep = profile.decay_unit - decay_of_current(node)
    fresh, current = activation(node, x).scaled(1 << profile.threshold_shift), Interval(0, 0)
    for _ in range(steps):
        current = _decayed(current, keep, profile) + fresh
        yield current


def _decayed(state: Interval, keep: int, profile: Profile) -> Interval:
    """The decay is monotonic, so the ends of an interval tell."""
    low, high = (abs(v) * keep >> profile.decay_bits for v in (state.lo, state.hi))
    return Interval(low if state.lo >= 0 else -low, high if state.hi >= 0 else -high)


def prove(graph: Graph) -> tuple[Bound, ...]:
    """Every bound of a quantized graph, in graph order, whether it holds or not."""
    profile, known = PROFILES[graph.profile], types(graph)
    return tuple(bound for node in graph.nodes for bound in node_bounds(node, known, graph.steps, profile))


def require_proof(graph: Graph) -> tuple[Bound, ...]:
    """The bounds of a graph that is safe. Raises DoesNotFitError with every bound that fails."""
    bounds = prove(graph)
    failed = [_finding(bound) for bound in bounds if not bound.holds]
    if failed:
        raise DoesNotFitError(failed)
    return bounds


def _finding(bound: Bound) -> Finding:
    bits = bound.interval.magnitude.bit_length()
    need = f"{bound.quantity} in {bound.limit} ({bound.limit.magnitude.bit_length()} bits of magnitude)"
    have = f"worst case {bound.interval} ({bits} bits of magnitude)"
    return Finding("ND-P001", bound.layer, need, have, _NEXT.get(bound.quantity, _NEXT_ELSE), bound.source)


def node_bounds(node: Node, known: Mapping[str, ValueType], steps: int, profile: Profile) -> Iterator[Bound]:
    """The bounds of one node; known: the types of its value and of its inputs, by name."""
    source, inputs = str(node.source), [known[name] for name in node.inputs]
    if node.op == "conv":
        weight = node.tensors["weight"]
        span = Interval(int(weight.min(initial=0)), int(weight.max(initial=0)))
        yield Bound(node.name, "weight", span, signed(profile.weight_bits), source)
        if weight.ndim > 2:
            width = unsigned if inputs[0].range.lo >= 0 else signed
            yield Bound(node.name, "input payload", inputs[0].range, width(profile.input_payload_bits), source)
    if profile.chip and node.op == "max_pool" and known[node.name].kind != "spikes":  # its ReLUs send differences
        span, most = inputs[0].range, symmetric(profile.payload_max)
        yield Bound(node.name, "difference in a window", symmetric(span.hi - span.lo), most, source)
    if node.op == "lif":
        yield from _lif_bounds(node, inputs[0], steps, profile)
    elif node.op == "readout":
        yield Bound(node.name, "payload", inputs[0].range, symmetric(profile.payload_max), source)
    elif known[node.name].kind in ("counts", "graded"):
        yield Bound(node.name, "accumulator", known[node.name].range, symmetric(profile.payload_max), source)


def _lif_bounds(node: Node, x: ValueType, steps: int, profile: Profile) -> Iterator[Bound]:
    source, mantissa = str(node.source), node.tensors["bias_mant"].astype(np.int64)
    vth, exponent = node.integer("vth"), node.integer("bias_exp")
    spans = {
        "activation": (activation(node, x), symmetric(profile.activation_max)),
        "threshold": (Interval(vth, vth), unsigned(profile.threshold_bits)),
        "bias mantissa": (Interval(int(mantissa.min()), int(mantissa.max())), signed(profile.bias_bits)),
        "bias exponent": (Interval(exponent, exponent), Interval(0, profile.bias_exponent_max)),
        "membrane": (membrane(node, x, steps, profile), symmetric(profile.state_max)),
    }
    if remembers(node):
        worst = reduce(Interval.union, currents(node, x, steps, profile), Interval(0, 0))
        spans["current"] = worst, symmetric(profile.state_max)
    for quantity, (interval, limit) in spans.items():
        yield Bound(node.name, quantity, interval, limit, source)
