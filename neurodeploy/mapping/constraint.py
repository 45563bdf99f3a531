"""The spike-count constraint: how many rows of a tile may be active in one step, and how the network keeps to it.

Two widths bound the rows. An ADC of b bits reads a column's sum exactly up to 2^b - 1; a read of more rows may clip. An
accumulator takes sums up to its own width. Either is kept to, in this order, because no image can exceed it (worst
case); because the structure of the network rules that out (structure); or, for an ADC, because the rows of a tile are
read in turns, or lie in tiles of their own, and their sums are added (rows split). What none of these meets is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.chip import Box, Cut, Neurons, TileClass, Tiling
from neurodeploy.ir.chip_counts import sources_of
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.types import Interval
from neurodeploy.ir.verify import types
from neurodeploy.mapping.constraint_widths import EVERY, accumulator, axons_within, cell_rows, sums_of
from neurodeploy.mapping.structure import AtMost, Structure, same_loops, structure_of
from neurodeploy.mapping.tile_cut import Measure
from neurodeploy.mapping.tile_features import BITS
from neurodeploy.mapping.tile_inputs import Input
from neurodeploy.mapping.tiles import line_of
from neurodeploy.targets import Target

How = Literal["worst case", "structure", "rows split"]
Quantity = Literal["converter", "accumulator"]


@dataclass(frozen=True)
class Constraint:
    """Of the tiles of one class, or of the neurons of a population.

    population, layer: whose, and the layer of the quantized graph it belongs to.  quantity: what limits the rows.
    rows: of the tile; of an accumulator, the axons of a neuron.  bound: of them, active in one step at most.
    limit: rows that may be active, whichever they are.  how: it is met.  parts: tiles that share the fan-in of a box.
    reads: of the tile's rows, one group after another, for one plane and one place.  planes: reads that a payload
    takes, see `planes_of`.  places: neurons that share a column, each read in its turn; a step takes
    reads * planes * places.
    sums: what a neuron receives, at worst, and `width` what it can take (accumulators alone; where the structure tells,
    sums are what the graph proves of them).  tiles: in the class; of an accumulator, 1.
    port: that an accumulator belongs to, "" of a converter.
    """

    population: str
    layer: str
    quantity: Quantity
    rows: int
    bound: int
    limit: int
    how: How
    parts: int = 1
    reads: int = 1
    planes: int = 1
    places: int = 1
    sums: Interval | None = None
    width: Interval | None = None
    tiles: int = 1
    port: str = ""


def constraints(
    tiling: Tiling,
    target: Target,
    graph: Graph | None = None,
    given: Mapping[str, tuple[AtMost, ...]] | None = None,
) -> tuple[Constraint, ...]:
    """How every tile and every neuron keeps to the spike-count constraint.

    graph: the quantized graph, whose intervals know more of a sum than its synapses do.  given: facts about
    populations, see `structure_of`.  Raises DoesNotFitError: ND-M210 rows that a converter cannot read exactly and
    that cannot be split, ND-M211 sums beyond the accumulator.
    """
    facts = structure_of(tiling.network, given)
    every = [
        one
        for cut in tiling.cuts.values()
        for one in (*_accumulators(tiling, cut, target, graph), *_converters(tiling, cut, target, facts))
    ]
    findings = [one for one in every if isinstance(one, Finding)]
    if findings:
        lines = {node.name: str(node.source) for node in graph.nodes} if graph else {}
        raise DoesNotFitError(replace(f, source=line_of(f.layer, tiling.network, lines)) for f in findings)
    return tuple(one for one in every if isinstance(one, Constraint))


def _layer(neurons: Neurons) -> str:
    return neurons.value or neurons.name.split("/", maxsplit=1)[0]


def _converters(tiling: Tiling, cut: Cut, target: Target, facts: Structure) -> Iterator[Constraint | Finding]:
    """Each class of tiles that an ADC reads."""
    inputs = [one for one in measure_of(cut).plan.view.inputs if one.rows]
    general = target.active_rows
    if target.kind != "crossbar" or target.adc_bits is None or general is None or not inputs:
        return
    limit = max(general, min(cell_rows(inputs, target), target.rows_a_read or general))
    sent = [tiling.network.by_name[one.synapses.source].interval for one in inputs]
    planes = max(planes_of(one, target.input_bits) for one in sent)
    for one in cut.classes:
        yield _converter(cut, one, (limit, planes), tiling.network.by_name[cut.population], facts, target)


def _converter(
    cut: Cut, one: TileClass, limits: tuple[int, int], neurons: Neurons, facts: Structure, target: Target
) -> Constraint | Finding:
    (limit, planes), rows = limits, one.use.rows
    bound = rows if rows <= limit else most_active(cut, one, facts)
    how: How = "worst case" if rows <= limit else "structure" if bound <= limit else "rows split"
    if how == "rows split" and not (limit and target.adds_partial_sums):
        need = f"{bound} rows that may be active in one step, of {rows} in a tile"
        mend = "a target with a wider converter or that adds partial sums, or a smaller fan-in"
        return Finding("ND-M210", cut.population, need, f"at most {limit} ({target.title})", mend)
    reads = -(-rows // limit) if how == "rows split" else 1
    name, layer, places = cut.population, _layer(neurons), measure_of(cut).places(one.example)
    turns = (cut.parts, reads, planes, places)
    return Constraint(name, layer, "converter", rows, bound, limit, how, *turns, tiles=one.count)


def measure_of(cut: Cut) -> Measure:
    """The measure of a cut that `tile` made. Raises TypeError for another."""
    if not isinstance(cut.measure, Measure):
        raise TypeError("a cut that neurodeploy.mapping.tiles made")
    return cut.measure


def planes_of(sent: Interval, input_bits: int) -> int:
    """Reads that a payload takes, input_bits at a time; the sign of a signed one is a read of its own."""
    bits = max(sent.hi, -sent.lo - 1, 0).bit_length()
    return max(1, -(-bits // input_bits) + (sent.lo < 0))


def most_active(cut: Cut, one: TileClass, facts: Structure) -> int:
    """Rows of a tile that can be active in one step at most, by the structure of the network."""
    measure, found = measure_of(cut), list[tuple[Input, int]]()
    for given, rows in zip(measure.plan.view.inputs, measure.rows(one.example), strict=True):
        most = min(rows, given.rows * _most_of(given, one, measure, facts)) if rows else 0
        twin = next((i for i, (other, _) in enumerate(found) if _apart(other, given, facts)), None)
        if twin is None:
            found.append((given, most))
        else:  # both have the same rows; a neuron whose twin is found is paired no more
            found[twin] = replace(found[twin][0], rows=0), min(rows, found[twin][1] + most)
    return sum(most for _, most in found)


def _apart(one: Input, other: Input, facts: Structure) -> bool:
    """Whether the axons of two inputs are twins, at most one of each two active."""
    pair = frozenset((one.synapses.source, other.synapses.source))
    return pair in facts.apart and 0 < one.rows == other.rows and same_loops(one.synapses, other.synapses)


def _most_of(given: Input, one: TileClass, measure: Measure, facts: Structure) -> int:
    """Axons of one input that can be active, from what is known along an axis of its source."""
    best = EVERY
    for fact in facts.most.get(given.synapses.source, ()):
        found = [_along(fact, given, box) for box in _boxes(given, one, measure)]
        best = min(best, max(found))
    return best


def _along(fact: AtMost, given: Input, box: Box) -> int:
    """Active axons of the bounding box of those that reach a box, at most."""
    read = sources_of(given.synapses, box)
    if read is None:
        return 0
    n = read.shape[fact.axis]
    return read.size // n * min(n, fact.count)


def _boxes(given: Input, one: TileClass, measure: Measure) -> list[Box]:
    """The box of a tile; where places take turns, a place at each end and one in the middle."""
    box, shape = one.example.box, measure.plan.view.shape
    if not given.turns or measure.plan.view.flat:
        return [box]
    found = []
    for pick in (lambda n: 0, lambda n: n // 2, lambda n: n - 1):
        at = [(pick(n), pick(n) + 1) for n in shape]
        ends = [e if a in measure.plan.channels else p for a, (e, p) in enumerate(zip(_ends(box), at, strict=True))]
        found.append(Box(tuple(a for a, _ in ends), tuple(b for _, b in ends)))
    return found


def _ends(box: Box) -> list[tuple[int, int]]:
    return list(zip(box.start, box.stop, strict=True))


def _accumulators(tiling: Tiling, cut: Cut, target: Target, graph: Graph | None) -> Iterator[Constraint | Finding]:
    """The sums that the neurons of a population receive, port by port."""
    network = tiling.network
    neurons, inputs = network.by_name[cut.population], network.inputs(cut.population)
    width = accumulator(neurons, network, target)
    for port in dict.fromkeys(one.port for one in inputs):
        own = [one for one in inputs if one.port == port]
        sums = sums_of(own, network)
        rows = sum(one.factors.fan_in for one in measure_of(cut).plan.view.inputs if one.synapses.port == port)
        name, layer, limit = cut.population, _layer(neurons), rows
        how: How = "worst case"
        if not sums.within(width):
            limit, how = axons_within(own, network, width), "structure"
            known = _proven(neurons, graph)
            if known is None or not known.within(width):
                need = f"sums of {rows} axons in {sums if known is None else known}"
                have = f"{width} ({target.title}), at most {limit} axons at once"
                mend = f"{BITS}, or take a smaller fan-in"
                yield Finding("ND-M211", name, need, have, mend)
                continue
            sums = known
        yield Constraint(
            name, layer, "accumulator", rows, rows, limit, how, cut.parts, sums=sums, width=width, port=port
        )


def _proven(neurons: Neurons, graph: Graph | None) -> Interval | None:
    """What the graph, or the population itself, proves about the summed input of a neuron."""
    if neurons.kind == "sum":
        return neurons.interval
    if graph is None or neurons.kind != "lif" or neurons.value not in graph.by_name:
        return None
    node = graph.by_name[neurons.value]
    if node.op != "lif":
        return None
    return types(graph)[node.inputs[0]].range.scaled(1 << node.integer("weight_exp"))
