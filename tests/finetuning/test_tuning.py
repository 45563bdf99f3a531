"""nd.finetune and nd.prepare_finetuning: from a model in PyTorch to a deployed network, with nothing between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import surrogate
from torch.nn import functional as F

import neurodeploy as nd
from neurodeploy.errors import BackendsDifferError, InvalidFileError, UsageError
from neurodeploy.finetuning import IntegerNetwork, Recipe
from neurodeploy.ir.identity import identity
from neurodeploy.tuning import FineTuned
from tests.frontend.small import tiny_qkformer, tiny_spikformer

COUNT = 48
BITS = {"weight_bits": 3, "rounding": "nearest", "scale": "weight", "bias_correction": False}
NO_SLOPES = (torch.nn.Linear(2, 3), torch.nn.Linear(2, 2), torch.nn.Threshold("0", 1.0))
SHORT = {**BITS, "epochs": 1.0, "batch": 8, "evaluations": 2, "learning_rate": 0.02}


def digits(count: int = COUNT, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 [N, 1, 8, 8] in 0..1 of three classes: where the bright rows are."""
    rng, labels = np.random.default_rng(seed), np.arange(count) % 3
    images = rng.random((count, 1, 8, 8)) * 0.5
    for image, label in zip(images, labels, strict=True):
        image[0, 3 * label : 3 * label + 2] += 0.5
    return images.astype(np.float32), labels


def model() -> torch.nn.Module:
    torch.manual_seed(0)  # of what `lively` leaves as the layers made it
    return tiny_qkformer()


def tuned(**choices: Any) -> FineTuned:
    return nd.finetune(model(), *digits(), **{**SHORT, **choices})


