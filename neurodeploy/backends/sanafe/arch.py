"""SANA-FE's architecture file of a target: tiles on a mesh, cores, and what each event costs.

A constant that the target's file does not have is written as 0, with a comment that says so; the figures of a run that
rest on it are then lower bounds, or 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from neurodeploy.backends.sanafe.homes import HOST, UNIT, Homes
from neurodeploy.targets.target import Target

SCALE = {"energy": 1e-12, "latency": 1e-9}  # SANA-FE counts in joules and seconds, targets in pJ and ns
TABLES = {"energy": "energy", "latency": "time"}
LINK_BUFFER = 16  # messages that a link buffers; no target says, SANA-FE's own Loihi has 16

# SANA-FE's event -> the target's constant, less another one. It adds access for every neuron in every step, update
# where the neuron changes; ours are for a neuron that sends and for one that does not.
Events = Mapping[str, tuple[str | None, str | None]]
_PROCESS: Events = {"process_spike": ("synapse", None)}
_SOMA: Events = {
    "access_neuron": ("neuron_inactive", None),
    "update_neuron": (None, None),
    "spike_out": ("neuron_active", "neuron_inactive"),
}
_OUT: Events = {"message_out": ("spike_tile", None)}
_IN: Events = {"message_in": (None, None)}
_DENDRITE: Events = {"update": (None, None)}
_HOPS: Events = {
    "north_hop": ("hop_y", None),
    "east_hop": ("hop_x", None),
    "south_hop": ("hop_y", None),
    "west_hop": ("hop_x", None),
}
_FREE: Events = dict.fromkeys(_SOMA, (None, None))
_SILENT: Events = {"message_out": (None, None)}


@dataclass(frozen=True)
class Cost:
    """One attribute of SANA-FE. keys: the target's constants in it.  absent: those of them that it does not have."""

    name: str
    value: float
    said: str
    keys: tuple[str, ...]
    absent: tuple[str, ...]


def costs(target: Target, events: Events) -> Iterator[Cost]:
    """Energy and latency of each event, in joules and seconds."""
    for event, parts in events.items():
        for kind, scale in SCALE.items():
            yield _cost(target, f"{kind}_{event}", tuple(f"{TABLES[kind]}.{p}" for p in parts if p), scale)


def _cost(target: Target, name: str, keys: tuple[str, ...], scale: float) -> Cost:
    """The first constant less the second; 0 where one of them is absent, or where there is none."""
    facts = {key: target.fact(*key.split(".")) for key in keys}
    known = {key: fact for key, fact in facts.items() if fact is not None and fact.value is not None}
    absent = tuple(key for key in keys if key not in known)
    if absent:
        return Cost(name, 0.0, f"ABSENT, 0 stands for unknown: {', '.join(absent)}", keys, absent)
    if not keys:
        return Cost(name, 0.0, "0: the target counts it nowhere, or within another event", keys, absent)
    first, *less = (float(target.number(*key.split(".")) or 0) for key in keys)
    said = " less ".join(f"{key} {f.value} {f.unit} ({f.status}: {f.source})" for key, f in known.items())
    return Cost(name, float(f"{max(first - sum(less), 0.0) * scale:.12g}"), said, keys, ())


def used(target: Target, chips: int = 1) -> tuple[Cost, ...]:
    """Every cost that rests on constants of the target, once, the barrier of so many chips among them."""
    found = [cost for part in (_PROCESS, _SOMA, _OUT, _HOPS) for cost in costs(target, part) if cost.keys]
    return (*found, barrier(target, chips))


def barrier(target: Target, chips: int = 1) -> Cost:
    """The end of a step over so many chips, in seconds."""
    key = "time.barrier" if chips <= 1 else "time.barrier_chips"
    return _cost(target, "latency_sync", (key,), SCALE["latency"])


def architecture(target: Target, homes: Homes) -> str:
    """The YAML text: router (0, 0) has one core more, from which the input comes at no cost of its own."""
    mesh, end = homes.mesh, barrier(target, homes.mesh.chips)
    last = mesh.tiles - 1
    lines = [
        f"# {target.title}, written by neurodeploy from its target file; SI units.",
        "architecture:",
        f"  name: {target.name}",
        "  attributes:",
        f"    width: {mesh.width}",
        f"    height: {mesh.height}",
        f"    link_buffer_size: {LINK_BUFFER} # assumed",
        "    sync_model: fixed",
        f"    {end.name}: {end.value!r} # {end.said}",
        "  tile:",
        *_tile(target, homes, "router[0]", host=True),
        *(_tile(target, homes, f"router[1..{last}]", host=False) if last else ()),
    ]
    return "\n".join(lines) + "\n"


def _tile(target: Target, homes: Homes, name: str, host: bool) -> Iterator[str]:
    yield f"    - name: {name}"
    yield from _attributes(target, _HOPS, 6)
    yield "      core:"
    yield from _core(target, f"core[0..{homes.mesh.cores - 1}]", _SOMA, _OUT, homes.units)
    if host:
        yield from _core(target, HOST, _FREE, _SILENT, -(-homes.inputs // UNIT))


def _core(target: Target, name: str, soma: Events, out: Events, units: int) -> Iterator[str]:
    """A core of so many units: the dendrite keeps the delays, and the buffer between steps."""
    yield f"        - name: {name}"
    yield "          attributes:"
    yield "            buffer_position: dendrite"
    yield "            buffer_inside_unit: true"
    yield f"            max_neurons_supported: {units * UNIT}"
    many = f"[0..{units - 1}]"
    sections = (
        ("axon_in", "axon_in", "", _IN),
        ("synapse", "synapse", "current_based", _PROCESS),
        ("dendrite", f"dendrite{many}", "accumulator_with_delay", _DENDRITE),
        ("soma", f"soma{many}", "leaky_integrate_fire", soma),
        ("axon_out", "axon_out", "", out),
    )
    for section, unit, model, events in sections:
        yield f"          {section}:"
        yield f"            - name: {unit}"
        yield from _attributes(target, events, 14, model)


def _attributes(target: Target, events: Events, indent: int, model: str = "") -> Iterator[str]:
    pad = " " * indent
    yield f"{pad}attributes:"
    if model:
        yield f"{pad}  model: {model}"
    for cost in costs(target, events):
        yield f"{pad}  {cost.name}: {cost.value!r} # {cost.said}"
