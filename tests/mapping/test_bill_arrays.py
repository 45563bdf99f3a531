"""Driven rows and cells of arrays, against the listed synapses of every tile."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.chip import ChipNetwork, Filters, Grid, Neurons, Synapses
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping.bill_activity import activity
from neurodeploy.mapping.bill_arrays import reads_of
from neurodeploy.mapping.constraint import constraints, measure_of
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets import load_target
from tests.ir.test_chip import listed
from tests.mapping.chips import inside, taken, tiles


def convolution(out: int, sent: Interval) -> ChipNetwork:
    weight = np.random.default_rng(1).integers(-1, 2, (out, 20, 3, 3)) * 100  # a third of them zero
    grid = Grid(16, 4, 1)
    filters = Filters(weight, (1, 1), (1, 1), 1, (4, 4), (4, 4), grid, grid)
    neurons = (Neurons("in", "source", (20, 4, 4), 0, sent), Neurons("out", "lif", (out, 4, 4), 1, BINARY))
    return ChipNetwork(
        "net", "loihi-lava", 4, neurons, (Synapses("s", "in", "out", filters, (20, 4, 4), (out, 4, 4)),), "out"
    )


@pytest.mark.parametrize("out", [3, 32, 40])
@pytest.mark.parametrize("measured", [False, True])
def test_driven_rows_and_cells_are_those_of_the_listed_tiles(out: int, measured: bool) -> None:
    """A row is driven once for each place whose tap is in the image, for each bit, and drives all columns."""
    network, target = convolution(out, Interval(0, 2)), load_target("crossbar-128-adc5")
    tiling = tile(network, target)
    rates = {"in": np.random.default_rng(0).random((20, 4, 4))} if measured else None
    found = reads_of(tiling, activity(network, rates, 1), constraints(tiling, target))
    cut = tiling.cuts["out"]
    (one,) = measure_of(cut).plan.view.inputs
    rate = rates["in"].reshape(-1) if rates else np.ones(320)
    rows = cells = 0.0
    for held in tiles(cut):
        mask, (start, stop) = inside(cut, held), one.piece(held.part, cut.parts)
        driven = {(to % 16, chunk): of for to, of, chunk, _ in taken(one) if mask[to] and start <= chunk < stop}
        own = 2 * sum(rate[of] for of in driven.values())
        rows, cells = rows + own, cells + own * (cut.use(held).columns + 1)  # the unit column
    assert len(list(listed(one.synapses.pattern))) == one.synapses.count
    assert found.rows == pytest.approx(rows)
    assert found.cells == pytest.approx(cells, rel=0.05 if measured else 0.01)
