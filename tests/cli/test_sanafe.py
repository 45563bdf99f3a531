"""`map` and `report` with --sanafe: figures of the exported folder's own run beside ours; others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.exports import export_sanafe
from neurodeploy.images import check_images
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.quantize import quantize
from tests.cli.conftest import Command, Files
from tests.traced_graphs import FAMILIES, pictures

SAMPLES = 2


def result(folder: Path, plain: dict[str, Any]) -> Path:
    """What the exported run.py would write, with figures of the test's own."""
    names = {"synaptic events": "event/sample", "energy a sample": "uJ", "synapses": "uJ"}
    figures = [
        {"name": name, "value": 8.0, "unit": unit, "status": "counted", "source": "a run", "absent": []}
        for name, unit in names.items()
    ]
    document = {
        "schema": "neurodeploy.sanafe",
        "version": 1,
        "name": plain["name"],
        "target": plain["target"],
        "simulator": "sanafe 2.2.9",
        "samples": SAMPLES,
        "steps": SAMPLES * plain["steps"],
        "identity": plain["identity"],
        "figures": [one | {"absent_as_zero": one["value"]} for one in figures],
        "host": {"changed": {"lif": 1}, "of": {"lif": 8}},
    }
    path = folder / "sanafe.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def figures(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = export_sanafe(api.load(files.artefact), tmp_path_factory.mktemp("sanafe") / "net", "loihi2")
    return result(folder, json.loads((folder / "network.json").read_text()))


def test_figures_stand_beside_ours(call: Command, files: Files, figures: Path) -> None:
    words = ("map", files.artefact, "--target", "loihi2", "--images", files.images, "--sanafe", figures)
    found = call(*words, "--json").document
    rows = {row["name"]: row for row in found["second_opinion"]["rows"]}
    (events,) = (f["value"] for f in found["sections"]["traffic"] if f["name"] == "synaptic events a step")
    steps = api.load(files.artefact).graph.steps
    assert rows["synaptic events"]["ours"] == events * steps
    assert rows["synaptic events"]["ratio"] == 8 / (events * steps)
    assert rows["synapses"]["ours"] is None  # loihi2 has no energies
    people = call(*words)
    assert people.code == 0 and "A second opinion: sanafe 2.2.9" in people.out and "lif 12 %" in people.out


def test_the_same_images_are_known_by_their_codes(call: Command, files: Files, figures: Path, tmp_path: Path) -> None:
    deployed, images = api.load(files.artefact), np.load(files.images)[:SAMPLES]
    document = json.loads(figures.read_text())
    import hashlib

    codes = PixelCode.of_graph(deployed.graph).encode(check_images(images, deployed.input_shape))
    document["identity"]["images"] = hashlib.sha256(codes.tobytes()).hexdigest()
    path = tmp_path / "sanafe.json"
    path.write_text(json.dumps(document))
    assert deployed.map("loihi2", images, sanafe=path).second.same_images
    assert not deployed.map("loihi2", images[:1], sanafe=path).second.same_images
    assert not deployed.map("loihi2", sanafe=path).second.same_images


def test_the_page_has_them(call: Command, files: Files, figures: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="the page needs jinja2, which this environment does not have")
    path = tmp_path / "report.html"
    quick = ("--backend", "onnx", "--backends", "reference", "--observed", "2", "--shown", "1", "--compared", "1")
    found = call("report", files.artefact, "--images", files.images, "-o", path, *quick, "--sanafe", figures)
    assert found.code == 0
    text = path.read_text()
    assert "A second opinion" in text and "sanafe 2.2.9" in text


def test_another_network_is_refused_by_name(call: Command, figures: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    api.CompiledModel(quantize(FAMILIES["spikformer"](), pictures(8))).save(other)
    refused = call("map", other, "--target", "loihi2", "--sanafe", figures, "--json")
    assert (refused.code, set(refused.findings)) == (2, {"ND-X021"})
    name = json.loads(figures.read_text())["name"]
    assert refused.document["findings"][0]["have"] in (
        f"figures of {name}",
        f"figures of another network of the same name, {name}",
    )


def test_another_chip_and_a_broken_file_are_refused(call: Command, files: Files, figures: Path, tmp_path: Path) -> None:
    refused = call("map", files.artefact, "--target", "loihi1", "--sanafe", figures, "--json")
    assert refused.code == 2 and "ND-X021" in refused.findings
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    refused = call("map", files.artefact, "--sanafe", broken, "--json")
    assert (refused.code, refused.findings) == (3, ["ND-X020"])
