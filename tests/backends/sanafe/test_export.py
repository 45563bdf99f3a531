"""The exported files, without SANA-FE."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.sanafe.arch import architecture, used
from neurodeploy.backends.sanafe.export import export
from neurodeploy.backends.sanafe.homes import UNIT, Homes, Mesh, homes_of
from neurodeploy.backends.sanafe.synapses import listed
from neurodeploy.errors import DoesNotFitError, NeurodeployError, UnsupportedModelError, UsageError
from neurodeploy.ir.mapped import Population
from neurodeploy.ir.types import BINARY
from neurodeploy.targets import load_target
from tests.backends.lava.graphs import every_kind
from tests.backends.sanafe.networks import exported, placed
from tests.mapping.test_symbolic import ordered, unrolled

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")


@pytest.mark.parametrize("seed", range(4))
def test_every_synapse_is_listed_once(seed: int) -> None:
    graph = every_kind(seed)
    for crossbar in graph.crossbars:
        assert np.array_equal(ordered(*listed(graph, crossbar)), unrolled(crossbar, graph)), crossbar.name


def test_the_network_file_has_every_neuron_and_synapse(tmp_path: Path) -> None:
    graph = every_kind(1)
    text = (exported(graph, tmp_path / "net") / "network.yaml").read_text()
    assert text.count("- name: p") == len(graph.populations)
    pairs = [len(re.findall(r"\[\d+,\d+\]", line)) for line in text.splitlines() if "source_target_pairs" in line]
    assert pairs == [len(rows) for rows, _, _ in (listed(graph, c) for c in graph.crossbars) if len(rows)]
    mapped = Counter[str]()
    for group, first, last in re.findall(r"^  - (p\d+)\.(\d+)\.\.(\d+): \{core", text, re.MULTILINE):
        mapped[group] += int(last) - int(first) + 1
    assert mapped == Counter({f"p{i}": p.size for i, p in enumerate(graph.populations)})


def test_units_hold_what_they_can() -> None:
    """More neurons than a unit has room for: the next unit of the same core takes them."""
    graph = every_kind(0)
    broad = Population("broad", "lif", (3000,), 1, BINARY)
    graph = replace(graph, populations=(*graph.populations, broad))
    homes = homes_of(graph, placed(graph, cores=1), LOIHI2)
    every = np.concatenate(list(homes.at.values()))
    _, counts = np.unique(every, axis=0, return_counts=True)
    assert counts.max() <= UNIT
    assert homes.units == every[every[:, 1] < homes.mesh.cores, 2].max() + 1 == 4


def test_tiles_are_numbered_column_by_column() -> None:
    graph = every_kind(0)
    placement = replace(placed(graph, cores=1), at=((1, 2, 3),), slots=(3 * 4 * 8 + 2 * 4 + 1,))
    homes = homes_of(graph, placement, LOIHI2)
    assert homes.mesh == Mesh(16, 4, 4, chips=2)
    assert {tuple(row) for row in homes.at["one"][:, :2].tolist()} == {((8 + 2) * 4 + 3, 1)}


def test_absent_constants_are_zero_and_say_so() -> None:
    text = architecture(LOIHI2, Homes(Mesh(8, 4, 4), {}, 8, 64))
    assert "latency_sync: 0.0 # ABSENT, 0 stands for unknown: time.barrier" in text
    assert "energy_process_spike: 0.0 # ABSENT, 0 stands for unknown: energy.synapse" in text
    assert all(cost.absent == cost.keys and cost.value == 0 for cost in used(LOIHI2))


def test_known_constants_are_in_joules_and_seconds() -> None:
    found = {cost.name: cost.value for cost in used(LOIHI1)}
    pj, ns = {key: f.value for key, f in LOIHI1.facts["energy"].items()}, LOIHI1.facts["time"]["barrier"].value
    assert found["energy_process_spike"] == pytest.approx(pj["synapse"] * 1e-12)
    assert found["energy_access_neuron"] + found["energy_spike_out"] == pytest.approx(pj["neuron_active"] * 1e-12)
    assert found["energy_access_neuron"] == pytest.approx(pj["neuron_inactive"] * 1e-12)
    assert found["latency_sync"] == pytest.approx(ns * 1e-9)
    assert "(paper: Davies et al. 2018" in architecture(LOIHI1, Homes(Mesh(8, 4, 4), {}, 1, 64))


def test_several_chips_end_a_step_by_their_own_barrier() -> None:
    facts = LOIHI1.facts["time"]
    barrier = replace(facts["barrier"], value=7000)
    far = replace(LOIHI1, facts={**LOIHI1.facts, "time": {**facts, "barrier_chips": barrier}})
    alone, many = (architecture(far, Homes(Mesh(8 * n, 4, 4, n), {}, 1, 64)) for n in (1, 2))
    assert "time.barrier_chips 7000" in many and "time.barrier_chips" not in alone
    assert used(far, 2)[-1].value == pytest.approx(7e-6)
    absent = architecture(LOIHI2, Homes(Mesh(16, 4, 4, 2), {}, 1, 64))
    assert "ABSENT, 0 stands for unknown: time.barrier_chips" in absent


def refused(error: type[NeurodeployError], code: str, graph: object, placement: object, folder: Path) -> str:
    with pytest.raises(error) as caught:
        export(graph, placement, LOIHI2, folder)  # type: ignore[arg-type]
    assert {finding.code for finding in caught.value.findings} == {code}
    assert not folder.exists() or folder.is_file()
    return str(caught.value)


def test_neurons_that_work_by_phases_are_refused_by_layer(tmp_path: Path) -> None:
    graph = every_kind(0)
    held = tuple(replace(p, kind="hold") if p.name in ("two", "skip") else p for p in graph.populations)
    said = refused(UnsupportedModelError, "ND-X003", replace(graph, populations=held), placed(graph), tmp_path / "a")
    assert "two" in said and "skip" in said


def test_currents_that_last_are_refused_by_layer(tmp_path: Path) -> None:
    graph = every_kind(0)
    lasting = tuple(replace(p, du=2048) if p.name == "two" else p for p in graph.populations)
    said = refused(UnsupportedModelError, "ND-X003", replace(graph, populations=lasting), placed(graph), tmp_path / "a")
    assert "two" in said and "du = 2048" in said and "skip" not in said


def test_a_placement_must_hold_every_neuron(tmp_path: Path) -> None:
    graph = every_kind(0)
    whole = placed(graph)
    refused(DoesNotFitError, "ND-X011", graph, replace(whole, cores=((), *whole.cores[1:])), tmp_path / "a")
    refused(DoesNotFitError, "ND-X012", graph, replace(whole, cores=(), at=(), note="too many tiles"), tmp_path / "a")


def test_other_chips_are_refused(tmp_path: Path) -> None:
    graph = every_kind(0)
    for name in ("crossbar-isaac", "cpu"):
        with pytest.raises(DoesNotFitError, match="ND-X010"):
            exported(graph, tmp_path / "a", name)


def test_folders_are_written_whole_and_never_over_something_else(tmp_path: Path) -> None:
    graph, file = every_kind(0), tmp_path / "file"
    first = exported(graph, tmp_path / "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    with pytest.raises(UsageError, match="ND-X001"):
        exported(graph, first)
    assert export(graph, placed(graph), LOIHI2, first, overwrite=True) == first
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="ND-X001"):
        export(graph, placed(graph), LOIHI2, tmp_path / "b", overwrite=True)
    file.touch()
    refused(UsageError, "ND-X002", graph, placed(graph), file / "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "file"]


def test_the_plain_network_names_what_the_host_does(tmp_path: Path) -> None:
    plain = json.loads((exported(every_kind(0), tmp_path / "a") / "network.json").read_text())
    assert plain["format"] == "neurodeploy.sanafe"
    assert {c["source"] for c in plain["crossbars"] if not c["binary"]} >= {"pixels", "count", "product"}
    assert all(c["carried"] == (c["delay"] <= 5) for c in plain["crossbars"])
