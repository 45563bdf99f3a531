"""What a target file holds, and the check of it that lists everything wrong at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from neurodeploy.errors import Finding
from neurodeploy.numerics import PROFILES, Profile

STATUSES = ("datasheet", "paper", "measured", "assumed", "absent")
TEXTS = ("name", "title", "profile")
_NO_WIDTHS = ("name", "chip")  # of a profile: a file says neither in its arithmetic
_STEPS = {"delay_max": "time step"}

SCHEMA: Mapping[str, Mapping[str, str]] = {
    "arithmetic": {f.name: _STEPS.get(f.name, "bit") for f in fields(Profile) if f.name not in _NO_WIDTHS},
    "core": {"neurons": "neuron", "memory": "byte", "synapse_memory": "byte", "axons_in": "axon"},
    "chip": {"cores": "core", "neurons": "neuron", "synapses": "synapse", "area": "mm2"},
    "energy": {"synapse": "pJ", "neuron_update": "pJ", "spike_hop": "pJ"},
    "time": {"barrier": "ns"},
}
"""Table -> key -> unit. A file has every key; a number that nobody published has the status "absent" and no value.

A target without a chip, where the CPU backends alone run, has the arithmetic and no other table.
"""
CHIP = tuple(table for table in SCHEMA if table != "arithmetic")


@dataclass(frozen=True)
class Fact:
    """One number. value: None where the status is "absent". status: how well it is known, see STATUSES."""

    unit: str
    source: str
    status: str
    value: float | int | None = None


@dataclass(frozen=True)
class Target:
    """A chip, or the CPU backends alone.

    profile: name of its arithmetic in `neurodeploy.numerics`.  facts: table -> key -> Fact.  file: its path.
    """

    name: str
    title: str
    profile: str
    facts: Mapping[str, Mapping[str, Fact]]
    file: str = ""

    @property
    def arithmetic(self) -> Profile:
        """The widths that the interval proof holds a network to; equal to the file's, which was checked."""
        return PROFILES[self.profile]

    def value(self, table: str, key: str) -> float | int | None:
        """A number in the schema's unit; None where it is absent, or where there is no chip."""
        return self.facts[table][key].value if table in self.facts else None

    def as_json(self) -> dict[str, Any]:
        """The target as plain data."""
        return asdict(self)


def parse(document: Mapping[str, Any], file: str) -> tuple[Target | None, tuple[Finding, ...]]:
    """The target of a TOML document, or None with everything that is wrong."""
    findings = (*_shape(document, file), *_facts(document, file))
    if findings:
        return None, findings
    facts = {table: {key: Fact(**document[table][key]) for key in SCHEMA[table]} for table in _tables(document)}
    target = Target(document["name"], document["title"], document["profile"], facts, file)
    findings = tuple(_disagreements(target))
    return (None if findings else target), findings


def _tables(document: Mapping[str, Any]) -> Iterator[str]:
    """The tables that a file must have: without any that describes a chip, it is no chip's."""
    chip = any(table in document for table in CHIP)
    return (table for table in SCHEMA if chip or table not in CHIP)


def _shape(document: Mapping[str, Any], file: str) -> Iterator[Finding]:
    """Missing, unknown and ill-typed keys above the numbers."""
    for key in (key for key in document if key not in SCHEMA and key not in TEXTS):
        yield _finding("ND-T004", key, f"one of {', '.join((*TEXTS, *SCHEMA))}", "an unknown key", file)
    for key in TEXTS:
        if not isinstance(document.get(key), str) or not document[key]:
            yield _finding("ND-T003", key, "text", _have(document, key), file)
    if isinstance(document.get("profile"), str) and document["profile"] not in PROFILES:
        yield _finding("ND-T007", "profile", f"one of {', '.join(PROFILES)}", document["profile"], file)


def _facts(document: Mapping[str, Any], file: str) -> Iterator[Finding]:
    for table in _tables(document):
        keys = SCHEMA[table]
        held = document.get(table)
        if not isinstance(held, dict):
            yield _finding("ND-T003", table, f"a table [{table}]", _have(document, table), file)
            continue
        for key in (key for key in held if key not in keys):
            yield _finding("ND-T004", f"{table}.{key}", f"one of {', '.join(keys)}", "an unknown key", file)
        for key, unit in keys.items():
            for code, need, have in _fact_problems(held, key, unit):
                yield _finding(code, f"{table}.{key}", need, have, file)


def _fact_problems(table: Mapping[str, Any], key: str, unit: str) -> Iterator[tuple[str, str, str]]:
    """(code, need, have) of one number."""
    fact = table.get(key)
    if not isinstance(fact, dict):
        yield "ND-T003", "a table of value, unit, source, status", _have(table, key)
        return
    for extra in (name for name in fact if name not in {f.name for f in fields(Fact)}):
        yield "ND-T004", "value, unit, source, status", f"an unknown key {extra}"
    if fact.get("unit") != unit:
        yield "ND-T005", f'unit = "{unit}"', _have(fact, "unit")
    if not isinstance(fact.get("source"), str) or not fact["source"]:
        yield "ND-T003", "a source", _have(fact, "source")
    status = fact.get("status")
    if status not in STATUSES:
        yield "ND-T006", f"a status of {', '.join(STATUSES)}", _have(fact, "status")
    elif status == "absent" and "value" in fact:
        yield "ND-T006", "no value where the status is absent", _have(fact, "value")
    elif status != "absent" and not _number(fact.get("value")):
        yield "ND-T003", "a value: a number >= 0", _have(fact, "value")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _disagreements(target: Target) -> Iterator[Finding]:
    """Widths of the file that are not those of the profile in `numerics`, which the proof and all backends use."""
    for key in SCHEMA["arithmetic"]:
        width = getattr(target.arithmetic, key)
        if target.value("arithmetic", key) != width:
            have = f"{target.value('arithmetic', key)}"
            need = f"{width}, as in profile {target.profile}"
            yield _finding("ND-T008", f"arithmetic.{key}", need, have, target.file)


def _have(table: Mapping[str, Any], key: str) -> str:
    return repr(table[key]) if key in table else "nothing"


def _finding(code: str, key: str, need: str, have: str, file: str) -> Finding:
    return Finding(code, key, need, have, "correct the target file; targets/loihi2.toml is an example", file)
