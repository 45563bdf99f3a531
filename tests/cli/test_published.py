"""A published model file on the command line: arguments in the name, averaged weights, coupling, float batches."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.cli.conftest import Command

pytestmark = pytest.mark.torch


class Published(NamedTuple):
    """A model with its checkpoint, labelled images, and the place of the artefact."""

    model: str
    weights: Path
    data: Path
    artefact: Path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    torch = pytest.importorskip("torch")
    from neurodeploy.frontend import load_model
    from tests.frontend.published import FILE
    from tests.frontend.small import lively

    folder = tmp_path_factory.mktemp("published")
    (folder / "model.py").write_text(FILE, encoding="utf-8")
    model = f"{folder / 'model.py'}:former(dim=8, T=4)"
    states = {name: lively(load_model(model), seed).state_dict() for seed, name in enumerate(("model", "model_ema"))}
    torch.save({**states, "epoch": 3}, folder / "checkpoint.pth")
    images = np.random.default_rng(0).random((12, 1, 8, 8), dtype=np.float32) * 2
    np.savez(folder / "data.npz", images=images, labels=np.arange(12) % 3)
    return Published(model, folder / "checkpoint.pth", folder / "data.npz", folder / "net.onnx")


@pytest.fixture(scope="module")
def compiled(published: Published) -> Published:
    from neurodeploy.cli.app import invoke

    words = ["compile", published.model, "--weights", published.weights, "--calibration", published.data, "--ema"]
    assert invoke([*map(str, words), "-o", str(published.artefact)]) == 0
    return published


def test_compile_tells_of_the_coupling(call: Command, published: Published, tmp_path: Path) -> None:
    words = ["compile", published.model, "--weights", published.weights, "--calibration", published.data]
    found = call(*words, "-o", tmp_path / "net.onnx", "--json")
    assert (found.code, found.document["batch_coupled"]) == (0, ["block.0.proj_lif"])
    assert found.document["steps"] == 4


def test_inspect_tells_of_the_coupling(call: Command, compiled: Published) -> None:
    found = call("inspect", compiled.artefact, "--show", "network", "--no-mapped")
    text = " ".join(found.out.split())
    assert "1 layer(s) run across the samples of a batch in the model's code (block.0.proj_lif)" in text
    assert "This network computes batch size 1" in text
    assert call("inspect", compiled.artefact, "--json").document["batch_coupled"] == ["block.0.proj_lif"]


def test_evaluate_in_batches(call: Command, compiled: Published) -> None:
    words = ["evaluate", compiled.artefact, "--images", compiled.data, "--model", compiled.model]
    words += ["--weights", compiled.weights, "--ema", "--backend", "reference", "--float-batch", "6"]
    document = call(*words, "--json").document
    assert document["float_batch"] == 6
    assert 0 <= document["float_batch_accuracy"] <= 100
    assert document["correlation"] > 0.9  # of the averaged weights on both sides
    shown = call(*words).out
    assert "float, batches of 6" in shown
    assert "float accuracy" in shown


def test_evaluate_with_the_other_weights_is_another_model(call: Command, compiled: Published) -> None:
    words = ["evaluate", compiled.artefact, "--images", compiled.data, "--model", compiled.model]
    document = call(*words, "--weights", compiled.weights, "--backend", "reference", "--json").document
    assert document["correlation"] < 0.9
    assert document["float_batch"] is None


@pytest.mark.parametrize("words", [["--float-batch", "0"], ["--float-batch", "4"]])
def test_float_batches_need_a_size_and_a_model(call: Command, compiled: Published, words: list[str]) -> None:
    found = call("evaluate", compiled.artefact, "--images", compiled.data, *words, "--json")
    assert found.code == 2


def test_arguments_that_do_not_fit_are_a_usage_error(call: Command, published: Published, tmp_path: Path) -> None:
    file = published.model.rpartition(":")[0]
    words = ["--calibration", published.data, "-o", tmp_path / "net.onnx", "--json"]
    for factory, have in (("sized(8)", "it needs classes"), ("former(depth=2)", "'depth'"), ("former(T", "closed")):
        found = call("compile", f"{file}:{factory}", *words)
        assert (found.code, found.findings) == (2, ["ND-F202"])
        assert have in found.document["findings"][0]["have"]
