"""Event frames through the whole line, in Python and on the command line, and what is said where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy import api
from neurodeploy.cli.app import invoke
from neurodeploy.errors import NeurodeployError, UsageError
from neurodeploy.quantize import quantize
from tests.event_frames import as_events, frames
from tests.traced_graphs import FAMILIES, pictures

STEPS, SAMPLES = 5, 12

MODEL = """
import torch
from neurodeploy.models import QKFormer, QKFormerConfig, Spikformer, SpikformerConfig

SHAPE = {"image_size": 16, "in_channels": 2, "classes": 3, "steps": 3, "dialect": "dvs"}

def lively(model):
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(module.weight, 3, 6)
            torch.nn.init.uniform_(module.bias, 0, 1)
    return model

def qkformer(events=True):
    torch.manual_seed(3)
    shape = {"dims": (16, 16), "depths": (1, 1), "heads": (2, 2), "pools": (True, True)}
    return lively(QKFormer(QKFormerConfig(**SHAPE, **shape, events=events)))

def spikformer():
    torch.manual_seed(3)
    shape = {"dim": 16, "depth": 1, "heads": 2, "pools": (True,) * 4, "norms": False}
    return lively(Spikformer(SpikformerConfig(**SHAPE, **shape, events=True)))

def still():
    return qkformer(events=False)
