"""Max-pooling: an OR of spikes, and for graded values a tree of ReLU neurons, axis by axis.

max(c0, c1, ..) = c0 + r1 + r2 + .. with r1 = relu(c1 - c0), r2 = relu(c2 - c0 - r1), ..: after each term the sum is the
largest of the taps so far. Taps that lie in the padding have no synapses.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from neurodeploy.ir.graph import Node
from neurodeploy.ir.mapped import SparseWeights
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.builder import Drive, Network, Signal, Synapses, positions, sparse
from neurodeploy.numerics import Int64


def any_of_window(network: Network, node: Node, signal: Signal) -> Drive:
    """The number of spikes in each window of [C, *S]; a stateless LIF with vth = 0 makes it an OR."""
    index = network.index(signal)
    taps = [_taps(*axis) for axis in _axes(node, index.shape[1:])]
    out = positions((index.shape[0], *map(len, taps)))
    pairs = [
        (_column(out, to), _column(index, at))
        for to in np.ndindex(*out.shape[1:])
        for at in product(*(taps[axis][i] for axis, i in enumerate(to)))
    ]
    rows, cols = (np.concatenate(part) for part in zip(*pairs, strict=True))
    count = Interval(0, prod(node.integers("kernel")))
    return Drive(tuple(out.shape), count, (Synapses(signal.population, sparse(rows, cols, 1)),))


def largest_of_window(network: Network, node: Node, signal: Signal) -> Drive:
    """The maximum of each window of graded values, as the drive that the last pass leaves behind."""
    spatial = network.index(signal).shape[1:]
    windows = list(_axes(node, spatial))
    for axis in range(len(spatial), 0, -1):
        drive = _axis_maximum(network, f"{node.name}/axis{axis}", signal, axis, _taps(*windows[axis - 1]))
        if axis > 1:
            signal = network.graded(f"{node.name}/axis{axis}", drive)
    return drive


def _column(index: Int64, place: tuple[int, ...]) -> Int64:
    """All channels at one position."""
    key: tuple[Any, ...] = (slice(None), *place)
    return np.asarray(index[key]).reshape(-1)


def _axes(node: Node, spatial: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """(length, kernel, stride, padding) an axis."""
    return list(zip(spatial, node.integers("kernel"), node.integers("stride"), node.integers("padding"), strict=True))


def _taps(length: int, kernel: int, stride: int, padding: int) -> list[list[int]]:
    """For each output position the input positions of its window that lie inside."""
    count = (length + 2 * padding - kernel) // stride + 1
    starts = [i * stride - padding for i in range(count)]
    return [[x for x in range(start, start + kernel) if 0 <= x < length] for start in starts]


def _axis_maximum(network: Network, name: str, signal: Signal, axis: int, taps: list[list[int]]) -> Drive:
    """The maximum along one axis: drive c0 + r1 + .., with one ReLU population a further tap."""
    index = network.index(signal)
    shape = tuple(len(taps) if i == axis else n for i, n in enumerate(index.shape))
    out, span = positions(shape), network.interval(signal)
    width = Interval(0, span.hi - span.lo)
    base = Synapses(signal.population, _tap(index, out, axis, {i: t[0] for i, t in enumerate(taps)}, 1))
    found: list[str] = []
    for tap in range(1, max(map(len, taps))):
        present = {i: t[tap] for i, t in enumerate(taps) if len(t) > tap}
        first = {i: taps[i][0] for i in present}
        parts = [
            Synapses(signal.population, _tap(index, out, axis, present, 1)),
            Synapses(signal.population, _tap(index, out, axis, first, -1)),
            *(Synapses(r, _tap(out, out, axis, {i: i for i in present}, -1)) for r in found),
        ]
        reach = Interval(-width.hi * (1 + len(found)), width.hi)
        found.append(network.graded(f"{name}/relu{tap}", Drive(shape, reach, tuple(parts)), "relu").population)
    gains = [Synapses(r, sparse(out, out, 1)) for r in found]
    return Drive(shape, span, (base, *gains))


def _tap(index: Int64, out: Int64, axis: int, taps: dict[int, int], weight: int) -> SparseWeights:
    """Synapses from input position taps[i] to output position i along an axis."""
    rows = out.take(list(taps), axis=axis)
    cols = index.take(list(taps.values()), axis=axis)
    return sparse(rows, cols, weight)
