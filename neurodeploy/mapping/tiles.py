"""A network cut into tiles that fit a chip's cores, or the rows and columns of its arrays; or all that does not fit.

Boxes of a population are equal, and the fewest are taken. Nothing is listed: neither a synapse nor a grid of tiles.

Axons count once for each pattern of synapses that brings them. A neuron sends one axon to each tile that it reaches.
Where the fan-in is cut into parts, each input of the population (`ChipNetwork.inputs`) deals its chunks out to all
parts as equally as can be: input channels, or terms of a sum; on an array that holds a convolution once and takes its
places in turns, input channels and kernel positions. The spikes that join parts are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.chip import ChipNetwork, Cut, Neurons, Shape, Tiling
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.tile_cut import CutPlan, Measure, Peaks
from neurodeploy.mapping.tile_features import missing_features
from neurodeploy.mapping.tile_inputs import View, array_bits, outputs_of, view_of, weight_bits_of
from neurodeploy.targets import Target

_SMALLER = {
    "neurons": "a target whose cores hold more neurons",
    "axons_in": "fewer input channels, or a target whose cores take more axons or add partial sums",
    "axons_out": "a target whose cores have more axons out, or a layer behind it that takes fewer tiles",
    "synapses": "a smaller fan-in, or a target with room for more synapses",
    "synapse_memory": "a smaller fan-in or fewer weight_bits, or a target with more synapse memory",
    "rows": "a smaller fan-in, or a target with more rows, or one that adds partial sums",
    "columns": "fewer weight_bits, or a target with more columns",
    "fan_in": "a smaller fan-in, or a target that allows a larger one",
}


def tile(network: ChipNetwork, target: Target, graph: Graph | None = None) -> Tiling:
    """Each population but the source cut into equal boxes within the target's limits; the fewest that were found.

    graph: the quantized graph, for the lines of the user's code in findings.  Raises DoesNotFitError with everything
    that does not fit: ND-M201 no chip; ND-M202 neurons, ND-M203 payloads, ND-M204 weights, ND-M206 convolutions that
    the chip has not; ND-M205 a neuron beyond a core or an array; ND-M207 a column that adds
    exponents too far apart; ND-M208 a pattern too irregular to be counted.
    """
    if target.kind == "cpu":
        mend = "choose a chip: neurodeploy targets list"
        raise DoesNotFitError(Finding("ND-M201", "", "a chip with cores or arrays", target.title, mend, target.file))
    findings = list(missing_features(network, target))
    cuts: dict[str, Cut] = {}
    grids: dict[str, tuple[View, Shape]] = {}
    for neurons in sorted(network.neurons, key=lambda one: -one.depth):
        if neurons.kind != "source":
            findings += _cut(network, neurons, target, grids, cuts)
    if findings:
        raise DoesNotFitError(_sourced(findings, network, graph))
    return Tiling(network, target.name, {one.name: cuts[one.name] for one in network.neurons if one.name in cuts})


def _cut(
    network: ChipNetwork, neurons: Neurons, target: Target, grids: dict[str, tuple[View, Shape]], cuts: dict[str, Cut]
) -> Iterator[Finding]:
    """Cut one population, once all that it feeds is cut; what does not fit."""
    view = view_of(network, neurons, target)
    if view is None:
        yield Finding("ND-M208", neurons.name, "synapses that are loops", "an irregular pattern", "report this network")
        return
    plan = CutPlan(view, outputs_of(network, neurons, view.shape, grids), target)
    steps = plan.steps()
    best = Peaks(plan, steps).best(steps)
    smallest = tuple(own[0] for own in steps)
    measure = Measure(plan, *best) if best else Measure(plan, smallest, _most_parts(plan))
    cut, exceeded = measure.cut(neurons.name), tuple[Finding, ...]()
    if best is None:
        exceeded = tuple(_exceeded(cut, plan))
        yield from exceeded
    yield from (*_fan_in(plan), *_cells(plan))
    grids[neurons.name] = view, view.shape if exceeded else measure.step  # what is refused asks no axons of others
    if not exceeded:
        cuts[neurons.name] = cut


def _most_parts(plan: CutPlan) -> int:
    return max((one.chunks for one in plan.view.inputs), default=1) if plan.target.adds_partial_sums else 1


def _exceeded(cut: Cut, plan: CutPlan) -> Iterator[Finding]:
    """What the smallest tiles need beyond the limits: the largest of them."""
    for name, limit in plan.limits.items():
        most = max(getattr(one.use, name) for one in cut.classes)
        if most > limit:
            what = f"{name.replace('_', ' ')} of a core" if not plan.crossbar else f"{name} of an array"
            have = f"{limit} ({plan.target.title})"
            yield Finding("ND-M205", cut.population, f"{most} {what} for one neuron", have, _SMALLER[name])


def _fan_in(plan: CutPlan) -> Iterator[Finding]:
    limit, most = plan.target.limit("fan_in"), sum(one.factors.fan_in for one in plan.view.inputs)
    if limit is not None and most > limit:
        need, have = f"{most} synapses onto one neuron", f"{limit} ({plan.target.title})"
        yield Finding("ND-M205", plan.view.neurons.name, need, have, _SMALLER["fan_in"])


def _cells(plan: CutPlan) -> Iterator[Finding]:
    """Weights that no cells hold, once columns that add several exponents are as wide as all of them."""
    bits = array_bits(plan.view.inputs)
    alone = max((weight_bits_of(one.synapses) for one in plan.view.inputs if one.rows), default=0)
    if plan.crossbar and bits > alone and plan.target.cells(bits) is None:
        need, mend = f"cells for weights of {bits} bits over all exponents", "a target with wider weights"
        yield Finding("ND-M207", plan.view.neurons.name, need, "none that hold them", mend)


def _sourced(findings: list[Finding], network: ChipNetwork, graph: Graph | None) -> list[Finding]:
    """Findings with the lines of the user's code, each once."""
    lines: Mapping[str, str] = {node.name: str(node.source) for node in graph.nodes} if graph else {}
    return list(dict.fromkeys(replace(f, source=f.source or line_of(f.layer, network, lines)) for f in findings))


def line_of(population: str, network: ChipNetwork, lines: Mapping[str, str]) -> str:
    """The line of the layer that a population belongs to: the one that it computes, or whose helper it is."""
    neurons = network.by_name.get(population)
    names = [neurons.value if neurons else "", population, population.split("/", maxsplit=1)[0]]
    return next((lines[name] for name in names if lines.get(name)), "")
