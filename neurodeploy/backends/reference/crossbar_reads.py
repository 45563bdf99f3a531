"""Reads of ADC crossbars: cells times active rows, each column's sum clipped by its ADC, joined by shifts and adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.reference.crossbar_cells import Crossbar, Part, parts
from neurodeploy.backends.reference.ops import windows
from neurodeploy.ir.graph import Node
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.numerics import Int64

VALUES = 1 << 20  # taps, or codes, that are laid out at a time


@dataclass
class Layer:
    """A layer of synapses on crossbars: what one step takes, and what was counted so far.

    kind: conv or sum.  rows: fan-in of a neuron.  outputs: neurons a position.  positions: each has reads of its own.
    planes: reads that its numbers take, bit by bit or unit by unit.  tiles: that hold each weight once.
    reads: of all tiles in a step.  serial: those of one tile, one after another.  conversions: of all ADCs in a step.
    steps: run so far, over all samples.  clipped: conversions whose sum was beyond the ADC.
    saturated: sums of the digital side that left their proven interval and were held at its ends.
    """

    name: str
    kind: str
    rows: int
    outputs: int
    positions: int
    planes: int
    tiles: int
    reads: int
    serial: int
    conversions: int
    steps: int = 0
    clipped: int = 0
    saturated: int = 0

    @property
    def clipped_share(self) -> float:
        """Of all conversions so far, those that clipped."""
        return self.clipped / max(1, self.steps * self.conversions)


def planned(node: Node, x: ValueType, y: ValueType, crossbar: Crossbar) -> Layer:
    """What one step of a conv or a reduce_sum takes; x, y: types of its input and its value.

    Groups of a convolution have tiles of their own. Positions share the weights: they are read one after another.
    """
    groups = node.integer("groups") if node.op == "conv" else 1
    shape = node.tensors["weight"].shape if node.op == "conv" else (1, x.size // y.size)
    outputs, rows = shape[0] // groups, prod(shape[1:])
    held = [min(crossbar.rows, rows - start) for start in range(0, rows, crossbar.rows)]
    turns = [-(-n // crossbar.active_rows) for n in held]  # reads until each row of a part has been driven
    beside = -(-outputs // crossbar.neurons)
    positions, planes = y.size // shape[0], len(places(x.range, crossbar))
    once = positions * planes * groups * sum(turns)
    return Layer(
        node.name,
        "conv" if node.op == "conv" else "sum",
        rows,
        shape[0],
        positions,
        planes,
        tiles=groups * beside * len(held),
        reads=once * beside,
        serial=positions * planes * max(turns, default=0),
        conversions=once * (outputs * crossbar.cells + beside * crossbar.units),
    )


def places(span: Interval, crossbar: Crossbar) -> tuple[int, ...]:
    """What the codes of each read of a number in `span` are worth; of a signed one, the last read is its sign."""
    if crossbar.inputs == "repeats":
        return (1,) * max(0, span.hi) + (-1,) * max(0, -span.lo)
    bits = max(span.hi, -span.lo - 1, 0).bit_length()
    sign = (-(1 << bits),) if span.lo < 0 else ()
    return (*(1 << bit for bit in range(0, bits, crossbar.input_bits)), *sign)


def planes(x: Int64, span: Interval, crossbar: Crossbar) -> Iterator[tuple[int, Int64]]:
    """Each read of numbers: what it is worth, and how much it puts onto each row; x = sum of worth times that."""
    worth = places(span, crossbar)
    if crossbar.inputs == "repeats":
        yield from ((1, np.int64(1) * (x > unit)) for unit in range(worth.count(1)))
        yield from ((-1, np.int64(1) * (x < -unit)) for unit in range(worth.count(-1)))
        return
    low = x & max((-place for place in worth if place < 0), default=0) - 1
    for place in worth:
        yield place, np.int64(1) * (x < 0) if place < 0 else low // place & crossbar.drive


def convert(driven: NDArray[np.floating], part: Part, crossbar: Crossbar) -> tuple[NDArray[np.floating], Int64]:
    """The codes of each column, added up over the reads; and how many conversions of each clipped.

    driven: [positions, rows].  A read drives the next active_rows rows; code = min(sum of levels, top).
    That is the sum over all rows, less what single reads had beyond the top, which is nothing where no more rows are
    driven than top / (levels - 1). Floats are exact: no sum reaches 2^24 in float32, 2^53 in float64.
    """
    codes = driven @ part.levels
    clipped = np.zeros(part.levels.shape[1], np.int64)
    for start in range(0, len(part.levels), crossbar.active_rows):
        read = slice(start, start + crossbar.active_rows)
        full = np.flatnonzero(driven[:, read].sum(axis=1) * crossbar.level > crossbar.top)
        beyond = np.maximum(driven[full, read] @ part.levels[read] - crossbar.top, 0)
        codes[full] -= beyond
        clipped += np.count_nonzero(beyond, axis=0)
    return codes, clipped


def shift_and_add(codes: NDArray[np.floating], part: Part, crossbar: Crossbar) -> NDArray[np.float64]:
    """The digital side: codes [positions, columns] to sums [positions, outputs]; float64, exact below 2^53."""
    slices, outputs = part.factor.shape
    sums = np.zeros((len(codes), outputs))
    if crossbar.units:
        sums += codes[:, -1:] * part.unit.astype(np.float64)
    for index in range(slices):
        sums += codes[:, index * outputs : (index + 1) * outputs] * part.factor[index].astype(np.float64)
    return sums


def product(x: Int64, weight: Int64, span: Interval, crossbar: Crossbar, layer: Layer) -> Int64:
    """Numbers x in `span` [positions, fan-in] times weights [outputs, fan-in], as the crossbars read it."""
    outputs = len(weight)
    total = np.zeros((len(x), outputs))
    beside = -(-outputs // crossbar.neurons)  # tiles that count the active rows, each in a unit column of its own
    for part in parts(weight, crossbar):
        for worth, driven in planes(x[:, part.rows], span, crossbar):
            codes, clipped = convert(driven.astype(part.levels.dtype), part, crossbar)
            total += worth * shift_and_add(codes, part, crossbar)
            layer.clipped += int(clipped.sum()) + (beside - 1) * crossbar.units * int(clipped[-1])
    return total.astype(np.int64)


def conv(node: Node, x: Int64, span: Interval, crossbar: Crossbar, layer: Layer) -> Int64:
    """A convolution, or a linear layer: rows are input channels, then the kernel, as its weights lie in memory."""
    weight, groups = node.tensors["weight"].astype(np.int64), node.integer("groups")
    rank, width = x.ndim, max(weight[0].size * groups, len(weight) * crossbar.cells)
    view = np.moveaxis(windows(x, weight.shape[2:], node, fill=0), 1, rank - 1)  # [N, *S', Ci, *K]
    at = view.shape[: rank - 1]
    sums = np.zeros((prod(at), len(weight)), np.int64)
    index = np.unravel_index(np.arange(len(sums)), at)
    kernels = weight.reshape(groups, len(weight) // groups, -1)
    size = max(1, VALUES // width)
    for start in range(0, len(sums), size):
        part = slice(start, start + size)
        taps = view[tuple(axis[part] for axis in index)].reshape(len(sums[part]), groups, -1)
        found = [product(taps[:, g], kernels[g], span, crossbar, layer) for g in range(groups)]
        sums[part] = np.concatenate(found, axis=1)
    return np.moveaxis(sums.reshape(*at, len(weight)), -1, 1)


def reduce_sum(node: Node, x: Int64, span: Interval, crossbar: Crossbar, layer: Layer) -> Int64:
    """A sum over axes: a weight of 1 a term, the terms in C order."""
    axes = tuple(axis + 1 for axis in node.integers("axes"))
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    terms = np.transpose(x, (*kept, *axes)).reshape(prod(x.shape[axis] for axis in kept), -1)
    sums = product(terms, np.ones((1, terms.shape[1]), np.int64), span, crossbar, layer)
    kept_shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    return sums.reshape(kept_shape if node.integer("keepdims") else [x.shape[axis] for axis in kept])
