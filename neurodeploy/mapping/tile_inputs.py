"""What the synapses onto a population ask of a chip, and where its spikes go: per pattern, in the chip's own units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from neurodeploy.ir.chip import ChipNetwork, Filters, Nest, Neurons, Shape, Synapses, taps
from neurodeploy.ir.chip_loops import places
from neurodeploy.mapping.tile_counts import Factors, factors
from neurodeploy.numerics import Int64
from neurodeploy.targets import Target


@dataclass(frozen=True)
class Counts:
    """Of a box, along all axes: synapses, different axons, different weights; and along those of the output channels:
    groups of input channels that are read, output channels. Numbers, or arrays of them.
    """

    synapses: Int64
    axons: Int64
    weights: Int64
    groups: Int64
    outputs: Int64


@dataclass(frozen=True)
class Input:
    """Synapses of one pattern on a chip.

    shared: a tile holds the weights of a convolution, or of a linear layer over tokens, once for all its places.
    rows: that one weight takes on a crossbar; 0 where it takes no cells: on other chips, and where digital adders
    behind an analog array take the axon as it is.
    memory_bits: of one synapse, or of one weight where they are shared; 0 on a crossbar, whose cells are its memory.
    """

    synapses: Synapses
    factors: Factors
    shared: bool
    rows: int
    memory_bits: int

    @property
    def turns(self) -> bool:
        """Whether the places of a convolution take turns on an array that holds its weights once."""
        return self.shared and self.rows > 0

    @cached_property
    def taps(self) -> int:
        """Positions of the kernel."""
        pattern = self.synapses.pattern
        return prod(pattern.weight.shape[2:]) if self.turns and isinstance(pattern, Filters) else 1

    @property
    def chunks(self) -> int:
        """Pieces of the fan-in that can go to tiles of their own: input channels and kernel positions, or terms."""
        return self.factors.free * self.taps if self.turns else self.factors.chunkable

    @cached_property
    def _before(self) -> Int64:
        """Synapses of one output channel in the first chunks of an input channel [taps + 1]."""
        pattern = self.synapses.pattern
        if not isinstance(pattern, Filters):
            return np.array([0, prod(len(axis.coordinate) for axis in self.factors.axes if not axis.channel)])
        held = np.outer(taps(pattern, 0), taps(pattern, 1)).reshape(-1)
        return np.concatenate([[0], np.cumsum(held)])

    def needs(self, counts: Counts, start: Int64, stop: Int64) -> dict[str, Int64]:
        """What the chunks from start to stop - 1 need in a tile of a box with these counts."""
        size, known = stop - start, self.factors
        if self.turns:
            channels = -(-stop // self.taps) - start // self.taps
            first, last = (at // self.taps * self._before[-1] + self._before[at % self.taps] for at in (start, stop))
            synapses, axons = counts.outputs * (last - first), counts.axons * channels
            return {"synapses": synapses, "axons_in": axons, "rows": self.rows * counts.groups * size}
        synapses, axons = (
            of * (n // self.chunks) * size for of, n in ((counts.synapses, known.free), (counts.axons, known.axons))
        )
        most = np.minimum(known.weights, known.free // self.chunks * size)
        memory = (counts.weights * most if self.shared else synapses) * self.memory_bits
        return {"synapses": synapses, "axons_in": axons, "rows": self.rows * axons, "synapse_memory": -(-memory // 8)}

    def piece(self, part: int, parts: int) -> tuple[int, int]:
        """First chunk of a part of the fan-in, and the one after its last: parts are as equal as can be."""
        return part * self.chunks // parts, (part + 1) * self.chunks // parts


@dataclass(frozen=True)
class Output:
    """Where a population's spikes go: tiles reached by the neurons at each place along every axis, times `each`.

    exact: else an upper bound.
    """

    along: tuple[Int64, ...]
    each: int
    exact: bool = True

    def table(self, axis: int, step: int) -> Int64:
        """[boxes]: tiles reached, added up over the neurons of a box along an axis."""
        return np.asarray(np.add.reduceat(self.along[axis], np.arange(0, len(self.along[axis]), step)))


@dataclass(frozen=True)
class View:
    """The axes that a population is cut along: its own, or all neurons in a row where a pattern is no product."""

    neurons: Neurons
    shape: Shape
    inputs: tuple[Input, ...]

    @property
    def flat(self) -> bool:
        """Whether all neurons are in a row."""
        return self.shape != self.neurons.shape


def view_of(network: ChipNetwork, neurons: Neurons, target: Target) -> View | None:
    """The population and its inputs; None where a pattern is too irregular to be counted."""
    synapses = network.inputs(neurons.name)
    for shape in dict.fromkeys((neurons.shape, (neurons.size,))):
        found = [factors(replace(s, target_shape=shape)) for s in synapses]
        known = [f for f in found if f is not None]
        if len(known) == len(found):
            inputs = tuple(_input(s, f, target) for s, f in zip(synapses, known, strict=True))
            return View(neurons, shape, _all_or_none_shared(inputs))
    return None


def _input(synapses: Synapses, known: Factors, target: Target) -> Input:
    most = target.weight_bits or target.arithmetic.weight_bits
    bits = min(weight_bits_of(synapses), most) if target.any_width else most
    shared = target.shares_weights and _layer(synapses)
    if target.kind != "crossbar":
        overhead = 0 if shared else int(target.number("synapse", "overhead_bits") or 0)
        return Input(synapses, known, shared, 0, bits + overhead)
    digital = "adc" in target.facts and target.adds_partial_sums and _repeats(synapses, known)
    rows = 0 if digital else (target.cells(weight_bits_of(synapses)) or (1, 1))[0]
    return Input(synapses, known, shared and _takes_turns(synapses, known), rows, 0)


def overhead_unknown(network: ChipNetwork, target: Target) -> bool:
    """Whether a list of synapses takes memory beside its weights, and nobody published how much: none is counted."""
    if target.kind == "crossbar" or target.number("synapse", "overhead_bits") is not None:
        return False
    return not all(target.shares_weights and _layer(synapses) for synapses in network.synapses)


def _layer(synapses: Synapses) -> bool:
    """Whether the weights are those of a layer, a convolution or a linear one, and no routing of weight one."""
    return isinstance(synapses.pattern, Filters) or synapses.pattern.weight.size > 1


def _takes_turns(synapses: Synapses, known: Factors) -> bool:
    """Whether an array can hold a layer's weights once: output channels beside input channels and kernel positions."""
    if isinstance(synapses.pattern, Filters):
        return any(axis.channel for axis in known.axes) and known.free == synapses.pattern.weight.shape[1]
    return all(axis.channel or not axis.entry.any() for axis in known.axes) and known.free == known.weights


