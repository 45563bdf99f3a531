"""sensitivity: a row a layer and width, on as many samples as it says; compile: a note on images of integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.cli import sensitivity as command
from neurodeploy.quantize import sensitivity
from tests.cli.conftest import Command
from tests.cli.test_finetune import MODEL

pytestmark = pytest.mark.torch


def test_every_layer_at_every_width(call: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((9, 1, 8, 8), np.float32))
    words = (f"{tmp_path}/model.py:tiny_qkformer", "--calibration", tmp_path / "x.npy", "--limit")
    found = call("sensitivity", *words, "4", "--json")
    assert found.code == 0, found.err
    assert found.document["samples"] == 4
    layers = found.document["layers"]
    assert {loss["bits"] for loss in layers} == {*sensitivity.WIDTHS}
    assert len(layers) == len({loss["layer"] for loss in layers}) * len(sensitivity.WIDTHS)
    assert call("sensitivity", *words, "65").code == 2  # more than it would look at


def test_the_command_knows_how_many_samples_are_looked_at() -> None:
    assert command.SAMPLES == sensitivity.SAMPLES


def test_compile_notes_images_of_integers(call: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)
    for name, images in (("bytes", pixels), ("floats", (pixels / 255).astype(np.float32))):
        np.save(tmp_path / f"{name}.npy", images)
        words = ("--calibration", tmp_path / f"{name}.npy", "-o", tmp_path / f"{name}.onnx")
        found = call("compile", f"{tmp_path}/model.py:tiny_qkformer", *words)
        assert found.code == 0, found.err
        assert ("float32 of 0 to 1" in found.err) == (name == "bytes")


def test_auto_says_what_its_bits_keep(call: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((9, 1, 8, 8), np.float32))
    words = (f"{tmp_path}/model.py:tiny_qkformer", "--calibration", tmp_path / "x.npy", "-o", tmp_path / "a.onnx")
    found = call("compile", *words, "--weight-bits", "auto", "--budget", "3000", "--json")
    assert found.code == 0, found.err
    kept = found.document["auto"]
    assert (kept["budget"], kept["bytes"]) == (3000, found.document["weight_bytes"])
    assert kept["bytes"] <= 3000 and f"auto: {kept['bytes']:,} of 3,000 bytes" in found.err
    assert call("inspect", tmp_path / "a.onnx", "--json").document["auto"] == kept


@pytest.mark.parametrize("other", ["--calibration", "--weights", "MODEL"])
def test_an_output_that_would_replace_an_input_is_refused(call: Command, tmp_path: Path, other: str) -> None:
    files = {"--calibration": "x.npy", "--weights": "w.pth", "MODEL": "model.py"}
    (tmp_path / "model.py").write_text(MODEL)
    words = ("--calibration", tmp_path / "x.npy", "--weights", tmp_path / "w.pth", "-o", tmp_path / files[other])
    found = call("compile", f"{tmp_path}/model.py:tiny_qkformer(T=4)", *words, "--json")
    assert (found.code, found.findings) == (2, ["ND-C031"])
    assert (tmp_path / "model.py").read_text() == MODEL


def test_a_pattern_that_decides_nothing_is_refused(call: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8), np.float32))
    words = (
        f"{tmp_path}/model.py:tiny_qkformer",
        "--calibration",
        tmp_path / "x.npy",
        "-o",
        tmp_path / "a.onnx",
        "--json",
    )
    assert call("compile", *words, "--weight-bits", "h*=4", "--weight-bits", "head=3").findings == ["ND-Q002"]
    assert call("compile", *words, "--weight-bits", "4", "--weight-bits", "3").findings == ["ND-C006"]


def test_a_loop_of_links_is_a_named_error(call: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    words = ("--calibration", tmp_path / "loop.npy", "-o", tmp_path / "a.onnx", "--json")
    found = call("compile", f"{tmp_path}/model.py:tiny_qkformer", *words)
    assert found.code in (2, 3) and len(found.findings) == 1
