"""Targets for tests of the mapping: every chip that is shipped, able to compute all that a network asks, and variants
with random limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.targets import Fact, Target, available, load_target

ROOM = {  # limit of a core: from, to
    "core__neurons": (4, 300),
    "core__synapse_memory": (64, 8000),
    "core__axons_in": (40, 900),
    "core__axons_out": (200, 6000),
    "core__synapses": (100, 6000),
}
ARRAYS = {"crossbar__rows": (32, 257), "crossbar__columns": (16, 257)}


def chips() -> list[str]:
    """All targets that are chips."""
    return [name for name in available() if load_target(name).kind != "cpu"]


def with_facts(target: Target, **values: object) -> Target:
    """The target with facts of its own, `table__key=value`."""
    facts = {table: dict(own) for table, own in target.facts.items()}
    for name, value in values.items():
        table, key = name.split("__")
        known = facts.setdefault(table, {}).get(key)
        facts[table][key] = Fact(known.unit if known else "", "a test", "assumed", value)  # type: ignore[arg-type]
    return replace(target, facts=facts)


def able(name: str) -> Target:
    """The chip with neurons of every stock kind, and payloads wide enough for any network."""
    kinds = {f"neuron__{kind}": True for kind in ("lif", "sum", "relu", "product")}
    return with_facts(load_target(name), **kinds, neuron__payload_bits=24)


def limited(target: Target, random: np.random.Generator) -> Target:
    """The target with random limits of its cores (two of three), and a random mesh of up to 40 cores a chip."""
    cores, wide, each = (int(random.integers(1, n)) for n in (40, 7, 3))
    values: dict[str, object] = {"chip__cores": cores, "chip__mesh_x": wide, "chip__cores_a_router": each}
    values |= {"chip__mesh_y": -(-cores // (wide * each)), "chip__chips": int(random.integers(1, 40))}
    for name, (low, high) in (ROOM if target.kind == "cores" else ARRAYS).items():
        if random.random() < 2 / 3:
            values[name] = int(random.integers(low, high))
    return with_facts(target, **values)
