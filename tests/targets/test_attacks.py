"""Hostile target files: a named error or a sound target, never another exception, never an endless list."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.errors import InvalidFileError
from neurodeploy.targets import Target, available, load_target
from neurodeploy.targets.check import parse
from neurodeploy.targets.schema import MOST, SCHEMA

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TARGETS = Path(__file__).resolve().parents[2] / "targets"
TEXT = {name: (TARGETS / f"{name}.toml").read_text(encoding="utf-8") for name in available()}
DOCUMENTS = {name: tomllib.loads(text) for name, text in TEXT.items()}
RESOURCES = ("neurons", "synapse_memory", "axons_in", "fan_in", "rows", "columns", "active_rows", "cores", "chips", "x")
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from([10**400, -1, 0, 1, 2**53 + 1, 64])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def places(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """Every key of a document, on all its levels."""
    found: list[tuple[str, ...]] = []
    for table, keys in document.items():
        found.append((table,))
        for key, fact in keys.items() if isinstance(keys, dict) else ():
            found += [(table, key), *((table, key, field) for field in (fact if isinstance(fact, dict) else ()))]
    return found


def put(document: dict[str, Any], place: tuple[str, ...], value: object) -> None:
    for key in place[:-1]:
        document = document[key]
    document[place[-1]] = value


def use(target: Target) -> None:
    """Ask for everything that others ask for; whatever was accepted must answer."""
    for resource in RESOURCES:
        limit = target.limit(resource)
        assert limit is None or (resource != "active_rows") <= limit <= MOST  # a converter may clip even one row
        assert all(0 < entry <= MOST for entry in target.limits(resource))
    assert all(cells is None or min(cells) > 0 for cells in map(target.cells, range(-1, 70)))
    assert target.graded >= 0 and (target.levels is None or target.levels >= 2)
    assert target.mesh is None or min(target.mesh) > 0
    json.dumps(target.as_json(), allow_nan=False)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_value_at_any_place_gives_findings_or_a_sound_target(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS[data.draw(st.sampled_from(sorted(DOCUMENTS)))])
    for _ in range(data.draw(st.integers(1, 3))):
        put(document, data.draw(st.sampled_from(places(document))), data.draw(SCALARS | VALUES))
    target, findings = parse(document, "bad.toml")
    assert (target is None) == bool(findings)
    assert all(f.code.startswith("ND-T") and f.need and f.have and f.next and len(str(f)) < 3000 for f in findings)
    if target is not None:
        use(target)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([*SCHEMA, "name", "kind", "profile", "title"]) | st.text(), VALUES))
def test_any_document_gives_findings(document: dict[str, Any]) -> None:
    target, findings = parse(document, "bad.toml")
    assert target is None and findings


@pytest.mark.parametrize("name", available())
def test_every_target_answers_everything(name: str) -> None:
    use(load_target(name))


LOIHI = TEXT["loihi2"]
HOSTILE = {
    "a key twice": LOIHI + '\n[core]\nneurons = { value = 1, unit = "neuron", status = "paper", source = "x" }\n',
    "a text twice": 'name = "again"\n' + LOIHI,
    "a table as text": LOIHI.replace("[energy]", 'energy = "free"\n[energy]'),
    "5,000 digits": LOIHI.replace("value = 8192", f"value = {'9' * 5000}"),
    "nan": LOIHI.replace("value = 31,", "value = nan,"),
    "infinite": LOIHI.replace("value = 31,", "value = inf,"),
    "minus zero point": LOIHI.replace("value = 31,", "value = -0.5,"),
    "a date": LOIHI.replace("value = 8192", "value = 1979-05-27"),
    "a float of neurons": LOIHI.replace("value = 8192", "value = 8192.0"),
    "lists in lists": LOIHI.replace("value = 8192", f"value = {'[' * 60}{']' * 60}"),
    "deep lists": LOIHI.replace("value = 8192", f"value = {'[' * 5000}{']' * 5000}"),
    "deep names": LOIHI + "\n[" + ".".join(["a"] * 20_000) + "]\n",
    "a NUL": LOIHI.replace("Intel Loihi 2", "Intel\0Loihi"),
    "an unpaired surrogate": LOIHI.replace("Intel Loihi 2", "\\ud800"),
    "a blank title": LOIHI.replace('"Intel Loihi 2"', '"   "'),
    "a long source": LOIHI.replace("192 KiB", "K" * 5000),
    "a long key": LOIHI + "\n" + "k" * 100_000 + " = 1\n",
    "an empty list": LOIHI.replace("value = 8192", "value = []"),
    "a list of 5,000": LOIHI.replace("value = 8192", f"value = [{'1,' * 5000}]"),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_a_named_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidFileError) as caught:
        load_target(path)
    assert all(len(str(f)) < 3000 for f in caught.value.findings)


def test_a_file_of_unknown_keys_gives_a_list_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("".join(f"k{i} = 1\n" for i in range(50_000)))
    with pytest.raises(InvalidFileError) as caught:
        load_target(path)
    assert [f.code for f in caught.value.findings][-1] == "ND-T010" and len(caught.value.findings) == 101
    assert "findings more" in caught.value.findings[-1].have
