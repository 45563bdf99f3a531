"""The network folder: complete or not there, refused where it would destroy, the same logits without neurodeploy."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.lava import emit
from neurodeploy.backends.lava.runtime.network import NetworkError, apply_views, load
from neurodeploy.backends.lava.runtime.unroll import unroll
from neurodeploy.errors import UsageError, VerifyError
from neurodeploy.ir.mapped import SparseWeights
from tests.backends.lava.graphs import dense, every_kind, execute, images_of


def test_folder_reads_back_as_the_graph(tmp_path: Path) -> None:
    graph = every_kind(0)
    network = load(emit.export(graph, tmp_path / "net"))
    assert list(network.populations) == [p.name for p in graph.populations]
    for p in graph.populations:
        read = network.populations[p.name]
        assert (read.kind, read.shape, read.depth, read.vth, read.dv, read.bias_exp, read.resets) == (
            *(p.kind, p.shape, p.depth, p.vth, p.dv, p.bias_exp, p.resets),
        )
        np.testing.assert_array_equal(read.bias_mant, p.bias_mant)
    assert list(network.probes) == ["block.one_lif", "two", "skip_lif", "max_lif", "mask_lif", "attn_lif"]
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert {p.name for p in (tmp_path / "net").iterdir()} == {
        *("README.md", "network.json", "network.npz", "run.py", "runtime")
    }


def test_unrolled_convolutions_are_their_definition(tmp_path: Path) -> None:
    graph = every_kind(0)
    network = load(emit.export(graph, tmp_path / "net"))
    convs = [c for c in network.crossbars if c.kind == "conv"]
    assert len(convs) == 3
    for crossbar in convs:
        source, target = network.populations[crossbar.source], network.populations[crossbar.target]
        weights, cols, starts = unroll(crossbar, source, target)
        matrix = np.zeros((target.size, source.size), np.int64)
        np.add.at(matrix, (np.repeat(np.arange(target.size), np.diff(starts)), cols), weights)
        original = next(c for c in graph.crossbars if c.name == crossbar.name)
        np.testing.assert_array_equal(matrix, dense(graph, original))
        assert np.count_nonzero(matrix) == weights.size


def test_an_existing_folder_is_refused_and_ours_is_replaced(tmp_path: Path) -> None:
    target = emit.export(every_kind(0), tmp_path / "net")
    with pytest.raises(UsageError, match="ND-B130"):
        emit.export(every_kind(1), target)
    emit.export(every_kind(1), target, overwrite=True)
    np.testing.assert_array_equal(load(target).output_bias, every_kind(1).output_bias)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("content", [None, "{}", "not json", "[]"])
def test_a_foreign_folder_is_never_replaced(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "thesis.txt").write_text("mine")
    if content is not None:
        (tmp_path / "net" / "network.json").write_text(content)
    with pytest.raises(UsageError, match="ND-B131"):
        emit.export(every_kind(0), tmp_path / "net", overwrite=True)
    assert (tmp_path / "net" / "thesis.txt").read_text() == "mine"


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(emit, "_sync", full)
    with pytest.raises(UsageError, match=r"(?s)ND-B132.*no space"):
        emit.export(every_kind(0), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="ND-B132"):
        emit.export(every_kind(0), tmp_path / "file" / "net")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_appears_while_one_is_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """What was checked at the start may not hold at the end: another export may have been faster."""
    target, name = tmp_path / "net", emit._name
    if overwrite:
        emit.export(every_kind(0), target)

    def late(part: Path, target: Path) -> None:
        monkeypatch.setattr(emit, "_name", name)
        emit.export(every_kind(1), target)
        name(part, target)

    monkeypatch.setattr(emit, "_name", late)
    with pytest.raises(UsageError, match="ND-B130"):
        emit.export(every_kind(2), target, overwrite)
    np.testing.assert_array_equal(load(target).output_bias, every_kind(1).output_bias)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="ND-B132"):
        emit.export(every_kind(0), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_all_broken_rules_are_named_at_once(tmp_path: Path) -> None:
    graph = every_kind(0)
    one, *rest = graph.crossbars[2:]
    broken = [replace(one, delay=63), *rest[:-1], replace(rest[-1], weights=SparseWeights(*[np.array([0, 0])] * 3, -1))]
    populations = [replace(p, bias_mant=np.int64(4096)) if p.name == "two" else p for p in graph.populations]
    graph = replace(graph, crossbars=(*graph.crossbars[:2], *broken), populations=tuple(populations))
    with pytest.raises(VerifyError) as caught:
        emit.export(graph, tmp_path / "net")
    codes = {finding.code for finding in caught.value.findings}
    assert codes == {"ND-M103", "ND-M104", "ND-M106"}
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    folder = emit.export(every_kind(0), tmp_path / "net")
    data = bytearray((folder / "network.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "network.npz").write_bytes(bytes(data))
    with pytest.raises(NetworkError, match="damaged"):
        load(folder)
    plain = json.loads((folder / "network.json").read_text())
    (folder / "network.json").write_text(json.dumps(plain | {"version": 99}))
    with pytest.raises(NetworkError, match="99"):
        load(folder)
    (folder / "network.json").write_text("{")
    with pytest.raises(NetworkError, match="no network folder"):
        load(folder)


def test_images_are_encoded_in_float32_to_even(tmp_path: Path) -> None:
    graph = every_kind(0)
    network = load(emit.export(graph, tmp_path / "net"))
    images = images_of(graph, 3) * 1.5 - 0.25
    levels = np.clip(np.rint(images / np.float32(1 / 255)), 0, 255)
    frames = network.frames(images)
    assert frames.shape == (3, 3, 2, 5, 6)
    np.testing.assert_array_equal(frames[:, 1], levels)
    np.testing.assert_array_equal(network.frames(frames), frames)
    for bad in (images[:0], images[:, :1], np.full_like(images, np.nan), np.full(images.shape, 256)):
        with pytest.raises(NetworkError):
            network.frames(bad)


@pytest.mark.lava
def test_the_folder_runs_without_neurodeploy(lava_python: Path, tmp_path: Path) -> None:
    graph = every_kind(6)
    images = images_of(graph, 3)
    folder = emit.export(graph, tmp_path / "net")
    np.save(tmp_path / "images.npy", images)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": ""}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [str(lava_python), "-s", str(folder / "run.py"), "--input", "images.npy", *options]
        return subprocess.run(command, check=False, cwd=tmp_path, env=environ, capture_output=True, text=True)

    expected = execute(graph, images)
    assert run("--output", "out.npz", "--probes", "all").returncode == 0
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["logits"], expected.logits)
        np.testing.assert_array_equal(out["spikes/two"], expected.spikes["two"])
        np.testing.assert_array_equal(out["membrane/two"], expected.membrane["two"])
    printed = run("--progress").stdout.splitlines()
    assert "progress 25/25" in printed
    row = expected.logits[2]
    assert printed[-1] == f"2: class {row.argmax()}  logits {' '.join(map(str, row))}"
    wrong = run("--probes", "nobody")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert "nobody" in wrong.stderr


def test_a_view_that_lava_has_not_is_refused() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    assert apply_views(array, (("permute", (1, 0)), ("reshape", (12,))), axes=1).shape == (2, 12)
    with pytest.raises(NetworkError, match="not slice"):
        apply_views(array, (("slice", (0, 0, 1)),))
