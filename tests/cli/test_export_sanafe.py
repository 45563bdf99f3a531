"""`neurodeploy export --to sanafe`: the folder and the refusals. What is in it, tests/backends/sanafe checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Files


def test_writes_a_folder_and_says_how_to_run_it(files: Files, call: Command, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    done = call("export", files.artefact, "--to", "sanafe", "--target", "loihi2", "-o", str(folder), "--json")
    assert done.code == 0 and done.document["run"].startswith(f"python {folder}/run.py")
    names = ["README.md", "arch.yaml", "network.json", "network.npz", "network.yaml", "run.py"]
    assert sorted(p.name for p in folder.iterdir()) == names
    again = call("export", files.artefact, "--to", "sanafe", "-o", str(folder), "--json")
    assert (again.code, again.findings) == (2, ["ND-X001"])
    assert call("export", files.artefact, "--to", "sanafe", "-o", str(folder), "--overwrite").code == 0


@pytest.mark.parametrize(("target", "code"), [("crossbar-isaac", "ND-X010"), ("loihi1", "ND-M")])
def test_chips_that_cannot_take_it_are_refused(
    target: str, code: str, files: Files, call: Command, tmp_path: Path
) -> None:
    folder = str(tmp_path / "net")
    refused = call("export", files.artefact, "--to", "sanafe", "--target", target, "-o", folder, "--json")
    assert refused.code == 4 and not Path(folder).exists()
    assert all(found.startswith(code) for found in refused.findings)


def test_a_target_goes_with_sanafe_alone(files: Files, call: Command, tmp_path: Path) -> None:
    refused = call("export", files.artefact, "--to", "lava", "--target", "loihi2", "-o", str(tmp_path / "net"))
    assert refused.code == 2 and "--to sanafe" in refused.err
    images = call("export", files.artefact, "--to", "onnx", "--images", files.images, "-o", str(tmp_path / "net"))
    assert images.code == 2 and "--images goes with --to sanafe" in images.err


def test_lowerings_and_images_are_passed_on(files: Files, call: Command, tmp_path: Path) -> None:
    words = ("export", files.artefact, "--to", "sanafe", "--residual", "spikes", "--attention", "qk", "-o")
    done = call(*words, str(tmp_path / "net"), "--images", files.images, "--limit", "2")
    assert done.code == 0
    identity = json.loads((tmp_path / "net" / "network.json").read_text())["identity"]
    assert identity["lowering"] == {"attention": "qk", "neurons": "stock", "residual": "spikes"}
    assert len(identity["cores"]) == len(identity["network"]) == 64
    refused = call(*words, str(tmp_path / "custom"), "--neurons", "custom")
    assert refused.code == 2 and "SANA-FE has no such neurons" in refused.err


def test_findings_that_are_alike_are_one_for_people(files: Files, call: Command, tmp_path: Path) -> None:
    words = ("export", files.artefact, "--to", "sanafe", "--target", "loihi1", "-o", str(tmp_path / "net"))
    people, every = call(*words), call(*words, "--json")
    assert people.code == every.code == 4
    assert "--json has all" in people.err and people.err.count("next:") < len(every.findings)
