"""What analog arrays do in a step: reads one after another, conversions, driven rows and cells.

A tile that holds a convolution's weights once is read for each of its places; a payload of b bits takes a read a bit,
and rows beyond what a read may drive take turns (`constraint.Constraint`). Each read converts every column of the tile,
the bit-serial scheme of Shafiee et al., ISAAC, ISCA 2016, sections III and IV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurodeploy.ir.chip import Cut, TileClass, Tiling
from neurodeploy.mapping.bill_activity import Activity, events
from neurodeploy.mapping.constraint import Constraint, measure_of
from neurodeploy.mapping.tile_cut import Plan
from neurodeploy.mapping.tile_inputs import unit_columns


@dataclass(frozen=True)
class Reads:
    """Of a step. serial: reads of the array that is read most.  layer: whose it is.  conversions: of columns.

    rows, cells: driven by messages, at these rates; the tiles of a population are taken to share its events evenly.
    """

    serial: int
    layer: str
    conversions: float
    rows: float
    cells: float


def reads_of(tiling: Tiling, active: Activity, met: Sequence[Constraint]) -> Reads:
    """The reads of all arrays in a step. met: of the tiling."""
    found = [_layer(cut, active, classes) for cut, classes in _read(tiling.cuts, met)]
    busiest = max(found, key=lambda reads: reads.serial, default=Reads(0, "", 0.0, 0.0, 0.0))
    conversions, rows, cells = (sum(getattr(r, what) for r in found) for what in ("conversions", "rows", "cells"))
    return Reads(busiest.serial, busiest.layer, conversions, rows, cells)


def _read(cuts: Mapping[str, Cut], met: Sequence[Constraint]) -> list[tuple[Cut, list[tuple[TileClass, Constraint]]]]:
    """Populations with tiles that are read, each class with its constraint; those come in the order of the classes."""
    own: dict[str, list[Constraint]] = {}
    for one in met:
        if one.quantity == "converter":
            own.setdefault(one.population, []).append(one)
    return [(cuts[name], list(zip(cuts[name].classes, found, strict=True))) for name, found in own.items()]


def _layer(cut: Cut, active: Activity, classes: Sequence[tuple[TileClass, Constraint]]) -> Reads:
    network, plan = active.network, measure_of(cut).plan
    came = sum(events(s, active.rates[s.source]) for s in network.inputs(cut.population))
    serial, conversions = 0, 0.0
    for kind, one in classes:
        reads = _places(kind, plan) * one.reads * one.planes
        serial, conversions = max(serial, reads), conversions + float(kind.count * reads * kind.use.columns)
    planes = max(one.planes for _, one in classes)
    outputs = max(_outputs(kind, plan) for kind, _ in classes)
    return Reads(serial, cut.population, conversions, came * planes / outputs, came * planes * plan.columns)


def _outputs(kind: TileClass, plan: Plan) -> int:
    """Neurons whose columns a tile holds."""
    return max(1, (kind.use.columns - unit_columns(plan.target)) // max(1, plan.columns))


def _places(kind: TileClass, plan: Plan) -> int:
    """Places that a tile is read for: its neurons by those whose columns it holds."""
    return -(-kind.example.box.size // _outputs(kind, plan))
