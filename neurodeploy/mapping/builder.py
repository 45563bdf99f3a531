"""The mapped graph as it grows: signals, drives, landing with balanced delays, relays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

import numpy as np

from neurodeploy.ir.mapped import ConvWeights, Crossbar, Population, SparseWeights, Views, apply_views
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.numerics import Int64, Profile

Port = Literal["a_in", "a_in1", "a_in2"]


@dataclass(frozen=True)
class Signal:
    """A value that a population sends; the views give the population the value's shape."""

    population: str
    views: Views = ()


@dataclass(frozen=True)
class Synapses:
    """Weights from one population, not yet landed. Sparse rows count in the C order of the drive's shape."""

    source: str
    weights: SparseWeights | ConvWeights


@dataclass(frozen=True)
class Drive:
    """A value that is a sum over synapses, and becomes a population's input where it lands."""

    shape: tuple[int, ...]
    interval: Interval
    parts: tuple[Synapses, ...]


@dataclass
class Network:
    """Populations and crossbars so far; `lands` adds one and balances the delays of its inputs."""

    profile: Profile
    steps: int
    populations: dict[str, Population] = field(default_factory=dict)
    crossbars: list[Crossbar] = field(default_factory=list)

    def index(self, signal: Signal) -> Int64:
        """The flat neuron index of every element of a signal, int64 of the value's shape."""
        population = self.populations[signal.population]
        flat = np.arange(population.size, dtype=np.int64).reshape(population.shape)
        return np.asarray(apply_views(flat, signal.views))

    def interval(self, signal: Signal) -> Interval:
        """What the signal's population sends."""
        return self.populations[signal.population].interval

    def land(self, population: Population, *drives: Drive) -> Signal:
        """Add a population fed by a drive, or by one a port (a_in1, a_in2) for a product.

        Its depth is the least that all inputs can share; a faster input waits in its synapses, or in a relay where
        it is a convolution, which cannot wait.
        """
        ports: tuple[Port, ...] = ("a_in",) if len(drives) == 1 else ("a_in1", "a_in2")
        parts = [(port, part) for port, drive in zip(ports, drives, strict=True) for part in drive.parts]
        depth = 1 + max(self.populations[part.source].depth for _, part in parts)
        shape = population.shape or (1,)  # a population has at least one axis
        self.populations[population.name] = replace(population, depth=depth, shape=shape)
        for port, part in parts:
            self._connect(part, population.name, port, depth - 1 - self.populations[part.source].depth)
        return Signal(population.name, () if population.shape else (("reshape", ()),))

    def _connect(self, part: Synapses, target: str, port: Port, wait: int) -> None:
        longest = self.profile.delay_max if isinstance(part.weights, SparseWeights) else 0
        source = part.source
        while wait > longest:
            hop = min(wait, self.profile.delay_max + 1)
            source, wait = self.relay(source, hop), wait - hop
        name = f"{source}->{target}" + ("" if port == "a_in" else f".{port}")
        taken = sum(c.name.split("#")[0] == name for c in self.crossbars if c.target == target)
        name += f"#{taken}" if taken else ""
        self.crossbars.append(Crossbar(name, source, target, part.weights, port, wait))

    def relay(self, source: str, steps: int) -> str:
        """A population that repeats another one `steps` >= 1 time steps later; one is shared by all who need it."""
        name = f"{source}/delay{steps}"
        if name not in self.populations:
            before = self.populations[source]
            kind: Literal["lif", "sum"] = "lif" if before.interval.within(BINARY) else "sum"
            self.populations[name] = Population(
                name, kind, before.shape, before.depth + steps, before.interval, dv=self.profile.decay_unit - 1
            )
            identity = sparse(np.arange(before.size), np.arange(before.size), 1)
            self.crossbars.append(Crossbar(f"{source}->{name}", source, name, identity, "a_in", steps - 1))
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


def sparse(rows: Int64, cols: Int64, weight: int, exponent: int = 0) -> SparseWeights:
    """Synapses of one weight; rows and cols broadcast."""
    wide_rows, wide_cols = np.broadcast_arrays(rows, cols)
    count = wide_rows.size
    weights = np.full(count, weight, np.int64)
    return SparseWeights(
        wide_rows.reshape(-1).astype(np.int64), wide_cols.reshape(-1).astype(np.int64), weights, exponent
    )


def positions(shape: Sequence[int]) -> Int64:
    """The flat index of every element of a shape, int64 of that shape."""
    return np.arange(prod(shape), dtype=np.int64).reshape(shape)


def reshaped(drive: Drive, views: Views) -> Drive:
    """The same drive seen through views."""
    order = apply_views(positions(drive.shape), views)
    shape = tuple(order.shape)
    place = np.empty(order.size, np.int64)
    place[order.reshape(-1)] = np.arange(order.size)
    parts = [replace(part, weights=_viewed(part.weights, place, views)) for part in drive.parts]
    return Drive(shape, drive.interval, tuple(parts))


def _viewed(weights: SparseWeights | ConvWeights, place: Int64, views: Views) -> SparseWeights | ConvWeights:
    if isinstance(weights, SparseWeights):
        return replace(weights, rows=place[weights.rows])
    return replace(weights, out_views=weights.out_views + views)
