"""neurodeploy report: one file, whole or not at all, and errors before the long work."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy import api
from tests.cli.conftest import SAMPLES, Command, Files

pytest.importorskip("jinja2", reason="the page needs jinja2, which this environment does not have")

QUICK = ("--backend", "onnx", "--backends", "reference,onnx", "--observed", "4", "--shown", "2", "--compared", "1")


def test_report_writes_one_page(call: Command, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    found = call("report", files.artefact, "--images", files.data, "-o", path, *QUICK, "--json")
    assert found.code == 0
    size = path.stat().st_size
    assert found.document == {"output": str(path), "bytes": size, "samples": SAMPLES, "fits": True}
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    text = path.read_text()
    assert text.startswith("<!DOCTYPE html>") and "integer accuracy" in text


def test_target_labels_and_date_are_passed_on(call: Command, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    words = ("--target", "loihi2", "--limit", "5", "--date", "22 November 2026")
    found = call("report", files.artefact, "--images", files.images, "-o", path, *QUICK, *words)
    assert (found.code, found.out) == (0, "")
    assert f"wrote {path}" in found.err
    text = path.read_text()
    assert "22 November 2026" in text and "No labels were given" in text and "loihi2" in text


def test_an_unfit_target_ends_with_4_and_the_page_is_there(call: Command, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    words = ("report", files.artefact, "--images", files.images, "-o", path, *QUICK, "--target", "loihi1")
    found = call(*words, "--json")
    assert found.code == 4 and found.document["fits"] is False and found.document["exit_code"] == 4
    wanted = api.load(files.artefact).map("loihi1").as_json()["findings"]
    assert found.document["findings"] == wanted
    assert "It does not fit" in path.read_text()
    path.unlink()
    people = call(*words)
    assert (people.code, people.out) == (4, "") and path.exists()
    assert f"wrote {path}" in people.err and "next:" in people.err


@pytest.mark.parametrize(
    ("words", "code", "finding"),
    [
        (("--weights", "none.pth"), 2, "ND-C030"),
        (("--target", "nosuchchip"), 2, None),
        (("--backends", "reference,nosuch"), 2, "ND-C001"),
    ],
)
def test_what_cannot_be_done_writes_nothing(
    call: Command, files: Files, tmp_path: Path, words: tuple[str, ...], code: int, finding: str | None
) -> None:
    path = tmp_path / "report.html"
    found = call("report", files.artefact, "--images", files.data, "-o", path, *QUICK, *words, "--json")
    assert found.code == code
    assert finding is None or found.findings == [finding]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_refused_at_once(call: Command, files: Files, tmp_path: Path) -> None:
    found = call("report", "nosuch.onnx", "--images", files.data, "-o", tmp_path / "no" / "report.html", "--json")
    assert (found.code, found.findings) == (2, ["ND-C003"])
