"""Rows that may be active and sums, for the check of a placement: from converters, weights and payloads.

Nothing here is shared with the tiler or with the placer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import ChipNetwork, Filters, Nest, Neurons, Shape, Synapses
from neurodeploy.ir.types import Interval
from neurodeploy.numerics import PROFILES
from neurodeploy.targets import Target


def readable_rows(target: Target, rows: int) -> int:
    """Of a tile's rows, how many one read may switch on so that no converter clips, whatever cells and payloads hold.

    The columns of n rows at the highest level, each driven the most, are looked at for every n; without a converter
    all rows are added up. 0 rows where one cell is too much, and on chips without arrays.
    """
    if target.kind != "crossbar":
        return 0
    bits, cell = target.number("adc", "bits"), target.number("crossbar", "cell_bits")
    held, at_once = target.number("crossbar", "rows"), target.number("adc", "rows_a_read")
    if "adc" not in target.facts or bits is None or cell is None or held is None:
        return rows
    most = min(rows, int(held), int(at_once or held))
    return next((n for n in range(most, 0, -1) if _largest_sum(target, n, int(cell), int(held)) < 1 << int(bits)), 0)


def _largest_sum(target: Target, active: int, cell_bits: int, rows: int) -> int:
    """What the fullest column of an array reads with so many active rows, in units of a cell's lowest level.

    A flipped column holds at most half of what all its cells could (Shafiee et al. 2016, section IV), but the column
    of ones, which counts active rows, is never flipped.
    """
    drive: int = (1 << int(target.number("adc", "input_bits") or 1)) - 1
    level = (1 << cell_bits) - 1
    full = active * level
    if target.flag("adc", "flips_columns"):
        full = max(active, min(full, rows * level // 2))
    return full * drive


def sums_beyond(
    neurons: Neurons, network: ChipNetwork, target: Target, proven: Mapping[str, Interval]
) -> tuple[Interval, int] | None:
    """(worst sum of a port, largest sum there may be) of a population whose neurons may receive more; else None.

    proven: layer of the quantized graph -> its summed input by the interval proof.
    """
    profile = PROFILES[network.profile]
    most = profile.activation_max if neurons.kind == "lif" else profile.payload_max
    state = target.number("neuron", "state_bits")
    most = most if state is None else min(most, (1 << int(state) - 1) - 1)
    known = neurons.interval if neurons.kind == "sum" else proven.get(neurons.value) if neurons.kind == "lif" else None
    if known is not None and max(known.hi, -known.lo) <= most:
        return None
    ports: dict[str, list[Synapses]] = {}
    for one in network.inputs(neurons.name):
        ports.setdefault(one.port, []).append(one)
    for inputs in ports.values():
        ends = [_worst(one, network.by_name[one.source].interval) for one in inputs]
        low, high = sum(low for low, _ in ends), sum(high for _, high in ends)
        if max(high, -low) > most:
            return Interval(low, high), most
    return None


def _worst(one: Synapses, sent: Interval) -> tuple[int, int]:
    """The least and the most that any neuron gets through a crossbar; each axon may be silent."""
    table, times, exponent = _terms(one.pattern)
    low, high = min(sent.lo, 0), max(sent.hi, 0)
    gains, losses = np.maximum(table, 0).sum(axis=1), np.minimum(table, 0).sum(axis=1)
    most = int((gains * high + losses * low).max(initial=0)) * times
    least = int((gains * low + losses * high).min(initial=0)) * times
    return (least << exponent, most << exponent) if exponent >= 0 else (least >> -exponent, most >> -exponent)


def _terms(pattern: Nest | Filters) -> tuple[NDArray[np.int64], int, int]:
    """Weights [outputs, terms] that differ, how often each output adds them, and their exponent.

    Taps in the padding are taken as taps.
    """
    if isinstance(pattern, Filters):
        return pattern.weight.reshape(len(pattern.weight), -1), 1, 0
    own: Shape = pattern.weight.shape or (1,) * len(pattern.axes)
    weight = pattern.weight.reshape(own)
    walks = [i for i, axis in enumerate(pattern.axes) if axis.target]
    table = np.moveaxis(weight, walks, range(len(walks))).reshape(prod(own[i] for i in walks), -1)
    repeated = [axis.size for axis, n in zip(pattern.axes, own, strict=True) if not axis.target and n == 1]
    return table, prod(repeated) * _met(pattern), pattern.exponent


def _met(nest: Nest) -> int:
    """How often the loops that walk over targets come to the same one; 1 where they are digits of its index."""
    reach, moves = 0, sorted((abs(axis.target), axis.size) for axis in nest.axes if axis.target and axis.size > 1)
    for step, size in moves:
        if step <= reach:
            return _met_anew(moves)
        reach += step * (size - 1)
    return 1


def _met_anew(moves: Sequence[tuple[int, int]]) -> int:
    places = np.zeros(1, np.int64)
    for step, size in moves:
        places = (places[:, None] + np.arange(size) * step).reshape(-1)
    return int(np.bincount(places).max())
