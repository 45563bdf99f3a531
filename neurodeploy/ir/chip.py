"""The symbolic network: the same populations and crossbars as the mapped graph, but a crossbar is a pattern.

A pattern says which synapses there are without listing them, so that a network of ImageNet's size takes a second and a
few megabytes. What a tile (a box of neurons with all synapses into it) needs is counted from patterns by
`neurodeploy.ir.chip_counts`. Times, ports and kinds are those of `neurodeploy.ir.mapped`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.mapped import CUSTOM, PopulationKind, Port, Whole
from neurodeploy.ir.types import Interval
from neurodeploy.numerics import NO_MEMORY

Bias = Literal["none", "channel", "neuron"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """One loop of a nest: `size` iterations; each moves the flat index of the target and of the source neuron."""

    size: int
    target: int
    source: int


@dataclass(frozen=True)
class Nest:
    """Loops around one synapse: each iteration is one, and no two join the same pair of neurons.

    target, source: flat neuron index (C order of the population's shape) at the first iteration.  weight: int64,
    -128..127, has one axis a loop, of its size or of 1 where all iterations share the weight; 0-d for a constant.
    A synapse weighs weight * 2^exponent.
    """

    axes: tuple[Axis, ...]
    target: int
    source: int
    weight: NDArray[np.int64]
    exponent: int = 0

    @property
    def sizes(self) -> Shape:
        """Iterations of each loop."""
        return tuple(axis.size for axis in self.axes)


@dataclass(frozen=True)
class Grid:
    """Where channel c, row y, column x of an image lies among a population's neurons: the flat index is linear."""

    channel: int
    row: int
    column: int
    offset: int = 0


@dataclass(frozen=True)
class Filters:
    """A convolution, whose weights a chip may share. A tap in the padding is no synapse.

    weight: int64 [Co, Ci / groups, Kh, Kw] in -128..127, PyTorch's orientation.  stride, padding: (vertical,
    horizontal).  size_in, size_out: (height, width).  source, target: where the two images lie.
    """

    weight: NDArray[np.int64]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    size_in: tuple[int, int]
    size_out: tuple[int, int]
    source: Grid
    target: Grid


@dataclass(frozen=True)
class Neurons:
    """A population, as in `neurodeploy.ir.mapped.Population`, without its arrays.

    bias: whether it needs none, one a channel (first axis), or one a neuron.  value: layer of the quantized graph, ""
    for a relay or a helper.  every: whether a neuron may send in each time step of a period, in place of one.
    """

    name: str
    kind: PopulationKind
    shape: Shape
    depth: int
    interval: Interval
    vth: int = 0
    dv: int = 0
    du: int = NO_MEMORY
    bias: Bias = "none"
    resets: bool = False
    value: str = ""
    every: bool = False

    @property
    def size(self) -> int:
        """Neurons of the population."""
        return prod(self.shape)

    @property
    def custom(self) -> bool:
        """Whether no stock neuron computes it."""
        return self.kind in CUSTOM


@dataclass(frozen=True)
class Synapses:
    """A crossbar as a pattern; takes 1 + delay time steps.

    source_shape, target_shape: of the two populations.  late: as in `neurodeploy.ir.mapped.Crossbar`.
    """

    name: str
    source: str
    target: str
    pattern: Nest | Filters
    source_shape: Shape
    target_shape: Shape
    port: Port = "a_in"
    delay: int = 0
    late: int = 0
    value: str = ""

    @property
    def count(self) -> int:
        """Synapses, those of weight zero included."""
        if isinstance(self.pattern, Nest):
            return prod(self.pattern.sizes)
        rows, columns = (int(taps(self.pattern, axis).sum()) for axis in (0, 1))
        return prod(self.pattern.weight.shape[:2]) * rows * columns

    @property
    def nonzero(self) -> int:
        """Synapses whose weight is not zero: what a chip that drops the others stores."""
        weight = self.pattern.weight
        if isinstance(self.pattern, Nest):
            return int(np.count_nonzero(weight)) * prod(self.pattern.sizes) // max(weight.size, 1)
        rows, columns = (taps(self.pattern, axis) for axis in (0, 1))
        return int(rows @ np.count_nonzero(weight, axis=(0, 1)) @ columns)


def taps(filters: Filters, axis: int) -> NDArray[np.int64]:
    """For each kernel position along image axis 0 or 1, the number of output positions whose tap is in the image."""
    pads, size_in = filters.padding[axis], filters.size_in[axis]
    at = np.arange(filters.size_out[axis])[None] * filters.stride[axis]
    at = at + np.arange(filters.weight.shape[2 + axis])[:, None] - pads
    return np.asarray(((at >= 0) & (at < size_in)).sum(axis=1), np.int64)


@dataclass(frozen=True)
class ChipNetwork:
    """Populations in order of evaluation, and their synapses; T = steps; output and wholes as in the mapped graph."""

    name: str
    profile: str
    steps: int
    neurons: tuple[Neurons, ...]
    synapses: tuple[Synapses, ...]
    output: str
    period: int = 1
    wholes: Mapping[str, Whole] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Neurons]:
        """Populations by name."""
        return {population.name: population for population in self.neurons}

    @cached_property
    def _inputs(self) -> Mapping[str, tuple[Synapses, ...]]:
        return {n.name: tuple(s for s in self.synapses if s.target == n.name) for n in self.neurons}

    @cached_property
    def _outputs(self) -> Mapping[str, tuple[Synapses, ...]]:
        return {n.name: tuple(s for s in self.synapses if s.source == n.name) for n in self.neurons}

    def inputs(self, name: str) -> tuple[Synapses, ...]:
        """The synapses onto a population."""
        return self._inputs[name]

    def outputs(self, name: str) -> tuple[Synapses, ...]:
        """The synapses that a population's spikes go to."""
        return self._outputs[name]

    @property
    def depth(self) -> int:
        """Time steps from the source to the output."""
        return self.by_name[self.output].depth


