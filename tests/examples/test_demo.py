"""The demo on a few digits: every step runs, the report holds what the table shows, a difference is an error."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.torch
def test_demo_on_a_few_digits(tmp_path: Path) -> None:
    words = ["--limit", "20", "--simulated", "2", "--out", str(tmp_path)]
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), *words]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["models"]) == {"qkformer_mnist", "spikformer_mnist"}
    for name, model in report["models"].items():
        assert model["cpu"]["equal"]
        assert model["lava"]["equal"]
        assert (model["cpu"]["samples"], model["lava"]["samples"]) == (20, 2)
        assert min(model["cpu"]["values"].values()) > 0
        assert (tmp_path / f"{name}.onnx").is_file()
        assert (tmp_path / f"{name}_lava" / "run.py").is_file()
        assert name in run.stdout


@pytest.mark.parametrize(("error", "wanted"), [(None, "0.00 points"), (0.25, "0.00 +- 0.25 points")])
def test_drop_of_a_single_digit_has_no_error(error: float | None, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    drop = runpy.run_path(str(ROOT / "examples" / "demo.py"))["drop"]
    assert drop({"evaluation": {"drop": 0.0, "drop_error": error}}) == wanted
