"""The bill of a network on a chip: whether it fits, on how many cores and chips, what binds, how long, how much.

It is made from the symbolic network, its tiles and their placement; no synapse is listed for it. Every number is a
`bill_figures.Figure`; docs/mapping.md has the equations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from neurodeploy.errors import DoesNotFitError, Finding, UnsupportedModelError, UsageError
from neurodeploy.ir.chip import ChipNetwork, Placement, Tiling
from neurodeploy.ir.proof import Bound
from neurodeploy.mapping.bill_activity import Activity, Rates, activity
from neurodeploy.mapping.bill_arrays import reads_of
from neurodeploy.mapping.bill_constraints import constraint_rows
from neurodeploy.mapping.bill_costs import Case, energy, pipeline
from neurodeploy.mapping.bill_figures import Figure, computed, counted, weaker, worst
from neurodeploy.mapping.bill_loads import ONCE, Loads, loads
from neurodeploy.mapping.bill_neurons import narrow_membranes
from neurodeploy.mapping.bill_second import SecondOpinion
from neurodeploy.mapping.bill_uses import NAMES, LayerUse, Resource, layers_of, limit_fact, lower_bound, resources_of
from neurodeploy.mapping.constraint import Constraint
from neurodeploy.mapping.observed import Observed
from neurodeploy.mapping.place_room import room_of
from neurodeploy.mapping.place_traffic import Traffic
from neurodeploy.targets.target import Target

SCHEMA = "neurodeploy.map"
ONE_OF_EQUALS = "neurons and synapses of every population, limits, and of equal tiles the box of one"
VERSION = 1


@dataclass(frozen=True)
class Bill:
    """What a network takes on a chip.

    fits: whether the chip can take it as it is; else `findings` say all that it cannot. What could be counted all the
    same is here; figures stop where a stage refused.
    attention: what was asked for, what was taken, and every alternative with its price.  neurons: "stock" or "custom".
    sections: title -> figures.  resources: used and limit of each.  bottleneck: the resource with the highest share.
    layers: populations in order of depth.  constraints: how every tile keeps to the spike-count constraint.
    notes: what to know of the numbers, in words.  second: another simulator's figures beside them, where given.
    network, placement: what the bill was made from, None where it came to neither; not part of the document.
    """

    name: str
    target: str
    title: str
    neurons: str
    fits: bool
    attention: Mapping[str, Any]
    sections: Mapping[str, tuple[Figure, ...]]
    resources: tuple[Resource, ...] = ()
    layers: tuple[LayerUse, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    samples: int = 0
    constraints: tuple[Constraint, ...] = ()
    observed: tuple[Observed, ...] = ()
    network: ChipNetwork | None = None
    placement: Placement | None = None
    activity: Activity | None = None
    second: SecondOpinion | None = None

    @property
    def bottleneck(self) -> Resource | None:
        """The resource of which the highest share of all used cores is taken."""
        shared = [resource for resource in self.resources if resource.share is not None]
        return max(shared, key=lambda resource: resource.share or 0.0, default=None)

    def figure(self, section: str, name: str) -> Figure:
        """A figure by its section and name. Raises UsageError (ND-M503) with those that there are."""
        found = next((one for one in self.sections.get(section, ()) if one.name == name), None)
        if found is None:
            known = [figure.name for figure in self.sections[section]] if section in self.sections else [*self.sections]
            what = "figure" if section in self.sections else "section"
            have = f"the {what}s {', '.join(known) or 'of no stage: nothing could be lowered'}"
            mend = "take one of them" if self.fits else "bill.findings: what could not be mapped has no such figure"
            raise UsageError(Finding("ND-M503", "", f"{section}, {name}", have, mend))
        return found

    def require_fit(self) -> Bill:
        """The bill itself. Raises DoesNotFitError with everything that does not fit."""
        if self.findings:
            raise DoesNotFitError(self.findings)
        return self

    def as_json(self) -> dict[str, Any]:
        """The bill as plain data."""
        held = self.bottleneck
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "name": self.name,
            "target": self.target,
            "title": self.title,
            "neurons": self.neurons,
            "fits": self.fits,
            "samples": self.samples,
            "bottleneck": None if held is None else held.name,
            "attention": dict(self.attention),
            "sections": {title: [figure.as_json() for figure in found] for title, found in self.sections.items()},
            "resources": [resource.as_json() for resource in self.resources],
            "layers": [asdict(layer) for layer in self.layers],
            "findings": [asdict(finding) for finding in self.findings],
            "constraints": [asdict(row) for row in constraint_rows(self.constraints, self.observed)],
            "notes": list(self.notes),
            "second_opinion": None if self.second is None else self.second.as_json(),
        }


Traffics = Callable[[], Traffic | None]  # of which there may be too much to be listed


class Measured(NamedTuple):
    """Rates of populations, the samples behind them, and constraints beside what was seen of them in some steps."""

    rates: Mapping[str, Rates]
    samples: int
    observed: tuple[Observed, ...] = ()


@dataclass(frozen=True)
class Stages:
    """The stages of a mapping; each may raise DoesNotFitError or UnsupportedModelError.

    place: checked, with the traffic between tiles that it was made for.
    measure: None without images.
    """

    lower: Callable[[], ChipNetwork]
    tile: Callable[[ChipNetwork], Tiling]
    constrain: Callable[[Tiling], Sequence[Constraint]]
    place: Callable[[Tiling, Mapping[str, Rates]], tuple[Placement, Traffics]]
    measure: Callable[[Tiling, Sequence[Constraint]], Measured] | None = None


@dataclass(frozen=True)
class Asked:
    """What a bill was asked for.

    attention: see `Bill`.  bounds: of the proof.
    """

    name: str
    target: Target
    neurons: str
    attention: Mapping[str, Any]
    bounds: Sequence[Bound] = ()


def make_bill(asked: Asked, stages: Stages, progress: Callable[[str], None] | None = None) -> Bill:
    """The bill, of what came to be: a stage that refuses ends it with its findings.

    Raises VerifyError where the check finds a fault of the mapping.
    """
    say, target = progress or (lambda stage: None), asked.target
    bill = Bill(asked.name, target.name, target.title, asked.neurons, False, asked.attention, {})
    if target.kind == "cpu":
        mend = "neurodeploy targets list; --target loihi2, for one"
        return replace(bill, findings=(Finding("ND-M501", "", "a chip", target.title, mend),))
    try:
        say("lower")
        network = stages.lower()
        bill = replace(bill, network=network, sections={"size": size_of(network)})
        bill = replace(bill, layers=layers_of(network, None, target))
        bill = replace(bill, findings=tuple(narrow_membranes(target, asked.bounds)))
        say("tile")
        tiling = stages.tile(network)
        bill = replace(bill, layers=layers_of(network, tiling, target), resources=resources_of(tiling, None, target))
        say("spike-count constraints")
        met = stages.constrain(tiling)
        bill = replace(bill, constraints=tuple(met))
        say("firing rates")
        measured = stages.measure(tiling, met) if stages.measure else Measured({}, 0)
        bill = replace(bill, observed=measured.observed)
        active = activity(network, measured.rates, measured.samples)
        say("place")
        placement, traffic = stages.place(tiling, active.rates)
    except (DoesNotFitError, UnsupportedModelError) as error:
        return replace(bill, findings=(*bill.findings, *error.findings))
    say("latency and energy")
    return _placed(bill, asked, placement, active, traffic)


def _placed(bill: Bill, asked: Asked, placement: Placement, active: Activity, traffic: Traffics) -> Bill:
    network, room = active.network, room_of(asked.target)
    found = loads(placement, active, room, traffic) if room else Loads(0, 0.0, 0.0)
    analog = asked.target.fact("adc", "bits") is not None
    reads = reads_of(placement.tiling, active, bill.constraints) if analog else None
    steps = network.steps * network.period
    case = Case(asked.target, placement, found, active.worst, steps, network.depth, reads)
    sections = {
        "cores and chips": _chips(placement, asked.target),
        "size": size_of(network),
        "pipeline": pipeline(case),
        "traffic": _traffic(found, placement, active),
        "energy": energy(case),
    }
    return replace(
        bill,
        fits=not bill.findings,
        sections=sections,
        resources=resources_of(placement.tiling, placement, asked.target),
        notes=tuple(_notes(placement, active, analog)),
        samples=active.samples,
        placement=placement,
        activity=active,
    )


def size_of(network: ChipNetwork) -> tuple[Figure, ...]:
    """Neurons by kind and synapses; a source is the host's."""
    kinds = Counter[str]()
    for neurons in network.neurons:
        kinds[neurons.kind] += neurons.size
    total = sum(count for kind, count in kinds.items() if kind != "source")
    source = "the symbolic network"
    return (
        counted("neurons", total, "neurons", f"{source}, the source left out"),
        *(counted(f"{kind} neurons", kinds[kind], "neurons", source) for kind in sorted(kinds)),
        counted("synapses", sum(s.count for s in network.synapses), "synapses", f"{source}, without shared weights"),
        counted("synapses, weight not zero", sum(s.nonzero for s in network.synapses), "synapses", source),
    )