@dataclass(frozen=True)
class Box:
    """Neurons start <= index < stop along every axis of a population's shape."""

    start: Shape
    stop: Shape

    @classmethod
    def whole(cls, shape: Shape) -> Box:
        """All neurons of a shape."""
        return cls((0,) * len(shape), shape)

    @property
    def shape(self) -> Shape:
        """Neurons along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Neurons in the box."""
        return prod(self.shape)


@dataclass(frozen=True)
class Use:
    """What a tile, a core or a chip uses, one number a resource; the names are those of the target's limits.

    synapse_memory in bytes; rows, columns and active_rows of crossbar chips.
    """

    neurons: int = 0
    axons_in: int = 0
    axons_out: int = 0
    synapses: int = 0
    synapse_memory: int = 0
    rows: int = 0
    columns: int = 0
    active_rows: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def times(self, count: int) -> Use:
        """So many tiles that use the same."""
        return Use(**{f.name: getattr(self, f.name) * count for f in fields(self)})

    def items(self) -> tuple[tuple[str, int], ...]:
        """(resource, number) for all resources."""
        return tuple((f.name, getattr(self, f.name)) for f in fields(self))


@dataclass(frozen=True)
class Tile:
    """A box of a population's neurons with synapses into them: all, or part `part` where the fan-in is split.

    index: place in the grid of the population's boxes.
    """

    population: str
    index: Shape
    part: int
    box: Box


@dataclass(frozen=True)
class TileClass:
    """`count` tiles that use the same, and one of them."""

    use: Use
    count: int
    example: Tile


@dataclass(frozen=True)
class Cut:
    """How a population of a shape is cut: boxes of `step` neurons along each axis (the last may be smaller).

    parts: pieces of the fan-in, each a tile of its own.  measure: what a tile of this cut uses.
    """

    population: str
    shape: Shape
    step: Shape
    parts: int
    classes: tuple[TileClass, ...]
    measure: Callable[[Tile], Use] = field(compare=False, repr=False)

    @property
    def counts(self) -> Shape:
        """Boxes along each axis."""
        return tuple(-(-n // s) for n, s in zip(self.shape, self.step, strict=True))

    @property
    def count(self) -> int:
        """All tiles."""
        return prod(self.counts) * self.parts

    def tile(self, index: Shape, part: int = 0) -> Tile:
        """The tile at a place of the grid."""
        start = tuple(i * s for i, s in zip(index, self.step, strict=True))
        stop = tuple(min(n, a + s) for n, a, s in zip(self.shape, start, self.step, strict=True))
        return Tile(self.population, index, part, Box(start, stop))

    def use(self, tile: Tile) -> Use:
        """What a tile of this cut uses."""
        return self.measure(tile)


@dataclass(frozen=True)
class Tiling:
    """A network cut into tiles for a target."""

    network: ChipNetwork
    target: str
    cuts: Mapping[str, Cut]

    @property
    def tiles(self) -> int:
        """All tiles of all populations."""
        return sum(cut.count for cut in self.cuts.values())


@dataclass(frozen=True)
class Placement:
    """Which tiles share a core, and where each core lies: (chip, x, y) of its router.

    slots: number of each core within its chip; routers have several, row by row.  classes: (what a core uses, cores
    that use it); all cores.  chips: that hold a core; 0 where nobody published how many cores a chip has.  note: why
    `cores`, `at` and `slots` are empty, where the tiles are too many or the chip is unknown; all else is exact then.
    """

    tiling: Tiling
    cores: tuple[tuple[Tile, ...], ...]
    at: tuple[tuple[int, int, int], ...]
    slots: tuple[int, ...] = ()
    classes: tuple[tuple[Use, int], ...] = ()
    chips: int = 0
    note: str = ""

    @property
    def used_cores(self) -> int:
        """Cores that hold a tile."""
        return sum(count for _, count in self.classes)
