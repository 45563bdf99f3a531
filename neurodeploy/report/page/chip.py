"""The cores of a placed network as squares, coloured by fill and by spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Placement, Tile, Use
from neurodeploy.report.page import svg

PITCH, SPACE = 17, 2  # of the squares of cores, and what is between two
WIDEST = 320  # of a chip that is drawn as an image
MOST_CHIPS = 24  # that are drawn
MOST_SQUARES = 640  # cores that are drawn with words of their own; beyond, a chip is an image with a pixel a core

Rates = Mapping[str, NDArray[np.float64] | float]


@dataclass(frozen=True)
class Mesh:
    """A chip's routers (x, y), (0, 0) if unknown, and the cores at each, which are drawn as a square."""

    routers: tuple[int, int] = (0, 0)
    a_router: int = 1

    @property
    def side(self) -> int:
        """Cores along a side of the square of a router."""
        return 1 + isqrt(self.a_router - 1)


@dataclass(frozen=True)
class Core:
    """One core.  fill: share of the limit of the `resource` that it uses most of.  spikes: sent a step, if known."""

    chip: int
    slot: int
    column: int
    row: int
    fill: float
    resource: str
    spikes: float | None
    holds: tuple[str, ...]

    @property
    def words(self) -> str:
        """The core in a line."""
        spikes = "" if self.spikes is None else f", {self.spikes:,.4g} spikes a step"
        held = ", ".join(self.holds)
        return f"chip {self.chip}, core {self.slot}: {self.fill:.0%} of {self.resource}{spikes}; {held}"


@dataclass(frozen=True)
class DrawnChip:
    """One chip as it is drawn: squares (core, colour), or an image of all its cores."""

    number: int
    cores: int
    squares: tuple[tuple[Core, str], ...]
    image: str


@dataclass(frozen=True)
class HeatMap:
    """All drawn chips by one quantity.

    top: the value of the brightest colour.  columns, rows: of cores.  side: of a core's square, of each `pitch`.
    """

    title: str
    unit: str
    top: float
    chips: tuple[DrawnChip, ...]
    columns: int
    rows: int
    side: float
    pitch: int


def cores_of(placement: Placement, mesh: Mesh, limits: Mapping[str, int | None], rates: Rates | None) -> list[Core]:
    """Every used core in the order of the placement; none where there are no coordinates.

    limits: resource -> limit of a core.  rates: population -> spikes a neuron and step.
    """
    found = []
    for tiles, (chip, x, y), slot in zip(placement.cores, placement.at, placement.slots, strict=True):
        row, column = divmod(slot % mesh.a_router, mesh.side)
        fill, resource = _fill(sum((placement.tiling.cuts[t.population].use(t) for t in tiles), Use()), limits)
        spikes = None if rates is None else sum(_spikes(tile, rates) for tile in tiles)
        holds = tuple(dict.fromkeys(tile.population for tile in tiles))
        place = x * mesh.side + column, y * mesh.side + row
        found.append(Core(chip, slot, *place, fill, resource, spikes, holds))
    return found


def _fill(use: Use, limits: Mapping[str, int | None]) -> tuple[float, str]:
    """The highest share of a limit, and which."""
    shares = [(used / limit, name) for name, used in use.items() if (limit := limits.get(name))]
    share, name = max(shares, default=(0.0, "no known limit"))
    return share, name.replace("_", " ")


def _spikes(tile: Tile, rates: Rates) -> float:
    """Spikes that the neurons of a tile send in a step; those of a split fan-in belong to the first part."""
    if tile.part:
        return 0.0
    rate = np.asarray(rates[tile.population], np.float64)
    if rate.ndim == 0:
        return float(rate) * tile.box.size
    box = tuple(slice(a, b) for a, b in zip(tile.box.start, tile.box.stop, strict=True))
    return float(rate[box].sum())


def heat_maps(cores: Sequence[Core], mesh: Mesh) -> tuple[HeatMap, ...]:
    """The maps by fill and, where rates are known, by spikes; of the first chips."""
    drawn = [core for core in cores if core.chip < MOST_CHIPS]
    if not drawn:
        return ()
    maps = [_map(drawn, mesh, "Fill", "of the limit that the core uses most of", 1.0, [core.fill for core in drawn])]
    spikes = [core.spikes for core in drawn if core.spikes is not None]
    if len(spikes) == len(drawn):
        maps.append(_map(drawn, mesh, "Spikes", "spikes that the core's neurons send in a step", max(spikes), spikes))
    return tuple(maps)


def _map(drawn: Sequence[Core], mesh: Mesh, title: str, unit: str, top: float, values: Sequence[float]) -> HeatMap:
    columns = max(mesh.routers[0] * mesh.side, 1 + max(core.column for core in drawn))
    rows = max(mesh.routers[1] * mesh.side, 1 + max(core.row for core in drawn))
    shades = svg.colours(np.array(values) / (top or 1.0))
    chips = []
    for number in sorted({core.chip for core in drawn}):
        held = [(core, shade) for core, shade in zip(drawn, shades, strict=True) if core.chip == number]
        squares = tuple((core, "#" + bytes(shade).hex()) for core, shade in held)
        if len(drawn) <= MOST_SQUARES:
            chips.append(DrawnChip(number, len(held), squares, ""))
        else:
            chips.append(DrawnChip(number, len(held), (), _image(held, columns, rows)))
    if len(drawn) <= MOST_SQUARES:
        return HeatMap(title, unit, top, tuple(chips), columns, rows, PITCH - SPACE, PITCH)
    pitch = max(2, min(10, WIDEST // columns))
    return HeatMap(title, unit, top, tuple(chips), columns, rows, pitch - pitch / 10, pitch)


def _image(held: Sequence[tuple[Core, NDArray[np.uint8]]], columns: int, rows: int) -> str:
    pixels = np.zeros((rows, columns, 4), np.uint8)
    for core, shade in held:
        pixels[core.row, core.column] = [*shade, 255]
    return svg.png(pixels)
