"""Every command: tables for people, one JSON document for programs, files where they are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy.backends.onnx
from neurodeploy import api
from neurodeploy.backends.result import RunResult
from neurodeploy.cli.doctor import _package
from neurodeploy.cli.inspect import inspect
from neurodeploy.cli.rounding import parse_bits
from neurodeploy.errors import UsageError
from neurodeploy.evaluation.operations import CONVENTIONS
from tests.cli.conftest import CLASSES, SAMPLES, Command, Files
from tests.traced_graphs import pictures

COMMANDS = ["compile", "finetune", "run", "evaluate", "compare", "simulate", "export", "inspect", "map", "report"]
COMMANDS += ["targets", "lava", "doctor"]


def test_help_names_every_command(call: Command) -> None:
    found = call("--help")
    assert found.code == 0
    assert [name for name in COMMANDS if f"\n  {name}" not in found.out] == []


@pytest.mark.parametrize("backend", ["reference", "onnx"])
def test_run_gives_the_librarys_logits(call: Command, files: Files, backend: str) -> None:
    found = call("run", files.artefact, "--images", files.images, "--backend", backend, "--limit", "5", "--json")
    wanted = api.load(files.artefact).run(pictures(SAMPLES)[:5])
    assert (found.code, found.err) == (0, "")
    assert found.document["logits"] == wanted.logits.tolist()
    assert found.document["classes"] == wanted.classes.tolist()
    assert found.document["backend"] == backend


def test_run_writes_probes(call: Command, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    words = ("--probes", "tssa.*", "--probes", "mlp.fc1_lif", "-o", path)
    found = call("run", files.artefact, "--images", files.data, *words)
    wanted = api.load(files.artefact).run(pictures(SAMPLES), probes=("tssa.*", "mlp.fc1_lif"))
    assert found.code == 0
    with np.load(path) as held:
        names = {*(f"spikes/{n}" for n in wanted.spikes), *(f"membrane/{n}" for n in wanted.membrane)}
        assert set(held.files) == {"logits", "classes", "scale", *names}
        assert all((held[f"spikes/{n}"] == array).all() for n, array in wanted.spikes.items())
        assert all((held[f"membrane/{n}"] == array).all() for n, array in wanted.membrane.items())
    assert [p.name for p in tmp_path.iterdir()] == ["out.npz"]


def test_table_of_a_run_has_no_colour_and_no_cut_names_off_a_terminal(call: Command, files: Files) -> None:
    found = call("run", files.artefact, "--images", files.images)
    assert "\x1b" not in found.out + found.err
    assert f"and {SAMPLES - 10} more" in found.out


def test_evaluate_finds_labels_beside_the_images(call: Command, files: Files) -> None:
    found = call("evaluate", files.artefact, "--images", files.data, "--rate-samples", "4", "--json").document
    classes = api.load(files.artefact).run(pictures(SAMPLES)).classes
    assert found["integer_accuracy"] == pytest.approx(100 * np.mean(classes == np.arange(SAMPLES) % CLASSES))
    assert (found["samples"], found["rate_samples"], found["drop"]) == (SAMPLES, 4, None)
    assert set(found["firing_rate"]) == set(api.load(files.artefact).layers)


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_limit_takes_samples_of_a_whole_sorted_file(
    call: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from neurodeploy import api, pages

    given = list[np.ndarray]()

    def seen(deployed: object, images: np.ndarray, labels: np.ndarray, *rest: object, **choices: object) -> None:
        given.extend((images, labels))
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "evaluate", seen)
    monkeypatch.setattr(pages, "made", lambda deployed, compare, *data, **choices: seen(deployed, *data))
    data = np.load(files.data)
    labels = np.sort(data["labels"])
    images = data["images"].copy()
    images.reshape(len(images), -1)[:, 0] = labels / 10
    np.savez(tmp_path / "sorted.npz", images=images, labels=labels)
    words = ("--images", tmp_path / "sorted.npz", "--limit", "4")
    call(command, files.artefact, *words, *(("-o", tmp_path / "a.html") if command == "report" else ()))
    assert given[1].tolist() == [labels[len(labels) * k // 4] for k in range(4)]
    assert np.array_equal(given[0].reshape(4, -1)[:, 0], (given[1] / 10).astype(images.dtype))


def test_evaluate_takes_labels_of_a_file(call: Command, files: Files, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", api.load(files.artefact).run(pictures(SAMPLES)).classes)
    words = ("--images", files.images, "--labels", tmp_path / "labels.npy")
    found = call("evaluate", files.artefact, *words)
    assert found.code == 0
    assert "100.00 %" in found.out


def test_compare_says_equal(call: Command, files: Files) -> None:
    words = ("--images", files.images, "--backends", "reference,onnx")
    found = call("compare", files.artefact, *words, "--json")
    assert (found.code, found.document["equal"], found.document["samples"]) == (0, True, SAMPLES)
    assert found.document["values"]["logits"] == SAMPLES * CLASSES
    assert "equal" in call("compare", files.artefact, *words, "--probes", "none").out


@pytest.fixture
def broken_onnx(monkeypatch: pytest.MonkeyPatch) -> tuple[str, tuple[int, ...]]:
    """The backend onnx with one flipped spike: sample 3, step 1 of the second layer."""
    real, index = neurodeploy.backends.onnx.run, (3, 1, 2, 5)

    def run(*arguments: Any, **options: Any) -> RunResult:
        result = real(*arguments, **options)
        layer = list(result.spikes)[1]
        spikes = result.spikes[layer].copy()
        spikes[index] ^= 1
        return replace(result, spikes={**result.spikes, layer: spikes})

    monkeypatch.setattr(neurodeploy.backends.onnx, "run", run)
    return "tssa.q_lif", index


def test_compare_names_the_first_divergence(
    call: Command, files: Files, broken_onnx: tuple[str, tuple[int, ...]]
) -> None:
    layer, (sample, step, *neuron) = broken_onnx
    words = ("compare", files.artefact, "--images", files.images, "--backends", "reference,onnx")
    found = call(*words, "--json")
    assert (found.code, found.document["equal"], found.findings) == (5, False, ["ND-V010"])
    divergence = found.document["divergence"]
    assert (divergence["quantity"], divergence["layer"], divergence["source"]) == ("spike", layer, "sketch.py:9")
    assert (divergence["sample"], divergence["step"], divergence["neuron"]) == (sample, step, neuron)
    assert sorted(divergence["values"]) == [0, 1]
    plain = call(*words)
    assert plain.code == 5
    assert "differ in the spike of tssa.q_lif" in plain.out
    assert f"sample {sample}, step {step}" in plain.err


def test_inspect_lists_layers_bounds_and_sizes(call: Command, files: Files) -> None:
    document, model = call("inspect", files.artefact, "--json").document, api.load(files.artefact)
    assert [layer["name"] for layer in document["layers"]] == [node.name for node in model.graph.nodes]
    assert len(document["bounds"]) == len(model.bounds)
    assert all(bound["holds"] and 0 <= bound["used"] <= 1 for bound in document["bounds"])
    assert document["mapped"]["neurons"] >= document["neurons"] > 0
    found = call("inspect", files.artefact, "--no-mapped")
    assert "tssa.q_lif" in found.out
    assert "Proven bounds" in found.out
    assert "mapped" not in found.out


def test_export_onnx_is_the_same_file(call: Command, files: Files, tmp_path: Path) -> None:
    assert call("export", files.artefact, "--to", "onnx", "-o", tmp_path / "copy.onnx").code == 0
    assert (tmp_path / "copy.onnx").read_bytes() == Path(files.artefact).read_bytes()


def test_export_lava_refuses_to_replace_unless_told(call: Command, files: Files, tmp_path: Path) -> None:
    words = ("export", files.artefact, "--to", "lava", "-o", tmp_path / "net")
    assert call(*words).code == 0
    assert (tmp_path / "net" / "run.py").is_file()
    assert call(*words, "--json").code == 2
    assert call(*words, "--overwrite").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_targets(call: Command, tmp_path: Path) -> None:
    listed = [t["name"] for t in call("targets", "list", "--json").document["targets"]]
    assert listed == sorted(listed) and {"cpu", "loihi2", "crossbar-isaac"} <= {*listed}
    shown = call("targets", "show", "loihi2", "--json").document
    assert shown["facts"]["core"]["neurons"]["value"] == 8192
    assert "datasheet" in call("targets", "show", "loihi2").out
    assert call("targets", "check", shown["file"], "--json").document["ok"] is True
    bad = tmp_path / "bad.toml"
    bad.write_text("name = 3\n")
    found = call("targets", "check", bad, "--json")
    assert found.code == 3
    assert len(found.findings) > 3


def test_doctor_says_what_works(call: Command) -> None:
    checks = {check["name"]: check for check in call("doctor", "--json").document["checks"]}
    assert {"python", "numpy", "torch", "onnxruntime", "lava-nc", "target loihi2"} <= set(checks)
    assert checks["numpy"]["state"] == "ok"
    assert all(bool(check["mend"]) == (check["state"] != "ok") for check in checks.values())


def test_doctor_names_the_mend_of_what_is_missing() -> None:
    found = _package("no-such-package", "nothing", "pip install it")
    assert (found.state, found.mend) == ("missing", "pip install it")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((), 8),
        (("4",), 4),
        (("block.*=4", "6"), {"block.*": 4, "*": 6}),
        (("6", "a=2", "b=3"), {"a": 2, "b": 3, "*": 6}),
    ],
)
def test_weight_bits(given: tuple[str, ...], wanted: int | dict[str, int]) -> None:
    assert parse_bits(given) == wanted


def test_weight_bits_that_cannot_be_read_are_all_named() -> None:
    with pytest.raises(UsageError) as caught:
        parse_bits(("eight", "4", "a=", "b=-2"))
    assert [finding.have for finding in caught.value.findings] == ["eight", "a=", "b=-2"]


@pytest.mark.lava
def test_lava_simulates_and_compares(call: Command, files: Files, tmp_path: Path) -> None:
    found = call("simulate", files.artefact, "--images", files.images, "--limit", "3", "--json", "-p", "all")
    assert found.document["logits"] == api.load(files.artefact).run(pictures(SAMPLES)[:3]).logits.tolist()
    compared = call("compare", files.artefact, "--images", files.images, "--limit", "3", "--json")
    assert (compared.code, compared.document["backends"]) == (0, ["reference", "native", "onnx", "lava"])
    status = call("lava", "status", "--json").document
    assert (status["lava"], status["version"][:4]) == ("0.10.0", "3.10")


@pytest.mark.parametrize("words", [["run"], ["inspect", "--no-mapped"]])
def test_images_of_another_scale_are_noted(call: Command, files: Files, tmp_path: Path, words: list[str]) -> None:
    np.save(tmp_path / "bytes.npy", (np.load(files.images) * 255).astype(np.uint8))
    scaled = call(*words, files.artefact, "--images", str(tmp_path / "bytes.npy"))
    assert scaled.code == 0 and "of the pixels lie beyond" in scaled.err
    assert "pixels" not in call(*words, files.artefact, "--images", files.images).err


def test_what_an_option_offers_is_what_there_is() -> None:
    """The options are written out, for the command line loads no NumPy before a command runs."""
    offered = {option.name: getattr(option.type, "choices", ()) for option in inspect.params}
    assert tuple(offered["mac"]) == CONVENTIONS


def test_channels_last_are_told_how_to_turn(call: Command, files: Files, tmp_path: Path) -> None:
    np.save(tmp_path / "last.npy", np.load(files.images).transpose(0, 2, 3, 1))
    found = call("run", files.artefact, "--images", str(tmp_path / "last.npy"))
    assert found.code == 2 and "transpose(0, 3, 1, 2)" in found.err


def test_a_file_without_images_says_what_it_holds(call: Command, files: Files, tmp_path: Path) -> None:
    np.savez(tmp_path / "xy.npz", x=np.zeros(2), y=np.zeros(2))
    found = call("run", files.artefact, "--images", str(tmp_path / "xy.npz"))
    assert found.code == 3 and "arrays x, y" in found.err


@pytest.mark.parametrize("group", ["targets", "lava"])
def test_a_group_alone_shows_its_help(call: Command, group: str) -> None:
    found = call(group)
    assert found.out.startswith("Usage:") and "error" not in found.err


def test_inspect_shows_the_tables_that_are_asked_for(call: Command, files: Files) -> None:
    found = call("inspect", files.artefact, "--show", "bounds", "--no-mapped")
    assert "Proven bounds" in found.out and "Layers" not in found.out and "Network" not in found.out