def test_a_loop_of_ones_own_ends_in_what_it_measured() -> None:
    """The loop of docs/finetuning.md."""
    (images, labels), given = digits(), tiny_spikformer()
    network = nd.prepare_finetuning(given, images[:1], calibration=images[:16], **BITS)
    before = network.logits(images)
    assert np.array_equal(before, nd.compile(given, images[:1], calibration=images[:16], **BITS).run(images).logits)
    optimizer = torch.optim.SGD(network.groups(0.01), momentum=0.9)
    for _ in range(3):
        loss = F.cross_entropy(network(torch.from_numpy(images)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.project()
    deployed = network.deploy()
    assert isinstance(deployed, nd.CompiledModel)
    found = deployed.run(images, backend="reference")
    assert np.array_equal(found.logits, network.logits(images))
    scaled = (found.logits * deployed.graph.output_scale).astype(np.float32)
    assert np.array_equal(scaled, network(torch.from_numpy(images)).detach().numpy())


def test_finetune_learns_and_gives_what_it_measured() -> None:
    found = tuned(epochs=4.0, held_out=digits(30, 1), teacher=False)
    assert found.history[-1]["loss"] < found.history[1]["loss"]
    images, labels = digits(30, 1)
    run = found.deployed.run(images, backend="reference")
    assert 100 * (run.logits.argmax(axis=1) == labels).mean() == found.accuracy
    assert found.as_json()["history"][0]["step"] == 0


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        tuned().deployed.save(tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    loaded = nd.load(tmp_path / "a.onnx")
    told = json.loads(loaded.graph.metadata["finetuned"])
    assert (told["steps"], told["surrogate"]) == (5, "Sigmoid(alpha=4.0, spiking=True)")
    layers = {entry["layer"]: entry for entry in json.loads(loaded.graph.metadata["quantization"])}
    for node in loaded.graph.of("conv"):
        assert layers[node.name]["rounding"] == "fine-tuned"
        assert "spike_error" not in layers[node.name]
        assert layers[node.name]["largest_weight"] == np.abs(node.tensors["weight"].astype(int)).max()


def test_the_model_is_left_as_it_was() -> None:
    given = model()
    before = {name: value.clone() for name, value in given.state_dict().items()}
    nd.finetune(given, *digits(), **SHORT)
    assert not given.training
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())


def test_resume_gives_the_same_network(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"

    def stop(done: int, total: int) -> None:
        if (done, total) == (4, 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(checkpoint=path, progress=stop)
    again, whole = tuned(resume=path), tuned()
    assert (again.accuracy, again.step, again.history) == (whole.accuracy, whole.step, whole.history)
    assert identity(again.deployed.graph) == identity(whole.deployed.graph)
    with pytest.raises(InvalidFileError) as caught:
        tuned(resume=path, epochs=2.0, teacher=False, weight_bits=4, surrogate=surrogate.ATan(2.0))
    assert {finding.code for finding in caught.value.findings} == {"ND-S021"}
    names = {finding.layer for finding in caught.value.findings}
    assert names - {"output scale"} == {"network", "recipe", "surrogate", "teacher"}
    named = tuned(resume=path, surrogate=surrogate.Sigmoid(4.0))
    assert identity(named.deployed.graph) == identity(whole.deployed.graph)


def stopping(after: int) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    return stop


def test_a_checkpoint_of_another_float_model_is_refused_though_its_integers_are_the_same(tmp_path: Path) -> None:
    path, other = tmp_path / "run.ckpt", model()
    with torch.no_grad():
        other.head.weight *= 4
        other.head.bias *= 4
    with pytest.raises(KeyboardInterrupt):
        tuned(checkpoint=path, progress=stopping(1))
    with pytest.raises(InvalidFileError) as caught:
        nd.finetune(other, *digits(), resume=path, **SHORT)
    assert {finding.layer for finding in caught.value.findings} == {"output scale", "teacher"}


def test_a_resumed_run_keeps_its_checkpoint(tmp_path: Path) -> None:
    path, other = tmp_path / "run.ckpt", tmp_path / "other.ckpt"
    runs = ((2, {"checkpoint": path}), (3, {"resume": path}), (4, {"resume": path, "checkpoint": other}))
    held = list[bytes]()
    for step, files in runs:
        with pytest.raises(KeyboardInterrupt):
            tuned(progress=stopping(step), teacher=False, **files)
        held.append(path.read_bytes())
    assert held[0] != held[1] == held[2]
    steps = list[int]()
    tuned(resume=path, teacher=False, progress=lambda done, total: steps.append(done))
    assert steps == [4, 5]


def test_what_is_no_path_is_named() -> None:
    for name in ("checkpoint", "resume"):
        with pytest.raises(UsageError, match=f"ND-S016 {name}"):
            tuned(**{name: 3})


@pytest.mark.parametrize("teacher", [True, False, "logits"])
def test_teachers(teacher: Any) -> None:
    given = np.eye(3, dtype=np.float32)[digits()[1]] * 5 if teacher == "logits" else teacher
    stages = list[str]()
    assert tuned(teacher=given, stage=stages.append).history[-1]["loss"] > 0
    assert ("teacher: the float model" in stages) == (teacher is True)


MASKED = np.ma.masked_less(np.arange(COUNT * 3.0).reshape(COUNT, 3), 1)


@pytest.mark.parametrize(
    ("choices", "codes"),
    [
        ({"epochs": -1}, {"ND-S010"}),
        *(({"held_out": wrong}, {"ND-S011"}) for wrong in (3.0, None, "0.05", digits() * 2, np.zeros(2), True, np.nan)),
        *(
            ({"teacher": wrong}, {"ND-S012"})
            for wrong in (np.zeros((COUNT, 2)), "float", [[1.0], [1.0, 2.0]], np.full((COUNT, 3), 1e300), MASKED)
        ),
        *(({"surrogate": wrong}, {"ND-S014"}) for wrong in (surrogate.ATan, "atan", *NO_SLOPES)),
        *(({"name": wrong}, {"ND-C028"}) for wrong in ("a\udcffb", 3)),
        ({"weight_bits": 1}, {"ND-Q001"}),
        ({"no_such_choice": 1}, {"ND-Q033"}),
        ({"held_out": (digits()[0], np.arange(COUNT))}, {"ND-V002"}),
        ({"held_out": (digits()[0][:, :, :4], digits()[1])}, {"ND-B003"}),
        ({"held_out": (0.05, 0.1)}, {"ND-B003"}),
    ],
)
def test_wrong_choices_are_named_before_the_quantizer_works(choices: dict[str, Any], codes: set[str]) -> None:
    stages = list[str]()
    with pytest.raises(UsageError) as caught:
        tuned(**choices, stage=stages.append)
    assert {finding.code for finding in caught.value.findings} == codes
    assert "quantize and prove" not in stages
    assert all(
        finding.layer.startswith(next(iter(choices))) or "Q" in finding.code for finding in caught.value.findings
    )


def test_a_file_that_is_there_is_no_checkpoint_to_begin(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    path.write_bytes(b"hours of work")
    with pytest.raises(UsageError, match="ND-S017"):
        tuned(checkpoint=path)
    assert path.read_bytes() == b"hours of work"


def test_numbers_of_numpy_are_numbers() -> None:
    assert Recipe(epochs=np.float32(0.5), batch=np.int64(8)) == Recipe(epochs=0.5, batch=8)


def test_a_misspelt_choice_is_told_of_the_recipe_and_of_the_quantizer() -> None:
    with pytest.raises(UsageError, match=r"(?s)one of epochs, batch, .*rounding, .*did you mean epochs\?"):
        tuned(epoch=1)


def test_wrong_labels_are_named() -> None:
    images, labels = digits()
    stages = list[str]()
    for wrong, code in ((labels[:-1], "ND-V001"), (labels + 1, "ND-V002"), (labels / 2, "ND-V001")):
        with pytest.raises(UsageError, match=code):
            nd.finetune(model(), images, wrong, **SHORT, stage=stages.append)
    assert {*stages} == {"trace"}


@pytest.mark.parametrize(
    ("images", "code"), [(0.5, "ND-B003"), ([[1.0], [1.0, 2.0]], "ND-B002"), (digits()[0][:0], "ND-B004")]
)
def test_what_are_no_images_is_named(images: Any, code: str) -> None:
    with pytest.raises(UsageError, match=code):
        nd.finetune(model(), images, digits()[1], **SHORT)


def test_what_is_no_checkpoint_is_named_at_once(tmp_path: Path) -> None:
    stages = list[str]()
    (tmp_path / "text").write_text("no checkpoint")
    for name, code in (("none", "ND-A002"), ("text", "ND-S020")):
        with pytest.raises(InvalidFileError, match=code):
            tuned(resume=tmp_path / name, stage=stages.append)
    assert stages == []


@pytest.mark.parametrize("wrong_from", [1, 4])  # before any step; in the end, after the evaluations
def test_a_module_that_computes_other_integers_is_refused(wrong_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, calls, steps = IntegerNetwork.logits, list[int](), list[int]()

    def other(self: IntegerNetwork, images: Any, batch: int = 64) -> Any:
        calls.append(len(images))
        return logits(self, images, batch) + (len(calls) >= wrong_from)

    monkeypatch.setattr(IntegerNetwork, "logits", other)
    with pytest.raises(BackendsDifferError, match="ND-S030"):
        tuned(evaluations=1, progress=lambda done, total: steps.append(done), teacher=False)
    assert len(calls) == wrong_from
    assert bool(steps) == (wrong_from > 1)
