"""Custom neurons through the commands: marked where they are, refused where they do not go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command, Files

CUSTOM = ("--attention", "stream", "--neurons", "custom")


def test_inspect_counts_them(call: Command, files: Files) -> None:
    stock, custom = (call("inspect", files.artefact, "--json", *more).document["mapped"] for more in ((), CUSTOM))
    assert (stock["custom_neurons"], stock["period"]) == (0, 1)
    kinds = custom["neurons_by_kind"]
    assert custom["custom_neurons"] == kinds["hold"] + kinds["max"] + kinds["memory"] > 0
    assert custom["period"] > 1
    assert "mapped: custom neurons" in call("inspect", files.artefact, *CUSTOM).out


def test_map_names_them(call: Command, files: Files) -> None:
    found = call("map", files.artefact, "--target", "loihi2", *CUSTOM, "--images", files.images, "--limit", "2")
    assert found.code == 0
    assert "hold neurons" in found.out


def test_export_brings_their_processes(call: Command, files: Files, tmp_path: Path) -> None:
    found = call("export", files.artefact, "--to", "lava", "--output", str(tmp_path / "net"), *CUSTOM)
    assert found.code == 0
    assert (tmp_path / "net" / "runtime" / "custom" / "memory.py").is_file()
    plain = call("export", files.artefact, "--to", "onnx", "--output", str(tmp_path / "a.onnx"), *CUSTOM)
    assert plain.code == 2
    assert not (tmp_path / "a.onnx").exists()


def test_streams_need_them(call: Command, files: Files) -> None:
    found = call("inspect", files.artefact, "--attention", "stream", "--json")
    assert found.findings == ["ND-M161"]


@pytest.mark.lava
def test_simulate_equals_run(call: Command, files: Files) -> None:
    words = ("--images", files.images, "--limit", "2", "--json")
    streamed = call("simulate", files.artefact, *words, *CUSTOM)
    assert streamed.code == 0
    assert (
        streamed.document["logits"] == call("run", files.artefact, *words, "--backend", "reference").document["logits"]
    )
