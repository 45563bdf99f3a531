"""neurodeploy targets: what is listed, shown and checked, as tables and as one document."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy.cli.targets import LIMITS
from neurodeploy.targets import available, load_target
from neurodeploy.targets.schema import KINDS, STATUSES
from tests.cli.conftest import Command

TARGETS = Path(__file__).resolve().parents[2] / "targets"
PARTS = {"loihi1", "loihi2", "truenorth", "dynapcnn-speck2f", "crossbar-128-adc5", "crossbar-isaac", "cpu"}


def test_list_has_every_target_with_kind_limits_and_statuses(call: Command) -> None:
    listed = call("targets", "list", "--json").document["targets"]
    assert {entry["name"] for entry in listed} == {*available()} and {*available()} >= PARTS
    for entry in listed:
        target = load_target(entry["name"])
        assert entry["kind"] in KINDS and entry["limits"] == {key: target.limit(key) for key in LIMITS}
        assert list(entry["statuses"]) == [*STATUSES]
        assert sum(entry["statuses"].values()) == sum(map(len, target.facts.values()))
    table = call("targets", "list").out
    assert all(name in table for name in PARTS) and "16,128" in table and "25 absent" in table


@pytest.mark.parametrize("name", sorted(PARTS))
def test_show_has_every_number_with_unit_status_and_source(call: Command, name: str) -> None:
    shown, table = call("targets", "show", name, "--json").document, call("targets", "show", name).out
    for group, facts in shown["facts"].items():
        for key, fact in facts.items():
            assert fact["unit"] and fact["source"] and fact["status"] in STATUSES
            line = next(line for line in table.splitlines() if f"│ {group}.{key} " in line)
            assert fact["status"] in line and fact["unit"] in line


def test_a_file_of_ones_own_by_path(call: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((TARGETS / "loihi1.toml").read_text().replace('name = "loihi1"', 'name = "mine"'))
    assert call("targets", "show", path, "--json").document["name"] == "mine"
    checked = call("targets", "check", path, "--json").document
    assert checked["ok"] and checked["name"] == "mine" and checked["limits"]["neurons"] == 1024
    assert "absent" in call("targets", "check", path).out


def test_check_lists_everything_at_once(call: Command, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    text = (TARGETS / "loihi1.toml").read_text()
    for old, new in (("value = 1024,", "value = 0,"), ('unit = "mm2"', 'unit = "cm2"'), ("[power]", "[watts]")):
        text = text.replace(old, new)
    path.write_text(text)
    found = call("targets", "check", path, "--json")
    assert found.code == 3 and sorted(found.findings) == ["ND-T003", "ND-T003", "ND-T004", "ND-T005"]
    said = call("targets", "check", path).err
    assert all(layer in said for layer in ("core.neurons", "chip.area", "power", "watts"))


def test_what_a_file_says_cannot_steer_a_terminal(call: Command, tmp_path: Path) -> None:
    path = tmp_path / "evil.toml"
    text = (TARGETS / "loihi1.toml").read_text()
    path.write_text(
        text.replace("Intel Loihi", "\\u001b[2J\\u202eIntel", 1).replace("at least", "\\u001b]0;x\\u0007", 1)
    )
    for words in (("show", path), ("check", path)):
        outcome = call("targets", *words)
        assert outcome.code == 0 and not {"\x1b", "\u202e", "\x07"} & {*outcome.out, *outcome.err}
