"""neurodeploy evaluate --target: accuracy on crossbars against ADC bits and active rows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.targets import load_target
from tests.cli.conftest import CLASSES, SAMPLES, Command, Files
from tests.traced_graphs import pictures

TARGET = "crossbar-128-adc5"


def test_a_document_of_settings(call: Command, files: Files) -> None:
    words = ("--target", TARGET, "--adc-bits", "2,5", "--active-rows", "safe, 3,all", "--json")
    found = call("evaluate", files.artefact, "--images", files.data, *words).document
    on = found["crossbar"]
    assert (on["target"], on["samples"], on["accuracy"]) == (TARGET, SAMPLES, found["integer_accuracy"])
    settings = on["settings"]
    asked = [(one["adc_bits"], one["asked"], one["active_rows"], one["safe"]) for one in settings]
    assert asked == [
        *((2, "safe", 1, True), (2, 3, 3, False), (2, "all", 128, False)),
        *((5, "safe", 10, True), (5, 3, 3, True), (5, "all", 128, False)),
    ]
    for one in settings:
        assert not one["safe"] or (one["equal"], one["agreement"], one["clipped"]) == (True, 100.0, 0.0)
        for key in ("tiles", "reads", "serial", "conversions"):
            assert sum(layer[key] for layer in one["layers"].values()) == one[key]
    assert settings[2]["clipped"] > 0 and not settings[2]["equal"]
    assert settings[0]["reads"] > settings[1]["reads"] > settings[2]["reads"]


def test_the_accuracy_is_that_of_a_run(call: Command, files: Files) -> None:
    words = ("--target", TARGET, "--adc-bits", "3", "--active-rows", "all", "--json")
    (one,) = call("evaluate", files.artefact, "--images", files.data, *words).document["crossbar"]["settings"]
    run = api.load(files.artefact).run(pictures(SAMPLES), "crossbar", target=TARGET, adc_bits=3, active_rows="all")
    assert one["accuracy"] == pytest.approx(100 * np.mean(run.classes == np.arange(SAMPLES) % CLASSES))


def test_tables_name_what_clipped(call: Command, files: Files) -> None:
    words = ("--target", TARGET, "--adc-bits", "2", "--active-rows", "safe,all")
    found = call("evaluate", files.artefact, "--images", files.data, *words)
    assert found.code == 0
    assert "On crossbar-128-adc5: 128 x 128 cells of 2 bits, offset coding" in found.out
    assert "1 (safe)" in found.out and "2 bits, 128 (all) rows" in found.out


def edited(folder: Path, **values: str) -> Path:
    """The target's file with other values, called `mine`."""
    text = Path(load_target(TARGET).file).read_text().replace(f'"{TARGET}"', '"mine"')
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key} = {{ value = .*?, unit", f"{key} = {{ value = {value}, unit", text)
        assert count == 1
    path = folder / "mine.toml"
    path.write_text(text)
    return path


DIFFERENTIAL = {"offset": "false", "weight_columns": "[2, 2, 4, 4, 6, 6, 8, 8]"}


def test_a_crossbar_of_ones_own_by_path(call: Command, files: Files, tmp_path: Path) -> None:
    """Smaller, with differential columns."""
    path = edited(tmp_path, rows="16", columns="64", rows_a_read="16", **DIFFERENTIAL)
    on = call("evaluate", files.artefact, "--images", files.data, "--target", path, "--json").document["crossbar"]
    assert (on["target"], on["crossbar"]["coding"], on["crossbar"]["rows"]) == ("mine", "differential", 16)
    assert [one["active_rows"] for one in on["settings"]] == [10, 16]
    assert on["settings"][0]["equal"]


def test_a_coding_that_is_not_computed_is_refused(call: Command, files: Files, tmp_path: Path) -> None:
    words = ("--images", files.data, "--target", edited(tmp_path, offset="false"), "--json")
    assert call("evaluate", files.artefact, *words).findings == ["ND-B064"]


def test_a_number_that_nobody_published_is_asked_for(call: Command, files: Files, tmp_path: Path) -> None:
    path = edited(tmp_path)
    absent = 'bits = { unit = "bit", status = "absent", source = "none found" }'
    path.write_text(re.sub(r"(?m)^bits = .*$", absent, path.read_text()))
    words = ("--images", files.data, "--target", path, "--json")
    assert call("evaluate", files.artefact, *words).findings == ["ND-B062"]
    assert call("evaluate", files.artefact, *words, "--adc-bits", "5").code == 0


def test_compare_takes_the_crossbar(call: Command, files: Files) -> None:
    found = call("compare", files.artefact, "--images", files.images, "--backends", "reference,crossbar", "--json")
    assert found.document["equal"] is True and found.document["values"]["membranes"] > 0


BAD = [
    (("--adc-bits", "5"), ["ND-C026"]),
    (("--target", "loihi2"), ["ND-B062"]),
    (("--target", "nothing"), ["ND-T001"]),
    (("--target", TARGET, "--adc-bits", "1"), ["ND-B063"]),
    (("--target", TARGET, "--adc-bits", "0,30", "--active-rows", "all"), ["ND-B060", "ND-B060"]),
    (("--target", TARGET, "--adc-bits", "five"), ["ND-B008"]),
    (("--target", TARGET, "--active-rows", "most,500"), ["ND-B008", "ND-B063"]),
    (("--target", TARGET, "--active-rows", ","), ["ND-B065"]),
]


@pytest.mark.parametrize(("words", "codes"), BAD)
def test_settings_that_cannot_be(call: Command, files: Files, words: tuple[str, ...], codes: list[str]) -> None:
    found = call("evaluate", files.artefact, "--images", files.data, *words, "--json")
    assert (found.code, found.findings) == (2, codes)
