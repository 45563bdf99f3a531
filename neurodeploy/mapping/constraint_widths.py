"""How many rows a converter or an accumulator can take, from the weights and the payloads themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from neurodeploy.ir.chip import ChipNetwork, Filters, Neurons, Synapses
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.tile_counts import factors
from neurodeploy.mapping.tile_inputs import Input, array_bits, shifts_of
from neurodeploy.numerics import PROFILES, Int64
from neurodeploy.targets import Target

EVERY = 1 << 62  # rows: more than there are


@dataclass(frozen=True)
class Fan:
    """Weights [outputs, terms] of the fan-in of each output, and how many axons each term stands for."""

    weights: Int64
    repeats: int


def fan_of(one: Synapses) -> Fan:
    """The fan-in of every output that has weights of its own; taps in the padding are counted as taps."""
    pattern = one.pattern
    if isinstance(pattern, Filters):
        return Fan(pattern.weight.reshape(len(pattern.weight), -1), 1)
    weight = pattern.weight.reshape(pattern.weight.shape or (1,) * len(pattern.axes))
    outs = [i for i, axis in enumerate(pattern.axes) if axis.target]
    terms = [i for i, axis in enumerate(pattern.axes) if not axis.target]
    table = weight.transpose(outs + terms).reshape(prod(weight.shape[i] for i in outs), -1)
    known = factors(one)
    fan_in = known.fan_in if known else prod(pattern.sizes)
    return Fan(table, -(-fan_in // max(1, table.shape[1])))


def cell_rows(inputs: Sequence[Input], target: Target) -> int:
    """Rows of which any may be active in one read, nothing clipped, whatever the image, from the cells' own levels.

    Levels as the target holds weights: with an offset of 2^(b-1), or positive and negative parts in columns of their
    own; a cell without a synapse holds weight 0; rows are driven with
    the most that a read can. Needs the design of an ADC without flipped columns; 0 for others.
    Of several inputs each has its worst output.
    """
    bits, cell = target.adc_bits, target.cell_bits
    if bits is None or cell is None or target.flag("adc", "flips_columns"):
        return 0
    offset, top = target.flag("crossbar", "offset"), min((1 << bits) - 1, EVERY) // target.drive
    width, shifts = array_bits(inputs), shifts_of(inputs)
    tables = _levels(width, cell, offset)
    alone = len(inputs) == 1 and inputs[0].turns and not _grouped(inputs[0])
    fewest = top if offset else EVERY  # the column that counts active rows holds ones
    for table in tables:
        empty = 0 if alone else int(table[1 << (width - 1)])
        fans = ((fan_of(one.synapses), shift) for one, shift in zip(inputs, shifts, strict=True))
        tails = [_tails(replace(fan, weights=fan.weights << shift), table, width, 1 << cell) for fan, shift in fans]
        joined = tails[0] if len(tails) == 1 else sum(t.max(axis=0, keepdims=True) for t in tails)
        joined[:, 1 : empty + 1] = EVERY  # as many rows without a synapse as one likes
        fewest = min(fewest, rows_within(joined, top))
    return fewest


def _grouped(one: Input) -> bool:
    return any(axis.channel and len(np.unique(axis.source)) > 1 for axis in one.factors.axes)


def _levels(width: int, cell: int, offset: bool) -> list[Int64]:
    """For each slice of a weight, the level of its cell for the weights from -2^(width-1) on."""
    weights = np.arange(-(1 << (width - 1)), 1 << (width - 1), dtype=np.int64)
    stored = [weights - weights[0]] if offset else [np.maximum(weights, 0), np.maximum(-weights, 0)]
    return [(one >> shift) & ((1 << cell) - 1) for one in stored for shift in range(0, width, cell)]


def _tails(fan: Fan, table: Int64, width: int, levels: int) -> Int64:
    """[outputs, levels]: cells of each output whose level is at least so high."""
    held = table.astype(np.uint8)[fan.weights + (1 << (width - 1))]
    found = [(held >= level).sum(axis=1, dtype=np.int64) for level in range(1, levels)]
    return np.stack([np.full(len(held), held.shape[1], np.int64), *found], axis=1) * fan.repeats


def rows_within(tails: Int64, top: int) -> int:
    """The most rows any of which together stay within `top`, over all outputs: the highest levels come first."""
    room, rows = np.full(len(tails), top, np.int64), np.zeros(len(tails), np.int64)
    going, above = np.ones(len(tails), np.bool_), np.zeros(len(tails), np.int64)
    for level in range(tails.shape[1] - 1, 0, -1):
        cells = tails[:, level] - above
        taken = np.where(going, np.minimum(cells, room // level), 0)
        rows, room, above = rows + taken, room - taken * level, tails[:, level]
        going &= taken == cells
    return int(np.where(going, EVERY, rows).min(initial=EVERY))


def accumulator(neurons: Neurons, network: ChipNetwork, target: Target) -> Interval:
    """What the summed input of a neuron may be: the profile's width, or the chip's own membrane if that is narrower."""
    profile = PROFILES[network.profile]
    most = profile.activation_max if neurons.kind == "lif" else profile.payload_max
    state = target.number("neuron", "state_bits")
    most = most if state is None else min(most, (1 << (int(state) - 1)) - 1)
    return Interval(-most, most)


def sums_of(inputs: Sequence[Synapses], network: ChipNetwork) -> Interval:
    """The worst case of what a neuron receives through these synapses; an axon may always be silent."""
    total = Interval(0, 0)
    for one in inputs:
        fan, sent = fan_of(one), network.by_name[one.source].interval
        up, down = (pick(fan.weights, 0).sum(axis=1) for pick in (np.maximum, np.minimum))
        exponent = getattr(one.pattern, "exponent", 0)
        high = int((up * max(sent.hi, 0) + down * min(sent.lo, 0)).max(initial=0))
        low = int((up * min(sent.lo, 0) + down * max(sent.hi, 0)).min(initial=0))
        shifted = Interval(int(_shifted(low, exponent)), int(_shifted(high, exponent)))
        total = total + shifted.scaled(fan.repeats)
    return total


def _shifted(value: Int64 | int, exponent: int) -> Int64 | int:
    """Times 2^exponent; below 0 a neuron has one such synapse, which rounds down."""
    return value << exponent if exponent >= 0 else value >> -exponent


def axons_within(inputs: Sequence[Synapses], network: ChipNetwork, width: Interval) -> int:
    """Axons of a neuron any of which together stay within a width: the largest contributions of either sign first."""
    sides = []
    for sign in (1, -1):
        parts = [_contributions(one, network, sign) for one in inputs]
        largest = np.sort(np.concatenate(parts))[::-1] if parts else np.zeros(0, np.int64)
        sides.append(int(np.searchsorted(np.cumsum(largest), width.hi if sign > 0 else -width.lo, "right")))
    return min(sides)


def _contributions(one: Synapses, network: ChipNetwork, sign: int) -> Int64:
    """The n-th largest term of any output, for all n."""
    fan, sent = fan_of(one), network.by_name[one.source].interval
    ends = np.stack([fan.weights * sign * end for end in (sent.lo, sent.hi, 0)])
    worst = np.sort(ends.max(axis=0), axis=1).max(axis=0)
    return np.repeat(_shifted(worst, getattr(one.pattern, "exponent", 0)), fan.repeats)
