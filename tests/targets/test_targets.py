"""Target files: the shipped one is whole and agrees with the arithmetic; a bad one gets all its findings at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from neurodeploy.errors import ExitCode, InvalidFileError, UsageError
from neurodeploy.numerics import INT32, PROFILES
from neurodeploy.targets import available, load_target
from neurodeploy.targets.check import parse
from neurodeploy.targets.loader import LARGEST
from neurodeploy.targets.schema import STATUSES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent.parent
LOIHI2 = ROOT / "targets" / "loihi2.toml"


def document() -> dict[str, Any]:
    return tomllib.loads(LOIHI2.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", available())
def test_widths_of_the_file_are_those_of_the_arithmetic(name: str) -> None:
    target = load_target(name)
    widths = {key: fact.value for key, fact in target.facts["arithmetic"].items()}
    chip = target.kind != "cpu"
    assert {**widths, "name": target.profile, "chip": chip} == asdict(PROFILES[target.profile])
    assert target.arithmetic is PROFILES[target.profile]


@pytest.mark.parametrize("name", available())
def test_every_number_has_unit_source_and_status(name: str) -> None:
    facts = [fact for table in load_target(name).facts.values() for fact in table.values()]
    assert all(fact.unit and fact.source and fact.status in STATUSES for fact in facts)
    assert all((fact.value is None) == (fact.status == "absent") for fact in facts)


def test_name_of_the_file_is_the_name_of_the_target() -> None:
    assert [load_target(name).name for name in available()] == list(available())


def test_the_cpu_has_widths_and_no_chip() -> None:
    target = load_target("cpu")
    assert list(target.facts) == ["arithmetic"] and target.arithmetic == INT32
    assert target.value("core", "neurons") is None


def test_all_tables_of_a_chip_or_none() -> None:
    half = document()
    for table in ("chip", "energy", "time"):
        half.pop(table)
    assert {f.layer for f in parse(half, "")[1]} == {"chip", "energy", "time"}
    nothing = {key: value for key, value in half.items() if not isinstance(value, dict)}
    target, findings = parse(nothing | {"kind": "cpu"}, "")
    assert not findings and target is not None and list(target.facts) == ["arithmetic"]


def test_path_and_name_load_the_same() -> None:
    assert load_target(str(LOIHI2)).facts == load_target("loihi2").facts


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="loihi2") as caught:
        load_target("loihi3")
    assert caught.value.exit_code == ExitCode.USAGE


def drop(table: str, key: str) -> Callable[[dict[str, Any]], object]:
    return lambda doc: doc[table].pop(key)


def fact(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda doc: doc["core"]["neurons"].update(changes)


BAD: list[tuple[str, str, Callable[[dict[str, Any]], object]]] = [
    ("ND-T003", "title", lambda doc: doc.pop("title")),
    ("ND-T003", "title", lambda doc: doc.update(title=3)),
    ("ND-T003", "chip", lambda doc: doc.update(chip=[1, 2])),
    ("ND-T003", "chip", lambda doc: doc.pop("chip")),
    ("ND-T003", "core.memory", drop("core", "memory")),
    ("ND-T003", "core.neurons", fact(value="many")),
    ("ND-T003", "core.neurons", fact(value=True)),
    ("ND-T003", "core.neurons", fact(value=-1)),
    ("ND-T003", "core.neurons", fact(value=float("nan"))),
    ("ND-T003", "core.neurons", fact(source="")),
    ("ND-T004", "core.neurons", fact(comment="?")),
    ("ND-T004", "core.colour", lambda doc: doc["core"].update(colour={})),
    ("ND-T004", "cost", lambda doc: doc.update(cost={})),
    ("ND-T005", "core.neurons", fact(unit="byte")),
    ("ND-T006", "core.neurons", fact(status="guessed")),
    ("ND-T006", "core.neurons", fact(status=["paper"])),
    ("ND-T006", "core.neurons", fact(status="absent")),
    ("ND-T007", "profile", lambda doc: doc.update(profile="ideal")),
    ("ND-T008", "arithmetic.state_bits", lambda doc: doc["arithmetic"]["state_bits"].update(value=23)),
]


@pytest.mark.parametrize(("code", "key", "spoil"), BAD)
def test_one_fault_gives_its_finding(code: str, key: str, spoil: Callable[[dict[str, Any]], object]) -> None:
    spoiled = document()
    spoil(spoiled)
    target, findings = parse(spoiled, "bad.toml")
    assert target is None
    assert [(f.code, f.layer, f.source) for f in findings] == [(code, key, "bad.toml")]


def test_all_faults_are_listed_at_once() -> None:
    spoiled = document()
    for _, _, spoil in BAD[5:6] + BAD[12:13] + BAD[17:18]:
        spoil(spoiled)
    assert {f.code for f in parse(spoiled, "")[1]} == {"ND-T003", "ND-T004", "ND-T007"}


NOT_TOML = [b"name = ", b"\xff\xfe", b"a = " + b"[" * 100_000, b"#" * (LARGEST + 1)]


@pytest.mark.parametrize("content", NOT_TOML, ids=["cut off", "not UTF-8", "nested", "too large"])
def test_what_is_no_toml_is_a_named_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError) as caught:
        load_target(path)
    assert [f.code for f in caught.value.findings] == ["ND-T002"]


@pytest.mark.parametrize("name", ["missing.toml", "folder.toml", "pipe.toml"])
def test_missing_file_folder_and_pipe_are_named_errors(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(InvalidFileError, match=name):
        load_target(tmp_path / name)