def _chips(placement: Placement, target: Target) -> tuple[Figure, ...]:
    """Tiles, cores and chips; a count is as well known as the worst of the limits that it keeps."""
    known = {name: limit_fact(target, name) for name in NAMES}
    limits = {name: fact for name, fact in known.items() if fact is not None}
    held = {name: fact for name, fact in limits.items() if fact.value is not None}
    status = worst([fact.status for fact in held.values()])
    keeps = ", ".join(f"{name} ({fact.status})" for name, fact in held.items())
    unknown = [name for name in limits if name not in held]
    keeps += f"; no limit known of {', '.join(unknown)}" if unknown else ""
    least = lower_bound(placement.tiling.network, target) if "synapse_memory" in held else ""
    status = worst((status, "assumed")) if least else status
    packed = f"tiles packed into cores within the limits of {keeps}{least}"
    packed_in = f"{placement.used_cores:,} cores, so many a chip{least}"
    each = computed("chips", "chips", target, ("chip.cores",), packed_in, lambda cores: cores)
    chips = each if each.value is None else replace(each, value=placement.chips, status=worst((status, each.status)))
    return (
        counted("tiles", placement.tiling.tiles, "tiles", "boxes of neurons times parts of their fan-in"),
        Figure("cores", placement.used_cores, "cores", status, packed),
        chips,
    )