def _all_or_none_shared(inputs: tuple[Input, ...]) -> tuple[Input, ...]:
    """On a crossbar the places of a convolution take turns, unless the neurons have other inputs on the array too."""
    if all(one.shared for one in inputs if one.rows):
        return inputs
    return tuple(replace(one, shared=False) if one.rows else one for one in inputs)


def _repeats(synapses: Synapses, known: Factors) -> bool:
    """Whether every neuron takes one axon, or its negative: what digital adders behind an array do without cells."""
    weight = synapses.pattern.weight
    return isinstance(synapses.pattern, Nest) and known.fan_in == 1 and bool((abs(weight) == 1).all())


def weight_bits_of(synapses: Synapses) -> int:
    """Bits of the pattern's widest weight, sign included."""
    weight = synapses.pattern.weight
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def shifts_of(inputs: Sequence[Input]) -> list[int]:
    """Bits by which the cells of each input on an array are moved up, where one column adds several exponents."""
    exponents = [getattr(one.synapses.pattern, "exponent", 0) for one in inputs]
    return [exponent - min(exponents) for exponent in exponents]


def array_bits(inputs: Sequence[Input]) -> int:
    """Bits of the widest weight on an array, sign included; 0 where no input takes cells."""
    held = [one for one in inputs if one.rows]
    widths = (weight_bits_of(one.synapses) + shift for one, shift in zip(held, shifts_of(held), strict=True))
    return max(widths, default=0)


