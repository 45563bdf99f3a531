"""The stages that a bill is made from, for a quantized graph and a chip."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from neurodeploy.ir.chip import Placement, Tiling
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.mapped import AttentionOrder, NeuronChoice
from neurodeploy.mapping.bill import Stages
from neurodeploy.mapping.bill_activity import Rates
from neurodeploy.mapping.place import place
from neurodeploy.mapping.symbolic import lower
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets.target import Target


def stages_of(graph: Graph, target: Target, attention: AttentionOrder, neurons: NeuronChoice) -> Stages:
    """Symbolic lowering, tiling, placement."""

    def placed(tiling: Tiling, rates: Mapping[str, Rates]) -> Placement:
        return place(tiling, target, rates)

    return Stages(partial(lower, graph, attention, neurons), partial(tile, target=target, graph=graph), placed)
