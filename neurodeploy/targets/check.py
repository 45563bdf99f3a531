"""From a TOML document to a target, or to everything that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from neurodeploy.errors import Finding
from neurodeploy.numerics import PROFILES, Profile
from neurodeploy.targets.schema import FLAG, KINDS, MOST, REAL_UNITS, SCHEMA, STATUSES, TEXTS, Key, tables_of
from neurodeploy.targets.target import Fact, Target

_FACT = tuple(f.name for f in fields(Fact))
_WIDEST = 64  # bits of anything: what is wider is no register, and would be a number of any size
_LONGEST = 4096  # of a list, and characters of a text
_FINDINGS = 100
_SHOWN = 200  # characters of what was found


def parse(document: Mapping[str, Any], file: str) -> tuple[Target | None, tuple[Finding, ...]]:
    """The target of a TOML document, or None with everything that is wrong."""
    tables = tables_of(_features(document))
    findings = _first((*_shape(document, tables, file), *_facts(document, tables, file)), file)
    if findings:
        return None, findings
    facts = {table: {key: _fact(document[table][key]) for key in keys} for table, keys in tables.items()}
    profile = PROFILES[document["profile"]]
    facts = {"arithmetic": _widths(profile), **facts}
    name, title, kind, profile_name = (document[text] for text in TEXTS)
    target = Target(name, title, kind, profile_name, facts, file)
    findings = tuple(_disagreements(target))
    return (None if findings else target), findings


def _first(findings: tuple[Finding, ...], file: str) -> tuple[Finding, ...]:
    """As many as a person reads; a file of nothing but unknown keys would give a hundred thousand."""
    if len(findings) <= _FINDINGS:
        return findings
    more = f"{len(findings) - _FINDINGS} findings more"
    return (*findings[:_FINDINGS], _finding("ND-T010", "", "a target file", more, file))


def _features(document: Mapping[str, Any]) -> frozenset[str]:
    """What decides which tables and keys a file must have."""
    kind = document.get("kind")
    optional = {name for name, table in SCHEMA.items() if table.optional and name in document}
    return frozenset({kind if kind in KINDS else "cores"} | optional | (set() if "adc" in document else {"digital"}))


def _fact(raw: Mapping[str, Any]) -> Fact:
    value = raw.get("value")
    return Fact(raw["unit"], raw["source"], raw["status"], tuple(value) if isinstance(value, list) else value)


def _widths(profile: Profile) -> dict[str, Fact]:
    """The arithmetic of a file that says nothing of it."""
    source = f"profile {profile.name}, in which networks are proven; the chip's own neurons are not known to compute it"
    return {
        key: Fact(spec.unit, source, "assumed", getattr(profile, key))
        for key, spec in SCHEMA["arithmetic"].keys.items()
    }


def _shape(document: Mapping[str, Any], tables: Mapping[str, object], file: str) -> Iterator[Finding]:
    """Missing, unknown and ill-typed keys above the numbers."""
    for key in (key for key in document if key not in tables and key not in TEXTS):
        yield _finding("ND-T004", key, f"one of {', '.join((*TEXTS, *tables))}", _unknown(key), file)
    for key in TEXTS:
        if not _text(document.get(key)):
            yield _finding("ND-T003", key, f"text of 1 to {_LONGEST} characters", _have(document, key), file)
    for key, known in (("profile", tuple(PROFILES)), ("kind", KINDS)):
        if _text(document.get(key)) and document[key] not in known:
            yield _finding("ND-T007", key, f"one of {', '.join(known)}", _have(document, key), file)
    chip = document.get("kind") != "cpu"
    if document.get("profile") in [name for name, p in PROFILES.items() if chip and not p.chip]:
        need = f"a profile that a chip has: {', '.join(name for name, p in PROFILES.items() if p.chip)}"
        yield _finding("ND-T007", "profile", need, _have(document, "profile"), file)


def _unknown(key: str) -> str:
    return "a table of another kind of chip" if key in SCHEMA else "an unknown key"


def _facts(document: Mapping[str, Any], tables: Mapping[str, Mapping[str, Key]], file: str) -> Iterator[Finding]:
    for table, keys in tables.items():
        held = document.get(table)
        if not isinstance(held, dict):
            yield _finding("ND-T003", table, f"a table [{table}]", _have(document, table), file)
            continue
        for key in (key for key in held if key not in keys):
            have = "a key of another kind of chip" if key in SCHEMA[table].keys else "an unknown key"
            yield _finding("ND-T004", f"{table}.{key}", f"one of {', '.join(keys)}", have, file)
        for key, spec in keys.items():
            for code, need, have in _fact_problems(held, key, spec):
                yield _finding(code, f"{table}.{key}", need, have, file)


def _fact_problems(table: Mapping[str, Any], key: str, spec: Key) -> Iterator[tuple[str, str, str]]:
    """(code, need, have) of one number."""
    fact = table.get(key)
    if not isinstance(fact, dict):
        yield "ND-T003", f"a table of {', '.join(_FACT)}", _have(table, key)
        return
    for extra in (name for name in fact if name not in _FACT):
        yield "ND-T004", ", ".join(_FACT), f"an unknown key {extra[:_SHOWN]}"
    if fact.get("unit") != spec.unit:
        yield "ND-T005", f'unit = "{spec.unit}"', _have(fact, "unit")
    if not _text(fact.get("source")):
        yield "ND-T003", f"a source of 1 to {_LONGEST} characters", _have(fact, "source")
    status = fact.get("status")
    if status not in STATUSES:
        yield "ND-T006", f"a status of {', '.join(STATUSES)}", _have(fact, "status")
    elif status == "absent" and "value" in fact:
        yield "ND-T006", "no value where the status is absent", _have(fact, "value")
    elif status != "absent" and not _fits(fact.get("value"), spec):
        yield "ND-T003", _wanted(spec), _have(fact, "value")


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _LONGEST


def _most(spec: Key) -> int:
    return _WIDEST if spec.unit == "bit" else MOST


def _wanted(spec: Key) -> str:
    if spec.unit == FLAG:
        return "a value: true or false"
    what = "number" if spec.unit in REAL_UNITS else "whole number"
    listed = f", or a list of 1 to {_LONGEST} of them" if spec.listed else ""
    return f"a value: a {what} from {spec.least} to {_most(spec)}{listed}"


def _fits(value: object, spec: Key) -> bool:
    if spec.unit == FLAG:
        return isinstance(value, bool)
    if spec.listed and isinstance(value, list):
        return 1 <= len(value) <= _LONGEST and all(_number(entry, spec) for entry in value)
    return _number(value, spec)


def _number(value: object, spec: Key) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    exact = isinstance(value, int) or spec.unit in REAL_UNITS
    return exact and spec.least <= value <= _most(spec)  # False for NaN


def _disagreements(target: Target) -> Iterator[Finding]:
    """Numbers that contradict the profile in `numerics`, which the proof and all backends use, or one another."""
    for key in SCHEMA["arithmetic"].keys:
        width, have = getattr(target.arithmetic, key), target.value("arithmetic", key)
        if have != width:
            need = f"{width}, as in profile {target.profile}"
            yield _finding("ND-T008", f"arithmetic.{key}", need, f"{have}", target.file)
    for name, need, most, have in _contradictions(target):
        if most is not None and have is not None and have > most:
            yield _finding("ND-T009", name, f"{need}, at most {most}", f"{have}", target.file)


def _contradictions(target: Target) -> Iterator[tuple[str, str, float | None, float | None]]:
    """(key, what bounds it, the bound, the number)."""
    cores, mesh, at_one = target.limit("cores"), target.mesh, target.cores_a_router
    places = None if mesh is None or at_one is None else math.prod(mesh) * at_one
    yield "chip.cores", "as many as the routers have places", places, cores
    yield "core.synapse_memory", "no more than all memory", target.limit("memory"), target.limit("synapse_memory")
    yield "adc.rows_a_read", "no more than rows", target.limit("rows"), target.number("adc", "rows_a_read")
    columns = target.limit("columns")
    yield "adc.columns_a_converter", "no more than columns", columns, target.number("adc", "columns_a_converter")
    for resource in SCHEMA["core"].keys:
        entries = len(target.limits(resource))
        if entries and cores:  # as many, neither more nor fewer
            yield f"core.{resource}", f"a number for each of {cores} cores", 0, abs(entries - cores)
    yield from _cells(target)


def _cells(target: Target) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Analog cells hold no more bits than they have."""
    if "adc" not in target.facts or target.cell_bits is None:
        return
    for bits in range(1, (target.weight_bits or 0) + 1):
        cells = target.cells(bits)
        yield (
            f"crossbar.weight_columns of {bits} bits",
            "no more bits than its cells",
            _bits(cells, target.cell_bits),
            bits,
        )


def _bits(cells: tuple[int, int] | None, cell_bits: int) -> int:
    return 0 if cells is None else math.prod(cells) * cell_bits


def _have(table: Mapping[str, Any], key: str) -> str:
    if key not in table:
        return "nothing"
    value = table[key]
    if isinstance(value, dict | list):
        return f"a {'table' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > MOST:
        return "a number of more than 53 bits"
    return repr(value)[:_SHOWN]


def _finding(code: str, key: str, need: str, have: str, file: str) -> Finding:
    mend = "correct the target file; docs/targets.md says what each number is, targets/loihi2.toml is an example"
    return Finding(code, key[:_SHOWN], need, have, mend, file)
