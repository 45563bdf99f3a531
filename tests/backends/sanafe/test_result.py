"""Figures of SANA-FE read back: damaged files and those of another network, chip or lowering are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurodeploy.backends.sanafe.result import identity_of, read_result, require_same
from neurodeploy.errors import InvalidFileError, UsageError
from neurodeploy.targets import load_target
from tests.chiplimits import with_facts

LOWERING = {"attention": "kv", "neurons": "stock", "residual": "graded"}
CHIP = load_target("loihi2")


def document() -> dict[str, Any]:
    """As run.py writes it."""
    one = {"name": "synapses", "value": 1.5, "unit": "uJ", "status": "paper", "source": "a run", "absent": []}
    return {
        "schema": "neurodeploy.sanafe",
        "version": 1,
        "name": "net",
        "target": "loihi2",
        "simulator": "sanafe 2.2.9",
        "samples": 2,
        "steps": 8,
        "identity": identity_of("abc", CHIP, LOWERING) | {"images": "0"},
        "figures": [one | {"basis": "measured", "absent_as_zero": 1.5}],
        "host": {"changed": {"lif": 1}, "of": {"lif": 4}},
    }


def written(folder: Path, found: object) -> Path:
    path = folder / "sanafe.json"
    path.write_text(json.dumps(found))
    return path


def test_a_result_is_read_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, document())
    found = read_result(path)
    assert found == document()
    require_same(found, "net", CHIP, identity_of("abc", CHIP, LOWERING), path)


DAMAGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "another schema": lambda d: d | {"schema": "x"},
    "a later version": lambda d: d | {"version": 2},
    "a list": lambda d: [d],
    "no name": lambda d: d | {"name": None},
    "no samples": lambda d: d | {"samples": 0},
    "samples by words": lambda d: d | {"samples": True},
    "figures by name": lambda d: d | {"figures": {"synapses": 1}},
    "a value in words": lambda d: d | {"figures": [d["figures"][0] | {"value": "1"}]},
    "an endless value": lambda d: d | {"figures": [d["figures"][0] | {"value": float("inf")}]},
    "no number at all": lambda d: d | {"figures": [d["figures"][0] | {"value": float("nan")}]},
    "no list of the absent": lambda d: d | {"figures": [d["figures"][0] | {"absent": None}]},
    "an older folder": lambda d: {key: value for key, value in d.items() if key != "identity"},
    "a lowering in words": lambda d: d | {"identity": d["identity"] | {"lowering": "kv"}},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_result_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError) as error:
        read_result(written(tmp_path, DAMAGED[name](document())))
    assert [finding.code for finding in error.value.findings] == ["ND-X020"]


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b" " * (1 << 20) + b"{}"])
def test_what_is_no_json_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sanafe.json"
    path.write_bytes(data)
    for refused in (path, tmp_path, tmp_path / "none.json"):
        with pytest.raises(InvalidFileError):
            read_result(refused)


def _refused(found: dict[str, Any], **same: Any) -> list[str]:
    identity = identity_of(same.get("network", "abc"), same.get("target", CHIP), same.get("lowering", LOWERING))
    with pytest.raises(UsageError) as error:
        require_same(found, same.get("name", "net"), same.get("target", CHIP), identity, Path("s.json"))
    assert {finding.code for finding in error.value.findings} == {"ND-X021"}
    return [f"{finding.need}; {finding.have}; {finding.next}" for finding in error.value.findings]


def test_another_network_chip_or_lowering_is_refused_by_name() -> None:
    assert "figures of other; figures of net" in _refused(document(), network="def", name="other")[0]
    assert "another network of the same name, net" in _refused(document(), network="def")[0]
    (chip,) = _refused(document(), target=replace(with_facts(CHIP, core__neurons=9), name="mine"))
    assert chip == "figures on mine; figures on loihi2; --target loihi2, or export for mine"
    assert "another loihi2, with other numbers" in _refused(document(), target=with_facts(CHIP, core__neurons=9))[0]
    (lowering,) = _refused(document(), lowering=LOWERING | {"attention": "qk"})
    assert lowering.endswith("--attention kv --neurons stock --residual graded")
    assert len(_refused(document(), network="def", lowering={})) == 2
