"""Latency and energy of a sample, from the chip's constants; a constant that is absent switches its figure off.

With N time steps a sample (T of the network; T x P where attention is streamed with a period P), samples that stream
back to back, and D steps from the source to the output, the first result is complete after D + N steps, and one more
follows every N steps (`neurodeploy.ir.mapped`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from neurodeploy.ir.chip import Placement
from neurodeploy.mapping.bill_arrays import Reads
from neurodeploy.mapping.bill_figures import Constants, Figure, absent, computed, counted, missing, total, weaker, worst
from neurodeploy.mapping.bill_loads import Loads

MICRO = 1e-6  # uJ a pJ
PLACES = "coordinates of the cores"  # what is absent where tiles, or pairs of them, are too many


@dataclass(frozen=True)
class Case:
    """What costs are computed from.

    basis: of the firing rates, "measured" or "bound".  steps: of a sample, T x period.  reads: of analog arrays.
    """

    chip: Constants
    placement: Placement
    loads: Loads
    basis: str
    steps: int
    depth: int
    reads: Reads | None = None

    @property
    def fires(self) -> str:
        """The basis of what the neurons do that fire."""
        return weaker(self.basis, self.loads.least)

    @property
    def sends(self) -> str:
        """The basis of the messages."""
        return weaker(self.basis, self.loads.links.least if self.loads.links else self.basis)


def pipeline(case: Case) -> tuple[Figure, ...]:
    """Depth, steps a sample, latency and throughput in steps; in time where the chip's times are known."""
    steps, depth, step = case.steps, case.depth, step_time(case)
    first = "latency of the first sample"
    return (
        counted("depth", depth, "steps", "steps from the source to the output, 1 + delay a crossbar"),
        counted("steps a sample", steps, "steps", "N, T x period; samples stream back to back"),
        counted(first, depth + steps, "steps", "depth + N"),
        counted("throughput", 1 / steps, "samples/step", "1 / N"),
        step,
        _of_step(step, f"{first} in time", "ms", lambda ns: ns * (depth + steps) * 1e-6, "(depth + N) steps"),
        _of_step(
            step, "throughput in time", "samples/s", lambda ns: 1e9 / (ns * steps) if ns else 0.0, "1 / (N steps)"
        ),
    )


def _of_step(step: Figure, name: str, unit: str, compute: Callable[[float], float], formula: str) -> Figure:
    """A figure of the time that a step takes."""
    if step.value is None:
        return missing(name, unit, formula, step.absent, step.basis)
    return Figure(name, compute(step.value), unit, step.status, f"{formula}, a step: {step.source}", step.basis)


def step_time(case: Case) -> Figure:
    """How long a step takes: a fixed tick, the reads of the arrays, or the busiest core; and the barrier."""
    name, chip, held = "time a step", case.chip, case.loads.cores
    tick = chip.fact("time", "tick")
    if tick is not None and tick.value is not None:
        return computed(name, "ns", chip, ("time.tick",), "the chip's tick", lambda ns: ns)
    barrier = "time.barrier" if case.placement.chips <= 1 else "time.barrier_chips"
    if case.reads is not None:
        reads = case.reads.serial
        formula = (
            f"{reads} reads, one after another, of the array that is read most ({case.reads.layer}), each as long as "
            "its read or the conversions of the columns that share a converter; barrier"
        )
        read_keys = ("time.read", "adc.columns_a_converter", "time.conversion", barrier)

        def read_all(read: float, columns: int, conversion: float, end: float) -> float:
            return reads * max(read, columns * conversion) + end

        return computed(name, "ns", chip, read_keys, formula, read_all)
    keys = ("time.synapse", "time.neuron_active", "time.neuron_inactive", barrier)
    formula = "busiest core: events x synapse + fired x active + others x inactive; barrier; ways of spikes not counted"
    if held is None:
        return missing(name, "ns", formula, (PLACES, *absent(chip, keys)), case.fires)

    def longest(synapse: float, active: float, inactive: float, end: float) -> float:
        idle = held.neurons - held.fired
        return float((held.events * synapse + held.fired * active + idle * inactive).max(initial=0)) + end

    return computed(name, "ns", chip, keys, formula, longest, case.fires)


