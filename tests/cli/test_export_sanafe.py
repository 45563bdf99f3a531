"""`neurodeploy export --to sanafe`: the folder and the refusals. What is in it, tests/backends/sanafe checks."""

from __future__ import annotations

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
