"""What a network asks of a chip beside room: kinds of neurons, payloads, widths of weights, convolutions."""

from __future__ import annotations

from collections.abc import Iterator

from neurodeploy.errors import Finding
from neurodeploy.ir.chip import ChipNetwork, Filters, Neurons, Synapses
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping.tile_inputs import weight_bits_of
from neurodeploy.targets import Target

BITS = "compile with fewer weight bits (--weight-bits N, or auto with --budget)"
_OTHER = "a target that has them (neurodeploy targets list)"
_STOCK = f"--neurons stock, or {_OTHER}"
_INSTEAD = {
    "lif": "a target whose neurons leak by a factor, or a network that is trained for this chip's neuron",
    "sum": f"--residual spikes where spikes are counted, or {_OTHER}",
    "relu": f"--neurons custom on a programmable chip, a network that pools spikes and not currents, or {_OTHER}",
    "product": f"a network without products of activations (Q-K attention), or {_OTHER}",
    "hold": _STOCK,
    "memory": _STOCK,
    "max": _STOCK,
}
_WIDER = "or a target with wider payloads"
_NARROWER = {  # what makes payloads of a kind of neurons smaller
    "product": f"--attention kv-saturated or qk-saturated, {_WIDER}",
    "sum": f"--residual spikes where spikes are counted, {BITS} where currents are summed, {_WIDER}",
    "relu": f"{BITS}, {_WIDER}",
    "max": f"{BITS}, {_WIDER}",
}


def missing_features(network: ChipNetwork, target: Target) -> Iterator[Finding]:
    """Everything that the chip has not, of every population and pattern."""
    for neurons in network.neurons:
        yield from _neurons(neurons, target)
    for synapses in network.synapses:
        yield from _weights(synapses, target)
        if "convolution" in target.facts:
            yield from _convolution(synapses, target)


def _neurons(neurons: Neurons, target: Target) -> Iterator[Finding]:
    flag = "programmable" if neurons.custom else neurons.kind
    if neurons.kind != "source" and not target.flag("neuron", flag):
        known = target.value("neuron", flag)
        have = f"none on {target.title}" if known is False else f"no source says that {target.title} has them"
        kind = "custom neurons" if neurons.custom else f"{neurons.kind} neurons"
        yield Finding("ND-M202", neurons.name, kind, have, _INSTEAD[neurons.kind])
    bits = payload_bits(neurons.interval)
    if bits > target.graded:
        have = f"{target.graded} bits" if target.graded else "binary spikes"
        mend = _NARROWER.get(neurons.kind, f"spikes in place of numbers in this layer, {_WIDER}")
        yield Finding("ND-M203", neurons.name, f"payloads of {bits} bits ({neurons.interval})", have, mend)


def payload_bits(interval: Interval) -> int:
    """Bits of a payload, sign included; 0 for a binary spike."""
    if interval.within(BINARY):
        return 0
    return max(interval.hi.bit_length(), (-interval.lo - 1).bit_length() if interval.lo < 0 else 0) + 1


def _weights(synapses: Synapses, target: Target) -> Iterator[Finding]:
    bits, most = weight_bits_of(synapses), target.weight_bits
    mend = f"{BITS}, or take a target with wider weights"
    if most is not None and bits > most:
        yield Finding("ND-M204", synapses.target, f"weights of {bits} bits", f"{most} bits", mend)
    elif target.kind == "crossbar" and target.cells(bits) is None:
        yield Finding("ND-M204", synapses.target, f"cells for weights of {bits} bits", "none that hold them", mend)


def _convolution(synapses: Synapses, target: Target) -> Iterator[Finding]:
    """Limits of a chip whose cores compute nothing but convolutions."""
    filters = synapses.pattern
    if not isinstance(filters, Filters):
        mend = "a target whose cores hold any synapses"
        yield Finding("ND-M206", synapses.target, "synapses that are no convolution", "convolutions alone", mend)
        return
    out, width, *kernel = filters.weight.shape
    asked = {
        "kernel": (max(kernel), "a kernel of {} pixels"),
        "channels": (max(out, width * filters.groups), "{} channels"),
        "input": (max(filters.size_in), "an input of {} pixels"),
        "output": (max(filters.size_out), "an output of {} pixels"),
    }
    for key, (need, text) in asked.items():
        most = target.number("convolution", key)
        if most is not None and need > most:
            yield Finding("ND-M206", synapses.target, text.format(need), f"{most}", f"a smaller {key} in this layer")
    strides = target.value("convolution", "strides")
    allowed = strides if isinstance(strides, tuple) else (strides,)
    if strides is not None and not set(filters.stride) <= set(allowed):
        need, have = f"strides of {max(filters.stride)}", f"{', '.join(map(str, allowed))}"
        yield Finding("ND-M206", synapses.target, need, have, "another stride in this layer")
