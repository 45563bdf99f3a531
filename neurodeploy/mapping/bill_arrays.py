"""What analog arrays do in a step: reads one after another, conversions, driven rows and cells.

A tile that holds a convolution's weights once is read for each of its places; a payload takes a read for each of its
planes, and rows beyond what a read may drive take turns (`constraint.Constraint`). Each read converts every column of
the tile and the unit column beside it, the bit-serial scheme of Shafiee et al., ISAAC, ISCA 2016, sections III and IV.
A driven row drives every cell of its tile, those of weight zero and of the unit column too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurodeploy.ir.chip import Cut, Synapses, TileClass, Tiling
from neurodeploy.mapping.bill_activity import Activity, events
from neurodeploy.mapping.constraint import Constraint, measure_of
from neurodeploy.mapping.tile_inputs import Input, unit_columns


@dataclass(frozen=True)
class Reads:
    """Of a step. serial: reads of the array that is read most.  layer: whose it is.  conversions: of columns.

    rows, cells: driven, at these rates: each axon's row once for each place and plane. Rows of a tile are taken to be
    driven as often as all rows of the population are on average; at the bound, where every axon sends, that is all.
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
    measure = measure_of(cut)
    shares = [_share(one, active, measure.plan.view.neurons.size) for one in measure.plan.view.inputs]
    serial, conversions, driven, cells = 0, 0.0, 0.0, 0.0
    beside = unit_columns(measure.plan.target) if measure.plan.columns else 0
    for kind, one in classes:
        reads = one.places * one.reads * one.planes
        held = zip(measure.rows(kind.example), shares, strict=True)
        rows = kind.count * one.places * one.planes * sum(n * share for n, share in held)
        columns = kind.use.columns + beside
        serial, conversions = max(serial, reads), conversions + float(kind.count * reads * columns)
        driven, cells = driven + rows, cells + rows * columns
    return Reads(serial, cut.population, conversions, driven, cells)


def _share(one: Input, active: Activity, neurons: int) -> float:
    """How often a row of an input is driven, on average; where places take turns, taps in the padding never are."""
    every = _all_ones(one.synapses)
    pairs = neurons * one.factors.fan_in if one.turns else every.count
    return events(every, active.rates[every.source]) / max(1, pairs)


def _all_ones(synapses: Synapses) -> Synapses:
    """The same synapses, none of them of weight zero."""
    pattern = synapses.pattern
    return replace(synapses, pattern=replace(pattern, weight=np.ones_like(pattern.weight)))
