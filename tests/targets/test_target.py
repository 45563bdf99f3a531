"""What a target answers: limits, cells, active rows; and that a file's kind decides what it is asked."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from neurodeploy.targets import Target, load_target
from neurodeploy.targets.check import parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TARGETS = Path(__file__).resolve().parents[2] / "targets"


def document(name: str) -> dict[str, Any]:
    return tomllib.loads((TARGETS / f"{name}.toml").read_text(encoding="utf-8"))


def changed(name: str, **values: object) -> Target:
    """A target with other numbers: table__key = value."""
    spoiled = document(name)
    for place, value in values.items():
        table, _, key = place.partition("__")
        spoiled[table][key] |= {"value": value, "status": "assumed"}
    target, findings = parse(spoiled, "")
    assert target is not None, findings
    return target


LIMITS = [
    ("loihi1", {"neurons": 1024, "axons_in": 4096, "synapse_memory": 1 << 17, "cores": 128, "rows": None}),
    ("loihi2", {"neurons": 8192, "axons_in": None, "synapse_memory": 1 << 17, "cores": 128, "active_rows": None}),
    ("truenorth", {"rows": 256, "columns": 256, "active_rows": 256, "cores": 4096, "neurons": None}),
    ("dynapcnn-speck2f", {"neurons": 1 << 16, "synapse_memory": 1 << 16, "cores": 9, "destinations": 2}),
    ("crossbar-128-adc5", {"rows": 128, "columns": 128, "active_rows": 10, "cores": None}),
    ("crossbar-isaac", {"rows": 128, "columns": 128, "active_rows": 128, "cores": 16128}),
    ("cpu", {"neurons": None, "rows": None, "active_rows": None, "chips": None}),
]


@pytest.mark.parametrize(("name", "limits"), LIMITS)
def test_limits_of_the_chips(name: str, limits: dict[str, int | None]) -> None:
    target = load_target(name)
    assert {resource: target.limit(resource) for resource in limits} == limits


def test_cores_that_differ() -> None:
    speck = load_target("dynapcnn-speck2f")
    assert [n // 1024 for n in speck.limits("synapse_memory")] == [16, 16, 16, 32, 32, 64, 64, 16, 16]
    assert sum(speck.limits("neurons")) == speck.number("chip", "neurons")
    assert load_target("loihi2").limits("neurons") == () == speck.limits("rows")


def test_what_cannot_be_said_is_none_or_not_relied_on() -> None:
    loihi2, cpu = load_target("loihi2"), load_target("cpu")
    fact = loihi2.fact("energy", "synapse")
    assert fact is not None and fact.status == "absent" and loihi2.value("energy", "synapse") is None
    assert cpu.fact("energy", "synapse") is None and not cpu.shares_weights and cpu.mesh is None
    assert loihi2.adc_bits is None and loihi2.cells(8) is None and loihi2.limit("colours") is None


def test_flags_and_payloads() -> None:
    assert [load_target(n).graded for n in ("loihi1", "loihi2", "truenorth", "crossbar-isaac", "cpu")] == [
        0,
        24,
        0,
        16,
        0,
    ]
    assert load_target("loihi2").adds_partial_sums and not load_target("loihi1").adds_partial_sums
    assert load_target("loihi2").flag("neuron", "programmable") and not load_target("truenorth").flag("neuron", "lif")


@pytest.mark.parametrize("bits", range(1, 9))
def test_axon_types_of_truenorth_make_every_weight_and_fewer_axons_do_not(bits: int) -> None:
    """b-bit weights: one axon of -2^(b-1), and three types of others, repeated, that give 0..2^(b-1)-1."""
    largest = (1 << bits - 1) - 1
    chips = load_target("truenorth").cells(bits)
    assert chips is not None and chips[1] == 1
    others = chips[0] - 1
    reach = [
        (a + 1) * (b + 1) * (others - a - b + 1) - 1 for a in range(others + 1) for b in range(others - a + 1)
    ]  # mixed radix: no gaps
    fewer = [(a + 1) * (b + 1) * (others - a - b) - 1 for a in range(others) for b in range(others - a)]
    assert max(reach) >= largest and max(fewer, default=-1) < largest


def test_cells_of_a_weight() -> None:
    isaac = load_target("crossbar-isaac")
    assert [isaac.cells(bits) for bits in (1, 2, 3, 8, 16)] == [(1, 1), (1, 1), (1, 2), (1, 4), (1, 8)]
    assert isaac.cells(17) is None and isaac.cells(0) is None


@pytest.mark.parametrize(
    ("bits", "cell", "rows"), [(5, 2, 10), (5, 1, 31), (4, 2, 5), (8, 2, 85), (9, 2, 128), (1, 2, 0), (8, 1, 128)]
)
def test_no_more_active_rows_than_the_converter_can_count(bits: int, cell: int, rows: int) -> None:
    """The largest sum of so many rows is within 2^bits - 1, that of one more is not, or the array has no more."""
    columns = [-(-b // cell) for b in range(1, 9)]
    target = changed("crossbar-128-adc5", adc__bits=bits, crossbar__cell_bits=cell, crossbar__weight_columns=columns)
    most, top = (1 << cell) - 1, (1 << bits) - 1
    assert target.active_rows == rows and rows * most <= top
    assert rows == 128 or (rows + 1) * most > top


def test_inverted_columns_are_worth_one_bit_and_fewer_rows_a_read_count() -> None:
    isaac = load_target("crossbar-isaac")
    assert isaac.active_rows == 128
    assert changed("crossbar-isaac", adc__flips_columns=False).active_rows == 85
    assert changed("crossbar-isaac", adc__bits=7).active_rows == 42  # 384 does not fit 8 bits either
    assert changed("crossbar-isaac", adc__rows_a_read=16).active_rows == 16


def spoil(name: str, table: str, key: str, value: object) -> tuple[list[str], list[str]]:
    spoiled = document(name)
    spoiled[table][key]["value"] = value
    _, findings = parse(spoiled, "")
    return [f.code for f in findings], [f.layer for f in findings]


CONTRADICTIONS = [
    ("loihi2", "chip", "cores", 129, "chip.cores"),
    ("loihi2", "core", "synapse_memory", 1 << 20, "core.synapse_memory"),
    ("crossbar-isaac", "adc", "rows_a_read", 129, "adc.rows_a_read"),
    ("crossbar-isaac", "adc", "columns_a_converter", 129, "adc.columns_a_converter"),
    ("dynapcnn-speck2f", "core", "neurons", [1] * 8, "core.neurons"),
    ("dynapcnn-speck2f", "core", "neurons", [1] * 10, "core.neurons"),
    ("crossbar-128-adc5", "crossbar", "weight_columns", [1, 1, 2, 2, 3, 3, 4, 3], "crossbar.weight_columns of 8 bits"),
    ("crossbar-128-adc5", "crossbar", "weight_columns", [1, 1, 2, 2, 3, 3, 4], "crossbar.weight_columns of 8 bits"),
]


@pytest.mark.parametrize(("name", "table", "key", "value", "layer"), CONTRADICTIONS)
def test_numbers_that_contradict_one_another(name: str, table: str, key: str, value: object, layer: str) -> None:
    assert spoil(name, table, key, value) == (["ND-T009"], [layer])


@pytest.mark.parametrize(("table", "key"), [("chip", "cores"), ("crossbar", "rows"), ("adc", "bits")])
@pytest.mark.parametrize("value", [0, 1 << 60, 1.5, True])
def test_limits_are_whole_and_at_least_one(table: str, key: str, value: object) -> None:
    assert spoil("crossbar-isaac", table, key, value) == (["ND-T003"], [f"{table}.{key}"])


def test_a_kind_is_asked_for_its_own_tables_and_keys() -> None:
    crossbar, cores = document("crossbar-isaac"), document("loihi2")
    wrong = copy.deepcopy(cores) | {"crossbar": crossbar["crossbar"]}
    assert [(f.code, f.layer, f.have) for f in parse(wrong, "")[1]] == [
        ("ND-T004", "crossbar", "a table of another kind of chip")
    ]
    cores["energy"]["conversion"] = crossbar["energy"]["conversion"]
    assert [(f.code, f.layer) for f in parse(cores, "")[1]] == [("ND-T004", "energy.conversion")]


def test_a_digital_crossbar_is_asked_for_synapses_and_not_for_conversions() -> None:
    digital = document("crossbar-isaac")
    digital.pop("adc")
    found = {f.layer for f in parse(digital, "")[1]}
    keys = {f"energy.{key}" for key in ("synapse", "conversion", "cell", "row")}
    assert found == keys | {"time.read", "time.conversion"}


def test_arithmetic_left_out_is_that_of_the_profile_as_assumed() -> None:
    facts = load_target("truenorth").facts["arithmetic"]
    assert {fact.status for fact in facts.values()} == {"assumed"}
    assert facts["state_bits"].value == load_target("truenorth").arithmetic.state_bits == 24


def test_a_chip_has_the_profile_of_a_chip() -> None:
    wrong = document("truenorth") | {"profile": "int32"}
    assert [(f.code, f.layer) for f in parse(wrong, "")[1]] == [("ND-T007", "profile")]


def test_an_unknown_kind_is_named() -> None:
    assert ("ND-T007", "kind") in [(f.code, f.layer) for f in parse(document("loihi2") | {"kind": "gpu"}, "")[1]]