def energy(case: Case) -> tuple[Figure, ...]:
    """Energy of a sample by its parts, their sum, and the sum of the parts that are known."""
    found, steps, chip = case.loads, case.steps, case.chip
    silent = found.neurons - found.fired
    neurons = computed(
        "neurons",
        "uJ",
        chip,
        ("energy.neuron_active", "energy.neuron_inactive"),
        f"N x ({found.fired:,.0f} that fire x active + {silent:,.0f} others x inactive)",
        lambda active, inactive: steps * (found.fired * active + silent * inactive) * MICRO,
        case.fires,
    )
    parts = (_synapses(case), neurons, _messages(case), _static(case))
    known = [part for part in parts if part.value is not None]
    names = ", ".join(part.name for part in known)
    some = (total("energy a sample, known parts", known, f"sum of {names}"),) if 0 < len(known) < len(parts) else ()
    return (*parts, total("energy a sample", parts, "sum of synapses, neurons, messages and static"), *some)


def _synapses(case: Case) -> Figure:
    """Synaptic events, or what the reads of analog arrays take."""
    steps, found = case.steps, case.loads.events
    if case.reads is None:
        formula = f"N x {found:,.0f} synaptic events x synapse"
        return computed(
            "synapses", "uJ", case.chip, ("energy.synapse",), formula, lambda pj: steps * found * pj * MICRO, case.basis
        )
    reads = case.reads
    formula = (
        f"N x ({reads.conversions:,.0f} conversions + {reads.cells:,.0f} driven cells + {reads.rows:,.0f} driven rows)"
    )

    def spent(conversion: float, cell: float, row: float) -> float:
        return steps * (reads.conversions * conversion + reads.cells * cell + reads.rows * row) * MICRO

    keys = ("energy.conversion", "energy.cell", "energy.row")
    return computed("synapses", "uJ", case.chip, keys, formula, spent, case.basis)


def _messages(case: Case) -> Figure:
    """Messages within a router and over the mesh, and those to other chips where there are several."""
    several = ("energy.hop_chip",) if case.placement.chips > 1 else ()
    keys = ("energy.spike_tile", "energy.hop_x", "energy.hop_y", *several)
    links, steps = case.loads.links, case.steps
    if links is None:
        formula = "N x (messages x spike_tile + hops)"
        return missing("messages", "uJ", formula, (PLACES, *absent(case.chip, keys)), case.sends)
    formula = (
        f"N x ({links.messages:,.0f} messages x spike_tile + {links.hops_x:,.0f} x hop_x + {links.hops_y:,.0f} x hop_y"
        f" + {links.crossings:,.0f} x hop_chip)"
    )

    def spent(tile: float, x: float, y: float, chip: float = 0.0) -> float:
        hops = links.hops_x * x + links.hops_y * y + links.crossings * chip
        return steps * (links.messages * tile + hops) * MICRO

    return computed("messages", "uJ", case.chip, keys, formula, spent, case.sends)


def _static(case: Case) -> Figure:
    """Power without events, in the time of a sample: of whole chips, or of the cores that are used."""
    step, whole = step_time(case), case.chip.fact("power", "static_chip")
    by_chip = whole is not None and whole.value is not None and case.placement.chips > 0
    key, count = (
        ("power.static_chip", case.placement.chips) if by_chip else ("power.static_core", case.placement.used_cores)
    )
    formula = f"{count:,} {'chips' if by_chip else 'used cores'} x static power x N steps"
    if step.value is None:
        return missing(
            "static", "uJ", formula, tuple(dict.fromkeys((*absent(case.chip, (key,)), *step.absent))), case.basis
        )
    length = step.value * case.steps  # ns; mW times ns are pJ
    found = computed("static", "uJ", case.chip, (key,), formula, lambda mw: count * mw * length * MICRO, step.basis)
    return found if found.value is None else replace(found, status=worst((found.status, step.status)))
