"""Convolutions that read a current: its 8-bit code, which neurons find by successive approximation, bit by bit.

    r = current + offset;  for bit 7 .. 0:  fires where r >= 2^bit s;  r = r - 2^bit s where it fired

The neurons keep 1 / 4096 of their membrane, the least that a target's decay leaves, which is a fraction of a code. The
code saturates; s and the offset of each channel let it span what the float network's current reaches on calibration
images, and a quarter more.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from neurodeploy.images import spread
from neurodeploy.ir.graph import Node, tensor
from neurodeploy.numerics import Int64
from neurodeploy.quantize.builder import Builder, Quantity, Refused
from neurodeploy.quantize.floats import reaches
from neurodeploy.quantize.joins import doublings, weighted
from neurodeploy.quantize.scales import bias_grid, decay_to_dv

BITS = 8
HEADROOM = 1.25
IMAGES = 4  # calibration images that the reach is measured on


def axon_of(build: Builder, conv: Node) -> Quantity:
    """What a convolution reads: spikes and counts as they are, a current as its code.

    That is integers 0..255, and the bias that the offsets leave. Raises Refused where a current's bias is not one a
    channel, as behind a permute: the convolution could not take it into its own.
    """
    name = conv.inputs[0]
    if name not in build.streams:
        return build.values[name]
    if name not in build.codes:
        build.codes[name] = _code(build, build.traced.by_name[name])
    return build.codes[name]


def _code(build: Builder, current: Node) -> Quantity:
    x = build.values[current.name]
    if x.bias is not None and prod(x.bias.shape[1:]) > 1:
        need, have = "a current whose bias is one a channel", "a bias that differs along the map"
        raise Refused("ND-Q026", need, have, "put a spiking neuron in front of it")
    step, offset = _span(build, current.name, x)
    name, total = x.name, ""
    for bit in reversed(range(BITS)):
        like = replace(current, name=f"{current.name}.bit{bit}")
        fired = _bit(build, like, name, step << bit, offset)
        part = weighted(build, replace(like, name=f"{like.name}.worth"), fired, 1 << bit)
        total = part if not total else build.emit("add", replace(like, name=f"{like.name}.code"), (total, part), {})
        if bit:
            rest = weighted(build, replace(like, name=f"{like.name}.taken"), fired, -(step << bit))
            name = build.emit("add", replace(like, name=f"{like.name}.rest"), (name, rest), {})
    rank = len(build.types[x.name].shape) - 1
    bias = np.asarray((0.5 * step - offset.reshape(-1, *(1,) * rank)) * x.scale, np.float64)
    build.report(current, kind="code", bits=BITS, step=step * x.scale)
    return Quantity(total, step * x.scale, bias if x.bias is None else bias + x.bias)


def _span(build: Builder, name: str, x: Quantity) -> tuple[int, Int64]:
    """Units a code step, m 2^e with m an int8 weight, and what is added to each channel so that codes begin at 0."""
    if not build.reaches:
        coded = {conv.inputs[0] for stream in build.streams.values() for conv in stream.coding}
        images = spread(build.calibration, IMAGES)
        build.reaches |= reaches(build.traced, coded, images)
    bias = 0.0 if x.bias is None else np.broadcast_to(x.bias, build.types[x.name].shape)
    inner = tuple(range(1, np.ndim(bias)))
    low, high = build.reaches[name]
    low, high = low - np.max(bias, axis=inner), high - np.min(bias, axis=inner)
    wide = HEADROOM * float((high - low).max()) / x.scale / ((1 << BITS) - 1)
    step = max(1, int(np.ceil(wide)))
    power = doublings(step)
    step = -(-step >> power) << power
    middle = (low + high) / 2 / x.scale
    return step, np.rint((step << BITS) / 2 - middle).astype(np.int64)


def _bit(build: Builder, like: Node, name: str, worth: int, offset: Int64) -> str:
    """A neuron that fires where the value and the offset are worth the bit."""
    profile = build.options.profile
    rank = len(build.types[name].shape) - 1
    units = offset.reshape(-1, *(1,) * rank).astype(np.float64) * (1 << profile.threshold_shift)
    mantissa, exponent = bias_grid(units, profile)
    attributes = {"vth": worth - 1, "dv": decay_to_dv(1.0, profile), "weight_exp": 0, "bias_exp": exponent}
    return build.emit("lif", like, (name,), attributes, {"bias_mant": tensor(mantissa, np.int64)})
