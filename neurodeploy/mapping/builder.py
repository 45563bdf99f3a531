"""The mapped graph as it grows: signals, drives, landing with balanced delays, relays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from neurodeploy.ir.chip import Filters, Nest
from neurodeploy.ir.graph import Node
from neurodeploy.ir.mapped import PORTS, ConvWeights, Population, Port, View, Views
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping.layout import Layout, dense, nest, regridded, renumbered
from neurodeploy.numerics import Int64, Profile


@dataclass(frozen=True)
class Signal:
    """A value that a population sends; the views give the population the value's shape."""

    population: str
    views: Views = ()


Pattern = Nest | Filters | ConvWeights  # one by one, an unrolled window of ones, or weights that the chip shares


@dataclass(frozen=True)
class Synapses:
    """Weights from one population, not yet landed. Target neurons count in the C order of the drive's shape.

    early: time steps before the depth of where they land, at which they deliver.  late: after it.
    """

    source: str
    pattern: Pattern
    early: int = 0
    late: int = 0


@dataclass(frozen=True)
class Drive:
    """A value that is a sum over synapses, and becomes a population's input where it lands."""

    shape: tuple[int, ...]
    interval: Interval
    parts: tuple[Synapses, ...]


@dataclass(frozen=True)
class Joint:
    """A crossbar: landed synapses; takes 1 + delay time steps."""

    name: str
    source: str
    target: str
    pattern: Pattern
    port: Port = "a_in"
    delay: int = 0
    early: int = 0
    late: int = 0


@dataclass
class Network:
    """Populations and crossbars so far; `lands` adds one and balances the delays of its inputs.

    period: time steps that a step takes, more than one where attention is streamed.
    """

    profile: Profile
    steps: int
    populations: dict[str, Population] = field(default_factory=dict)
    crossbars: list[Joint] = field(default_factory=list)
    thresholds: dict[str, Int64] = field(default_factory=dict)  # of populations that have several, as the LIF has them
    period: int = 1

    def layout(self, signal: Signal) -> Layout:
        """Where the elements of a signal lie among its population's neurons; its views are such that this is known."""
        found = through(dense(self.populations[signal.population].shape), signal.views)
        if found is None:
            raise ValueError(f"no strides for {signal}")
        return found

    def viewed(self, signal: Signal, view: View) -> Signal:
        """The signal through a view; what no strides express lands once more, in an order that any view takes."""
        seen = Signal(signal.population, (*signal.views, view))
        shape = self.populations[signal.population].shape
        return seen if through(dense(shape), seen.views) else self.viewed(self.copied(signal, "dense"), view)

    def relayed(self, signal: Signal, exponent: int = 0) -> Drive:
        """Each element of a signal times 2^exponent, rounded down."""
        layout, interval = self.layout(signal), self.interval(signal)
        part = Synapses(signal.population, nest(dense(layout.shape), layout, exponent=exponent))
        reach = interval.scaled(1 << max(exponent, 0))
        return Drive(layout.shape, Interval(reach.lo >> max(-exponent, 0), reach.hi >> max(-exponent, 0)), (part,))

    def copied(self, signal: Signal, why: str) -> Signal:
        """The signal from a population of its own, in its own order."""
        return self.graded(f"{signal.population}/{why}{len(self.populations)}", self.relayed(signal))

    def interval(self, signal: Signal) -> Interval:
        """What the signal's population sends."""
        return self.populations[signal.population].interval

    def land(self, population: Population, *drives: Drive) -> Signal:
        """Add a population fed by a drive, or by one a port (a_in1, a_in2, ..) for a product or a maximum.

        Its depth is the least that all inputs can share; a faster input waits in its synapses, or in a relay where
        it is a convolution, which cannot wait.
        """
        ports: tuple[Port, ...] = ("a_in",) if len(drives) == 1 else PORTS[: len(drives)]
        parts = [(port, part) for port, drive in zip(ports, drives, strict=True) for part in drive.parts]
        depth = 1 + max(self.populations[part.source].depth + part.early for _, part in parts)
        shape = population.shape or (1,)  # a population has at least one axis
        self.populations[population.name] = replace(population, depth=depth, shape=shape)
        for port, part in parts:
            wait = depth - part.early + part.late - 1 - self.populations[part.source].depth
            self._connect(part, population.name, port, wait)
        self.populations[population.name] = self.populations.pop(population.name)  # behind the relays that it reads
        return Signal(population.name, () if population.shape else (("reshape", ()),))

    def _connect(self, part: Synapses, target: str, port: Port, wait: int) -> None:
        longest = 0 if isinstance(part.pattern, ConvWeights) else self.profile.delay_max
        source, pattern = part.source, part.pattern
        while wait > longest:
            hop = min(wait, self.profile.delay_max + 1)
            source, wait = self.relay(source, hop), wait - hop
        name = f"{source}->{target}" + ("" if port == "a_in" else f".{port}")
        taken = sum(c.name.split("#")[0] == name for c in self.crossbars if c.target == target)
        name += f"#{taken}" if taken else ""
        if isinstance(pattern, Nest):  # one loop an axis of the target, where that is possible: boxes are counted so
            pattern = renumbered(pattern, dense(self.populations[target].shape)) or pattern
        self.crossbars.append(Joint(name, source, target, pattern, port, wait, part.early, part.late))

    def relay(self, source: str, steps: int) -> str:
        """A population that repeats another one `steps` >= 1 time steps later; one is shared by all who need it."""
        name = f"{source}/delay{steps}"
        if name not in self.populations:
            before = self.populations[source]
            kind: Literal["lif", "sum"] = "lif" if before.interval.within(BINARY) else "sum"
            self.populations[name] = Population(
                name, kind, before.shape, before.depth + steps, before.interval, dv=self.profile.decay_unit - 1
            )
            identity = nest(dense(before.shape), dense(before.shape))
            self.crossbars.append(Joint(f"{source}->{name}", source, name, identity, "a_in", steps - 1))
        return name

    def stateless(self, name: str, drive: Drive, vth: int) -> Signal:
        """Land a drive in LIFs without memory: they fire in a step whose input exceeds vth."""
        dv = self.profile.decay_unit - 1
        return self.land(Population(name, "lif", drive.shape, 0, BINARY, vth=vth, dv=dv), drive)

    def graded(self, name: str, drive: Drive, kind: Literal["sum", "relu"] = "sum") -> Signal:
        """Land a drive in neurons that send their input, or its positive part, as a payload."""
        interval = drive.interval
        if kind == "relu":
            interval = Interval(max(0, interval.lo), max(0, interval.hi))
        return self.land(Population(name, kind, drive.shape, 0, interval), drive)