"""


def counts(samples: int = SAMPLES, **changes: Any) -> np.ndarray:
    return frames(samples, STEPS, channels=1, **changes)


@pytest.fixture(scope="module")
def deployed() -> nd.CompiledModel:
    return nd.CompiledModel(quantize(as_events(FAMILIES["qkformer"](2, steps=STEPS)), counts()))


@pytest.fixture(scope="module")
def still() -> nd.CompiledModel:
    return nd.CompiledModel(quantize(FAMILIES["qkformer"](2, steps=STEPS), pictures(8)))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.py"
    path.write_text(MODEL)
    return str(path)


def test_an_artefact_says_what_a_sample_is(deployed: nd.CompiledModel, tmp_path: Path) -> None:
    deployed.save(tmp_path / "m.onnx")
    again = nd.load(tmp_path / "m.onnx")
    assert again.input_shape == deployed.input_shape == (STEPS, 1, 8, 8)
    document = again.describe()
    assert (document["input"], document["input_kind"]) == ([STEPS, 1, 8, 8], "event frames")
    assert document["pixel_range"] == [0.0, again.graph.encoders[0].integer("hi")]
    assert f"{STEPS}x1x8x8" in repr(again)
    assert (again.run(counts(), "onnx").logits == deployed.run(counts()).logits).all()


def test_compare_and_evaluate(deployed: nd.CompiledModel) -> None:
    given = counts()
    assert nd.compare(deployed, given, ("reference", "onnx", "mapped")).equal
    found = nd.evaluate(deployed, given, deployed.run(given).classes)
    assert found.integer_accuracy == 100.0


def test_a_clipped_share_is_one_of_the_places_with_an_event(deployed: nd.CompiledModel) -> None:
    given, top = np.zeros((2, STEPS, 1, 8, 8), np.int64), int(deployed.pixel_range[1])
    assert deployed.clipped_share(given) == 0
    given[0, 0, 0, 0, :4] = top, top + 1, top, 10 * top
    assert deployed.clipped_share(given) == 0.5


@pytest.mark.parametrize("backend", ["reference", "mapped", "onnx", "lava"])
def test_images_and_event_frames_are_never_confused(
    deployed: nd.CompiledModel, still: nd.CompiledModel, backend: str
) -> None:
    with pytest.raises(UsageError, match=r"(?s)event frames \[N, 5, 1, 8, 8\].*the time axis is missing"):
        deployed.run(pictures(2), backend)
    with pytest.raises(UsageError, match="T 5 needed, 10 found: bin the events into 5 frames"):
        deployed.run(np.zeros((2, 10, 1, 8, 8), np.uint8), backend)
    with pytest.raises(UsageError, match=r"(?s)images \[N, 1, 8, 8\].*one image that stays for all its steps"):
        still.run(counts(2), backend)


def test_calibration_of_another_number_of_steps() -> None:
    with pytest.raises(UsageError) as caught:
        nd.compile(None, counts(1), calibration=np.zeros((4, STEPS + 1, 1, 8, 8)))
    (finding,) = caught.value.findings
    assert finding.layer == "calibration"
    assert finding.next == "T 5 needed, 6 found: bin the events into 5 frames"


@pytest.mark.torch
@pytest.mark.parametrize("family", ["qkformer", "spikformer"])
def test_a_model_of_event_frames(file: str, family: str) -> None:
    network, given = api.load_model(f"{file}:{family}"), frames(16, 3, size=16)
    deployed = nd.compile(network, given[:1], calibration=given)
    assert deployed.input_shape == (3, 2, 16, 16)
    assert deployed.graph.encoders[0].number("step") == 1.0
    assert nd.compare(deployed, given[:2], ("reference", "onnx", "mapped")).equal
    found = nd.evaluate(deployed, given, np.zeros(16, np.int64), float_model=network)
    assert found.correlation is not None and found.correlation > 0.9


@pytest.mark.torch
def test_booleans_are_spikes(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, spikes = api.load_model(f"{file}:qkformer"), frames(16, 3, size=16) > 0
    deployed = nd.compile(network, spikes[:1], calibration=spikes)
    numbers = spikes.astype(np.float32)
    assert (deployed.run(spikes).logits == deployed.run(numbers).logits).all()
    labels = np.zeros(16, np.int64)
    found, wanted = (nd.evaluate(deployed, given, labels, float_model=network) for given in (spikes, numbers))
    assert found.correlation == wanted.correlation is not None
    deployed.save(tmp_path / "tiny.onnx")
    np.save(tmp_path / "spikes.npy", spikes)
    assert invoke(["run", str(tmp_path / "tiny.onnx"), "--images", str(tmp_path / "spikes.npy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == deployed.run(numbers).classes.tolist()


@pytest.mark.torch
@pytest.mark.parametrize(("factory", "example"), [("still", (1, 3, 2, 16, 16)), ("qkformer", (1, 2, 16, 16))])
def test_an_example_of_the_other_kind(file: str, factory: str, example: tuple[int, ...]) -> None:
    given = np.ones((4, *example[1:]), np.float32)
    with pytest.raises(NeurodeployError, match=r"\[N, T, C, H, W\] with its T for event frames"):
        nd.compile(api.load_model(f"{file}:{factory}"), given[:1], calibration=given)


@pytest.mark.torch
def test_command_line(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = frames(8, 3, size=16).astype(np.uint8)
    np.savez(tmp_path / "frames.npz", images=given, labels=np.zeros(8, np.int64))
    data, out = str(tmp_path / "frames.npz"), str(tmp_path / "tiny.onnx")
    assert invoke(["compile", f"{file}:qkformer", "--calibration", data, "-o", out, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["input"], document["input_kind"], document["steps"]) == ([3, 2, 16, 16], "event frames", 3)
    assert [choice["step"] for choice in document["choices"] if choice["kind"] == "events"] == [1.0]
    assert invoke(["evaluate", out, "--images", data, "--model", f"{file}:qkformer", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correlation"] is not None
    assert invoke(["compare", out, "--images", data, "--backends", "reference,onnx,mapped", "--limit", "2"]) == 0
    assert "equal" in capsys.readouterr().out
    assert invoke(["inspect", out]) == 0
    assert "event frames" in capsys.readouterr().out
    np.savez(tmp_path / "spikingjelly.npz", frames=given)
    assert invoke(["run", out, "--images", str(tmp_path / "spikingjelly.npz"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["classes"]) == 8
    np.save(tmp_path / "ten.npy", np.zeros((2, 10, 2, 16, 16), np.uint8))
    assert invoke(["run", out, "--images", str(tmp_path / "ten.npy")]) == 2
    assert "T 3 needed, 10 found: bin the events into 3 frames" in capsys.readouterr().err
    np.save(tmp_path / "many.npy", np.full((2, 3, 2, 16, 16), 9999, np.int32))
    assert invoke(["run", out, "--images", str(tmp_path / "many.npy")]) == 0
    assert "100% of the values that are not zero lie beyond" in capsys.readouterr().err
