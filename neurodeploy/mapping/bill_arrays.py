"""What analog arrays do in a step: reads one after another, conversions, driven rows and cells.

A tile that holds a convolution's weights once is read for each of its places. A read drives at most `active_rows` rows,
so r rows take ceil(r / active_rows) turns, and a payload of b bits takes ceil(b / input_bits) planes; each read
converts every column of the tile (the bit-serial scheme of Shafiee et al., ISAAC, ISCA 2016, sections III and IV).
"""

from __future__ import annotations

from dataclasses import dataclass

from neurodeploy.ir.chip import ChipNetwork, Cut, Placement, Use
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.bill_activity import Activity, events
from neurodeploy.targets.target import Target


@dataclass(frozen=True)
class Reads:
    """Of a step. serial: reads of the array that is read most.  layer: whose it is.  conversions: of columns.
    rows, cells: driven by a message, at these rates."""

    serial: int
    layer: str
    conversions: float
    rows: float
    cells: float


def reads_of(placement: Placement, active: Activity, target: Target) -> Reads:
    """The reads of all arrays in a step."""
    found = [_layer(placement.tiling.network, cut, active, target) for cut in placement.tiling.cuts.values()]
    busiest = max(found, key=lambda reads: reads.serial, default=Reads(0, "", 0.0, 0.0, 0.0))
    sums = [sum(getattr(reads, what) for reads in found) for what in ("conversions", "rows", "cells")]
    return Reads(busiest.serial, busiest.layer, *sums)


def _layer(network: ChipNetwork, cut: Cut, active: Activity, target: Target) -> Reads:
    inputs = network.inputs(cut.population)
    planes = max((_planes(network.by_name[s.source].interval, target) for s in inputs), default=0)
    came = sum(events(s, active.rates[s.source]) for s in inputs)
    serial, conversions, rows, cells = 0, 0.0, 0.0, 0.0
    share = came / max(1, cut.count)  # synaptic events of a tile, taken to be alike
    for kind in cut.classes:
        use = kind.use
        if use.columns and use.rows:
            reads = _places(use, target) * _turns(use, target) * planes
            serial = max(serial, reads)
            conversions += kind.count * reads * use.columns
            wide = _columns(target)
            rows += kind.count * share * planes * wide / use.columns
            cells += kind.count * share * planes * wide
    return Reads(serial, cut.population, conversions, rows, cells)


def _planes(sent: Interval, target: Target) -> int:
    """Reads that a payload takes, its sign included."""
    bits = max(sent.hi, -sent.lo - 1, 0).bit_length() + (sent.lo < 0)
    return -(-max(bits, 1) // int(target.number("adc", "input_bits") or 1))


def _turns(use: Use, target: Target) -> int:
    """Reads until every row of a tile was driven."""
    return -(-use.rows // max(1, target.limit("active_rows") or use.rows))


def _places(use: Use, target: Target) -> int:
    """Places of a convolution that a tile with shared weights is read for."""
    return max(1, -(-use.neurons * _columns(target) // use.columns))


def _columns(target: Target) -> int:
    """Columns of a weight of 8 bits, the profile's."""
    held = target.cells(target.arithmetic.weight_bits)
    return held[1] if held else 1