def through(layout: Layout, views: Views) -> Layout | None:
    """The layout through views; None where no strides express one."""
    seen: Layout | None = layout
    for view in views:
        seen = seen and seen.viewed(view)
    return seen


def reshaped(drive: Drive, view: View) -> Drive | None:
    """The same drive seen through a view that keeps all elements; None where no loops express it."""
    order = dense(drive.shape).viewed(view)
    if order is None:
        return None
    parts = [_seen(part.pattern, order, view) for part in drive.parts]
    if any(pattern is None for pattern in parts):
        return None
    made = [Synapses(part.source, pattern) for part, pattern in zip(drive.parts, parts, strict=True) if pattern]
    return Drive(order.shape, drive.interval, tuple(made))


def _seen(pattern: Pattern, order: Layout, view: View) -> Pattern | None:
    if isinstance(pattern, ConvWeights):
        return replace(pattern, out_views=(*pattern.out_views, view))
    return renumbered(pattern, order) if isinstance(pattern, Nest) else regridded(pattern, order)


def planar(node: Node, views: Views, image: tuple[int, ...], out: tuple[int, ...]) -> ConvWeights:
    """A convolution over one or two axes as one over two: tokens [C, N] become an image [C, 1, N]."""
    weight = node.tensors["weight"]  # int8; whoever lists or keeps them makes them int64
    stride, padding = node.integers("stride"), node.integers("padding")
    before: Views = views
    after: Views = ()
    if weight.ndim == 3:
        flat: View = ("reshape", (image[0], 1, image[1]))
        before, after = (*views, flat), (("reshape", out),)
        weight, stride, padding = weight[:, :, None, :], (1, *stride), (0, *padding)
    return ConvWeights(weight, (stride[0], stride[1]), (padding[0], padding[1]), node.integer("groups"), before, after)