def columns_of(view: View, target: Target) -> int:
    """Columns that a neuron takes; all its weights are as wide as the widest."""
    bits = array_bits(view.inputs)
    return (target.cells(bits) or (1, 1))[1] if bits else 0


def unit_columns(target: Target) -> int:
    """Columns of ones that count the active rows, where weights are held with an offset and read by a converter.

    Each tile has them beside its own columns, as `evaluate` has (`backends.reference.crossbar_reads`).
    """
    return int(target.flag("crossbar", "offset") and "adc" in target.facts)


Grids = Mapping[str, tuple[View, Shape]]  # of the populations that are cut: view, and step along its axes


def outputs_of(network: ChipNetwork, neurons: Neurons, shape: Shape, grids: Grids) -> tuple[Output, ...]:
    """Where the spikes of a population go, once all that it feeds is cut; shape: of its view."""
    found = []
    for synapses in network.outputs(neurons.name):
        view, step = grids[synapses.target]
        known = next(one.factors for one in view.inputs if one.synapses is synapses)
        found.append(_output(known, step, shape))
    return tuple(found)


def _output(known: Factors, step: Shape, shape: Shape) -> Output:
    """Each axis of the target, and each loop that all its neurons go through, reaches tiles of its own."""
    reached = [_reached(axis.source, axis.coordinate // s) for axis, s in zip(known.axes, step, strict=True)]
    reached += [_reached(loop.source, loop.source * 0) for loop in known.rest]
    along: list[Moves] = [(np.zeros(1, np.int64), np.ones(1, np.int64)) for _ in shape]
    each = 1
    for moves, tiles in reached:
        parts = _separated(moves, tiles, shape)
        if parts is None:
            return _at_most(reached, shape)
        each *= 1 if parts else int(tiles.max(initial=0))
        for axis, own in parts.items():
            (at, n), (more, m) = along[axis], own
            along[axis] = (at[:, None] + more).reshape(-1), (n[:, None] * m).reshape(-1)
    tables = [np.zeros(n, np.int64) for n in shape]
    starts = places(np.array([known.first]), shape)[:, 0]
    for table, (at, n), start in zip(tables, along, starts, strict=True):
        if at.max(initial=0) + start >= len(table):
            return _at_most(reached, shape)
        np.add.at(table, at + start, n)
    return Output(tuple(tables), each)


Moves = tuple[Int64, Int64]  # moves along the source, tiles that the neuron there reaches


def _reached(source: Int64, box: Int64) -> Moves:
    pairs = np.unique(np.stack([source, box]), axis=1)
    moves, tiles = np.unique(pairs[0], return_counts=True)
    return moves, tiles.astype(np.int64)


def _separated(moves: Int64, tiles: Int64, shape: Shape) -> dict[int, Moves] | None:
    """The moves along each axis of the source; None where they, or the tiles that they reach, are no product."""
    at = places(moves, shape)
    dims = [int(axis) for axis in np.flatnonzero(at.any(axis=1))] if len(moves) else []
    if len(dims) < 2:
        return {axis: (at[axis], tiles) for axis in dims}
    own = [np.unique(at[axis]) for axis in dims]
    if prod(map(len, own)) != len(moves) or tiles.min() != tiles.max():
        return None
    first = [tiles[:1], *(np.ones(1, np.int64) for _ in dims[1:])]
    return {axis: (a, np.repeat(t, len(a))) for axis, a, t in zip(dims, own, first, strict=True)}


def _at_most(reached: list[Moves], shape: Shape) -> Output:
    """An upper bound, where neurons and tiles are no product: every neuron reaches as many as any."""
    each = prod(int(tiles.max(initial=0)) for _, tiles in reached)
    return Output(tuple(np.ones(n, np.int64) for n in shape), each, exact=False)
