"""The stages that a bill is made from, for a quantized graph and a chip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import ChipNetwork, Placement, Tiling
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.placement_check import check_placement
from neurodeploy.ir.proof import prove
from neurodeploy.mapping.bill import Measured, Stages, Traffics
from neurodeploy.mapping.bill_activity import Rates
from neurodeploy.mapping.bill_meter import Meter
from neurodeploy.mapping.constraint import Constraint, constraints
from neurodeploy.mapping.lower import walk
from neurodeploy.mapping.observed import TileObserver
from neurodeploy.mapping.place import place
from neurodeploy.mapping.place_traffic import traffic_of
from neurodeploy.mapping.prices import Choice
from neurodeploy.mapping.symbolic import lower
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets.target import Target

Watch = Callable[[str, NDArray[np.int64]], None]
Look = Callable[[Mapping[str, Rates]], None]
OBSERVED = 2_000_000_000  # synapses, of all steps that constraints are looked at in: a few seconds
Run = Callable[[Watch], int]  # runs the reference with a watch over samples one by one; their number


def stages_of(graph: Graph, target: Target, choice: Choice, run: Run | None = None) -> Stages:
    """Symbolic lowering, tiling, placement and its check, and with `run` the measurement of firing rates."""

    proven = {bound.layer: bound.interval for bound in prove(graph) if bound.quantity == "activation"}

    def placed(tiling: Tiling, rates: Mapping[str, Rates]) -> tuple[Placement, Traffics]:
        traffic = cache(partial(traffic_of, tiling, rates))
        return check_placement(place(tiling, target, rates, traffic), target, proven), traffic

    def constrained(tiling: Tiling) -> Sequence[Constraint]:
        return constraints(tiling, target, graph)

    def measured(tiling: Tiling, met: Sequence[Constraint]) -> Measured:
        observer, meter = TileObserver(tiling, met), Meter.of(tiling.network, graph, walk(graph, *choice).graph)
        meter.look = _some(observer.step, tiling.network)
        samples = run(meter.add) if run else 0
        return Measured(meter.rates(), samples, observer.results() if observer.steps else ())

    measure = measured if run else None
    return Stages(
        partial(lower, graph, *choice), partial(tile, target=target, graph=graph), constrained, placed, measure
    )


def _some(look: Look, network: ChipNetwork) -> Look:
    """Look at as many steps as OBSERVED synapses allow, at least at one sample's; at none where steps are streamed."""
    synapses = sum(one.count for one in network.synapses)
    left = [max(network.steps, OBSERVED // max(1, synapses)) if network.period == 1 else 0]

    def one(values: Mapping[str, Rates]) -> None:
        left[0] -= 1
        if left[0] >= 0:
            look(values)

    return one
