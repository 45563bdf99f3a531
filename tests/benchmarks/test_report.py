"""Figures of rounds, the gathering of runs, the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import report, run
from benchmarks.clock import timed
from benchmarks.networks import Files
from benchmarks.worker import Absent, Worker


def entry(label: str, seconds: list[tuple[float, float]]) -> dict[str, Any]:
    """A measured peer."""
    wanted = np.array([[1.0, -2.0]])
    rest = {"load_s": 1.0, "first_s": 2.0, "peak_bytes": 3_000_000, "runtime": "x 1"}
    return {
        "label": label, "precision": "float32", **report.figures(seconds), **rest,
        **report.distance(wanted + 0.5, wanted),
    }  # fmt: skip


def measured() -> dict[str, Any]:
    """A run with one peer that was measured beside native, and one that was not."""
    peers = {
        "native": entry("native", [(0.002, 0.003), (0.004, 0.005), (0.009, 0.010)]),
        "torch": entry("torch", [(0.020, 0.030), (0.060, 0.050), (0.090, 0.100)]),
        "openvino": {"label": "OpenVINO", "precision": "float32", "absent": "not installed"},
    }
    report.ratios(peers)
    machine = {"processor": "p", "extensions": [], "cores": 2, "memory_gib": 1, "python": "3", "load": 0, "time": "t"}
    return {
        "network": "n", "batch": 8, "threads": 1, "rounds": 3, "weights": "random", "machine": machine,
        "load_after": 1, "peers": peers,
    }  # fmt: skip


def test_ratios_are_of_medians_and_of_minima() -> None:
    peers = measured()["peers"]
    assert peers["torch"]["cpu_ms"] == {"median": 60.0, "min": 20.0, "rounds": [20.0, 60.0, 90.0]}
    assert peers["torch"]["ratio"] == pytest.approx({"median": 15.0, "min": 10.0})
    assert peers["torch"]["difference"] == 0.5
    assert peers["torch"]["largest_logit"] == 2.0


def test_without_native_there_are_times_and_no_ratios() -> None:
    run_ = measured()
    del run_["peers"]["native"]
    for found in run_["peers"].values():
        found.pop("ratio", None)
    report.ratios(run_["peers"])
    torch, _ = report.rows(run_)
    assert torch[2:6] == ("60", "20", "", "")


def test_an_absent_peer_is_a_row_with_its_reason() -> None:
    native, torch, openvino = report.rows(measured())
    assert native[4:6] == ("1.00x", "1.00x")
    assert torch[2:8] == ("60", "20", "15.00x", "10.00x", "50", "30")
    assert openvino[0] == "OpenVINO"
    assert openvino[-1] == "not installed"
    assert {len(native), len(torch), len(openvino)} == {len(report.COLUMNS)}


def test_a_run_takes_the_place_of_the_same_run_alone(tmp_path: Path) -> None:
    path, first = tmp_path / "bench.json", measured()
    report.merge(path, [first, {**first, "batch": 1}])
    held = report.merge(path, [{**first, "rounds": 9}])
    assert [(r["batch"], r["rounds"]) for r in held] == [(8, 9), (1, 3)]


def test_a_file_of_another_kind_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text('{"results": {}}')
    with pytest.raises(ValueError, match="holds no runs"):
        report.gathered(path)


def test_the_document_keeps_what_stands_around_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "performance.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "DOCUMENT", path)
    for _ in range(2):
        report.write_document([measured()])
    text = path.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert text.count("| torch |") == 1
    assert "not installed" in text


def test_peers_that_compute_something_else_are_named() -> None:
    found = measured()
    assert run.wrong(found) == []
    found["peers"]["torch"]["correlation"] = 0.5
    found["peers"]["native"]["integers_equal"] = False
    assert run.wrong(found) == ["n, batch 8, 1 thread: native float32", "n, batch 8, 1 thread: torch float32"]


def test_a_peer_that_cannot_load_says_why(tmp_path: Path) -> None:
    worker = Worker("native", Files("qkformer_mnist", tmp_path / "nothing"), 1, 1)
    answer = worker.ready(60)
    assert isinstance(answer, Absent)
    assert "artefact.onnx" in answer.reason


def test_a_peer_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    answer = Worker("native", Files("qkformer_mnist", tmp_path), 1, 1).ready(0.0)
    assert answer == Absent("not ready after 0 s")


def test_what_ended_children_spent_counts() -> None:
    (cpu, wall), given = timed(lambda: subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True))
    assert given.returncode == 0
    assert 0.05 < cpu < 2 * wall
