"""A PyTorch model through the whole line, in Python and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy import api
from neurodeploy.cli.app import invoke
from tests.traced_graphs import pictures

pytestmark = pytest.mark.torch

MODEL = """
import torch
from neurodeploy.models import QKFormer, QKFormerConfig

print("a model file may print")

def tiny():
    torch.manual_seed(3)
    config = QKFormerConfig(image_size=8, in_channels=1, classes=3, dims=(8, 16), depths=(1, 1), heads=(2, 2),
                            pools=(True, True))
    model = QKFormer(config)
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(module.weight, 1, 2)
            torch.nn.init.uniform_(module.bias, 0, 1)
    return model

def broken():
    return torch.nn.Sequential(torch.nn.Linear(8, 3))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.py"
    path.write_text(MODEL)
    return str(path)


@pytest.fixture(scope="module")
def network(file: str) -> Any:
    return api.load_model(f"{file}:tiny")


def state(network: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_compile_evaluate_compare(network: Any, tmp_path: Path) -> None:
    before, images, stages = state(network), pictures(24), list[str]()
    deployed = nd.compile(network, images[:1], calibration=images, weight_bits=6, progress=stages.append)
    assert all((before[name] == tensor).all() for name, tensor in network.state_dict().items())
    assert stages[:2] == ["trace", "quantize and prove"]
    assert stages[2:] == [
        *(f"quantize {conv.name}" for conv in deployed.graph.of("conv")),
        "measure the errors of the layers",
    ]
    assert all(bound.holds for bound in deployed.bounds)
    assert deployed.graph.metadata["target"] == "loihi2"
    assert json.loads(deployed.graph.metadata["versions"])["neurodeploy"] == nd.__version__
    assert nd.compare(deployed, images, ("reference", "onnx")).equal
    truth = deployed.run(images).classes
    found = nd.evaluate(deployed, images, truth, float_model=network)
    assert found.integer_accuracy == 100.0
    assert found.agreement == found.float_accuracy
    assert found.correlation is not None


def test_compile_twice_gives_the_same_bytes(network: Any, tmp_path: Path) -> None:
    images = pictures(8)
    for name in ("a", "b"):
        nd.compile(network, images[:1], calibration=images).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_command_line_compiles_a_file(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "images.npz", images=pictures(8), labels=np.zeros(8, np.int64))
    data, out = str(tmp_path / "images.npz"), str(tmp_path / "tiny.onnx")
    words = ["compile", f"{file}:tiny", "--calibration", data, "-o", out, "--weight-bits", "stage1.*=4", "--json"]
    assert invoke(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["artefact"], document["target"], document["steps"]) == (out, "loihi2", 4)
    bits = {c["layer"]: c["weight_bits"] for c in document["choices"] if "weight_bits" in c}
    assert {b for layer, b in bits.items() if layer.startswith("stage1.")} == {4}
    assert {b for layer, b in bits.items() if not layer.startswith("stage1.")} == {8}
    assert invoke(["evaluate", out, "--images", data, "--model", f"{file}:tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correlation"] is not None


def test_command_line_names_the_keys_that_it_ignores(
    file: str, network: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    weights, data, out = (str(tmp_path / name) for name in ("weights.pth", "images.npz", "tiny.onnx"))
    torch.save(network.state_dict() | {"stage1.0.norm2.bias": torch.ones(8)}, weights)
    np.savez(data, images=pictures(8), labels=np.zeros(8, np.int64))
    assert invoke(["compile", f"{file}:tiny", "--weights", weights, "--calibration", data, "-o", out, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ignored_keys"] == ["stage1.0.norm2.bias"]
    assert f"{weights}: left out 1 key(s) that no forward reads: stage1.0.norm2.bias" in printed.err
    assert invoke(["evaluate", out, "--images", data, "--model", f"{file}:tiny", "--weights", weights]) == 0
    assert "stage1.0.norm2.bias" in capsys.readouterr().err


@pytest.mark.parametrize(("factory", "code"), [("broken", 4), ("missing", 2)])
def test_models_that_cannot_be_compiled(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], factory: str, code: int
) -> None:
    np.save(tmp_path / "images.npy", pictures(8))
    words = ["--calibration", str(tmp_path / "images.npy"), "-o", str(tmp_path / "x.onnx"), "--json"]
    assert invoke(["compile", f"{file}:{factory}", *words]) == code
    assert json.loads(capsys.readouterr().out)["findings"]
    assert not (tmp_path / "x.onnx").exists()


class Planted:
    """Would leave a file behind if a checkpoint could run code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("case", "code"), [("hostile", "ND-F103"), ("family", "ND-F105"), ("cut", "ND-F102"), ("missing", "ND-F101")]
)
def test_checkpoints_that_do_not_load_leave_nothing(
    file: str, network: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, code: str
) -> None:
    import torch

    from neurodeploy.models import spikformer_mnist

    weights, planted = tmp_path / "weights.pth", tmp_path / "planted"
    content = {"hostile": {"w": Planted(planted)}, "family": {"model": spikformer_mnist().state_dict()}}
    if case != "missing":
        torch.save(content.get(case, network.state_dict()), weights)
    if case == "cut":
        weights.write_bytes(weights.read_bytes()[:-200])
    np.save(tmp_path / "images.npy", pictures(8))
    before = sorted(tmp_path.iterdir())
    words = ["--calibration", str(tmp_path / "images.npy"), "-o", str(tmp_path / "x.onnx"), "--json"]
    assert invoke(["compile", f"{file}:tiny", "--weights", str(weights), *words]) == 3
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert findings[0]["code"] == code and findings[0]["source"] == str(weights)
    if case == "family":
        have = " ".join(finding["have"] for finding in findings)
        assert all(key in have for key in spikformer_mnist().state_dict() if key.endswith("linear.weight"))
    assert sorted(tmp_path.iterdir()) == before
