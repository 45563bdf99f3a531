"""neurodeploy finetune: an artefact, its history, errors by name, and a run that is stopped and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import api
from tests.cli.conftest import Command

pytestmark = pytest.mark.torch

MODEL = """
import torch
from tests.frontend import small

def tiny_qkformer():
    torch.manual_seed(0)
    return small.tiny_qkformer()
"""
SHORT = ("--epochs", "1", "--batch", "8", "--evaluations", "2", "--weight-bits", "3", "--rounding", "nearest")
SHORT += ("--scale", "weight", "--no-bias-correction")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "model.py").write_text(MODEL)
    np.savez(tmp_path / "train.npz", images=rng.random((32, 1, 8, 8), np.float32), labels=np.arange(32) % 3)
    np.savez(tmp_path / "test.npz", images=rng.random((10, 1, 8, 8), np.float32), labels=np.arange(10) % 3)
    np.savez(tmp_path / "wrong.npz", images=rng.random((32, 1, 8, 8), np.float32), labels=np.arange(32))
    np.savez(tmp_path / "small.npz", images=rng.random((10, 1, 6, 6), np.float32), labels=np.arange(10) % 3)
    np.savez(tmp_path / "fewer.npz", images=rng.random((10, 1, 8, 8), np.float32), labels=np.arange(9) % 3)
    np.save(tmp_path / "bare.npy", rng.random((32, 1, 8, 8), np.float32))
    return tmp_path


def test_an_artefact_with_its_history_and_its_test(call: Command, folder: Path) -> None:
    words = ("--data", folder / "train.npz", "--test", folder / "test.npz", "-o", folder / "out.onnx", *SHORT)
    found = call("finetune", f"{folder}/model.py:tiny_qkformer", *words, "--json")
    assert found.code == 0, found.err
    history = found.document["finetuning"]["history"]
    assert [entry["step"] for entry in history] == [0.0, 2.0, 3.0]  # 30 samples, the others are held out
    assert found.document["test"]["samples"] == 10
    assert found.document["test"]["float_accuracy"] is not None
    deployed = api.load(folder / "out.onnx")
    assert "finetuned" in deployed.graph.metadata
    table = call("finetune", f"{folder}/model.py:tiny_qkformer", *words)
    assert table.code == 0
    assert "chosen" in table.out
    assert "of the held-out samples" in table.err
    assert "note: 2 held-out samples, of 1 of 3 classes, choose" in table.err


def test_every_choice_of_the_recipe_is_an_option(call: Command, folder: Path) -> None:
    from neurodeploy.finetuning import Recipe

    given = Recipe(0.5, 8, 0.01, 0.25, 3, 0.75, 2.0, 1).as_json()
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    data = ("--data", folder / "train.npz", *SHORT)
    found = call("finetune", f"{folder}/model.py:tiny_qkformer", *data, "-o", folder / "a.onnx", *words)
    assert found.code == 0, found.err
    assert json.loads(api.load(folder / "a.onnx").graph.metadata["finetuned"]).items() >= given.items()


def test_it_goes_on_from_its_checkpoint(call: Command, folder: Path) -> None:
    data = ("--data", folder / "train.npz", *SHORT)
    words = (f"{folder}/model.py:tiny_qkformer", *data, "--json")
    first = call("finetune", *words, "-o", folder / "a.onnx", "--checkpoint", folder / "run.ckpt")
    again = call("finetune", *words, "-o", folder / "b.onnx", "--resume", folder / "run.ckpt")
    assert (first.code, again.code) == (0, 0)
    assert first.document["finetuning"] == again.document["finetuning"]
    assert (folder / "a.onnx").read_bytes() == (folder / "b.onnx").read_bytes()
    other = call("finetune", *words, "-o", folder / "c.onnx", "--resume", folder / "run.ckpt", "--seed", "1")
    assert (other.code, {*other.findings}) == (3, {"ND-S021"})


@pytest.mark.parametrize(
    "outputs",
    [
        ("-o", "train.npz"),
        ("-o", "model.py"),
        ("-o", "a.onnx", "--checkpoint", "train.npz"),
        ("-o", "a.onnx", "--checkpoint", "a.onnx"),
    ],
)
def test_outputs_replace_no_input_and_not_one_another(call: Command, folder: Path, outputs: tuple[str, ...]) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    words = [word if word.startswith("-") else folder / word for word in outputs]
    found = call("finetune", f"{folder}/model.py:tiny_qkformer", "--data", folder / "train.npz", *words, "--json")
    assert (found.code, {*found.findings}) == (2, {"ND-C031"})
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_limit_takes_samples_of_all_classes_where_they_are_sorted(
    call: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurodeploy import tuning

    labels, given = np.repeat(np.arange(3), 100), list[np.ndarray]()

    def seen(network: object, *data: np.ndarray, **choices: object) -> None:
        given.extend(data)
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "finetune", seen)
    images = np.broadcast_to(labels[:, None, None, None], (300, 1, 8, 8)).astype(np.float32)
    np.savez(folder / "sorted.npz", images=images, labels=labels)
    words = ("--data", folder / "sorted.npz", "-o", folder / "a.onnx", "--held-out", "0.4", "--limit")
    for limit in (30, 300):
        found = call("finetune", f"{folder}/model.py:tiny_qkformer", *words, limit)
        assert ("note: 12 held-out samples choose: give more" in found.err) == (limit == 30)
        some, classes = given[-2:]
        assert np.array_equal(some[:, 0, 0, 0], classes)
        assert np.bincount(classes).tolist() == [limit // 3] * 3


def test_a_resumed_run_names_its_checkpoint_when_it_is_stopped(
    call: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurodeploy import tuning

    def stopped(*given: object, **choices: object) -> None:
        assert choices["checkpoint"] == choices["resume"]
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "finetune", stopped)
    (folder / "run.ckpt").touch()
    words = ("--data", folder / "train.npz", "-o", folder / "a.onnx", "--resume", folder / "run.ckpt")
    found = call("finetune", f"{folder}/model.py:tiny_qkformer", *words)
    assert (found.code, f"--resume {folder / 'run.ckpt'}" in found.err) == (130, True)


def test_missing_labels_are_told_of_the_option_that_lacks_them(call: Command, folder: Path) -> None:
    for words in (("--data", folder / "bare.npy"), ("--data", folder / "train.npz", "--test", folder / "bare.npy")):
        found = call("finetune", f"{folder}/model.py:tiny_qkformer", "-o", folder / "a.onnx", *words, "--json")
        (finding,) = found.document["findings"]
        assert (finding["code"], finding["layer"]) == ("ND-C004", words[-2])
        assert "--labels" not in finding["next"]


def test_ctrl_c_says_how_to_go_on(call: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurodeploy import tuning

    def stopped(*given: object, **choices: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "finetune", stopped)
    words = ("--data", folder / "train.npz", "-o", folder / "a.onnx", "--checkpoint", folder / "run.ckpt")
    early = call("finetune", f"{folder}/model.py:tiny_qkformer", *words)  # before the first step there is none
    assert (early.code, "--resume" in early.err) == (130, False)
    (folder / "run.ckpt").touch()
    found = call("finetune", f"{folder}/model.py:tiny_qkformer", *words)
    assert found.code == 130
    assert f"--resume {folder / 'run.ckpt'}" in found.err


@pytest.mark.parametrize(
    ("words", "code", "finding"),
    [
        (("--data", "wrong.npz"), 2, "ND-V002"),
        (("--data", "bare.npy"), 2, "ND-C004"),
        (("--data", "none.npz"), 3, "ND-C005"),
        (("--data", "train.npz", "--epochs", "0"), 2, "ND-S010"),
        (("--data", "train.npz", "--test", "bare.npy"), 2, "ND-C004"),
        (("--data", "train.npz", "--test", "small.npz"), 2, "ND-B003"),
        (("--data", "train.npz", "--test", "fewer.npz"), 2, "ND-V001"),
        (("--data", "train.npz", "--warm-up", "2"), 2, "ND-S010"),
        (("--data", "train.npz", "--held-out", "1"), 2, "ND-S011"),
        (("--data", "train.npz", "--name", "a\udcffb"), 2, "ND-C028"),
        (("--data", "train.npz", "--resume", "test.npz"), 3, "ND-S020"),
        (("--data", "train.npz", "--checkpoint", "no/folder/run.ckpt"), 2, "ND-C003"),
    ],
)
def test_errors_are_named(
    call: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, finding: str
) -> None:
    monkeypatch.chdir(folder)
    found = call("finetune", f"{folder}/model.py:tiny_qkformer", "-o", "out.onnx", *SHORT, *words, "--json")
    assert (found.code, found.findings) == (code, [finding])
    assert "--test" not in words or found.document["findings"][0]["source"] == words[-1]
    assert not (folder / "out.onnx").exists()