def _traffic(found: Loads, placement: Placement, active: Activity) -> tuple[Figure, ...]:
    """Messages and events a step; of the busiest core and link where there are coordinates."""
    basis, rates = active.worst, _said(active)
    figures = [
        counted("neurons that send a step", found.fired, "neurons/step", rates, weaker(basis, found.least)),
        counted("synaptic events a step", found.events, "events/step", f"{rates}; weights of zero left out", basis),
    ]
    if found.cores is not None:
        held = found.cores.events
        figures.append(_busiest("synaptic events of", held, "events/step", placement, rates, basis))
    if found.links is None:
        return tuple(figures)
    links, basis = found.links, weaker(basis, found.links.least)
    figures += [
        _busiest("messages into", links.received, "messages/step", placement, rates, basis),
        _busiest("messages out of", links.sent, "messages/step", placement, rates, basis),
        counted("messages", links.messages, "messages/step", f"{rates}; {links.how}", basis),
        counted("busiest link of a chip", links.busiest, "messages/step", f"{links.place}; {rates}", basis),
    ]
    if links.host is not None:
        source = f"{rates}; of the source, {ONCE}; not in the others"
        figures.append(counted("messages from the host", links.host, "messages/step", source, active.worst))
    if placement.chips > 1:
        place = f"{links.crossing_place}; {rates}"
        figures.append(counted("busiest link between chips", links.busiest_crossing, "messages/step", place, basis))
    return tuple(figures)


def _busiest(what: str, values: Rates, unit: str, placement: Placement, rates: str, basis: str) -> Figure:
    core = int(values.argmax())
    layers = ", ".join(dict.fromkeys(tile.population for tile in placement.cores[core]))
    chip, x, y = placement.at[core]
    place = f"core {placement.slots[core]} of chip {chip} at router ({x}, {y}), which holds {layers}"
    return counted(f"{what} the busiest core", float(values[core]), unit, f"{place}; {rates}", basis)


def _said(active: Activity) -> str:
    if not active.samples:
        return "bound: every neuron in every step"
    bounded = sum(status == "bound" for status in active.status.values())
    also = f", {bounded} of {len(active.status)} populations by bound" if bounded else ""
    return f"measured on {active.samples} samples{also}"


def _notes(placement: Placement, active: Activity, analog: bool) -> Iterator[str]:
    what = "neurons, synapses, limits and places" if placement.cores else ONE_OF_EQUALS
    yield f"checked: {what} recounted from the patterns by code of its own"
    if placement.note:
        yield placement.note
    if analog:
        yield (
            "arrays hold the sums of SSA's products too, and weights as wide as each layer's widest: `evaluate` "
            "computes these sums digitally and takes 8 bits a weight, so its tiles and reads are others"
        )
    if not active.samples:
        yield "no images: spikes, energy and time are bounds, with every neuron firing in every step"
