"""Event frames in Lava: the source sends the frame of each step; every LIF, every step, both runtimes, the folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends import onnx
from neurodeploy.backends.lava import backend
from neurodeploy.backends.lava.emit import export
from neurodeploy.backends.lava.runtime.network import NetworkError, load
from neurodeploy.backends.reference import run, run_mapped
from neurodeploy.errors import UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping import lower
from neurodeploy.quantize import quantize
from tests.backends.lava.test_families import assert_same
from tests.event_frames import as_events, frames
from tests.traced_graphs import FAMILIES

STEPS = 3
LIVELY = {"qkformer": 0, "spikformer": 2}  # every LIF fires on 3 samples of 8x8


def network(family: str, given: np.ndarray, seed: int) -> Graph:
    return quantize(as_events(FAMILIES[family](seed, steps=STEPS, size=given.shape[-1])), given)


def counts(samples: int = 3, size: int = 8) -> np.ndarray:
    return frames(samples, STEPS, size=size, channels=1)


@pytest.mark.lava
@pytest.mark.parametrize("family", FAMILIES)
def test_every_backend_gives_the_same_integers(family: str) -> None:
    given = counts()
    graph = network(family, given, LIVELY[family])
    mapped = lower(graph)
    results = [onnx.run(graph, given, "all"), run_mapped(mapped, given, "all"), backend.run(mapped, given, "all")]
    for result in results:
        assert_same(graph, given, result)
        assert all(spikes.any() for spikes in result.spikes.values())
    shuffled = given[:, ::-1]
    assert (run(graph, shuffled).logits != results[0].logits).any()  # the order of the frames matters


@pytest.mark.lava
def test_the_real_runtime() -> None:
    given = counts(2, size=4)
    graph = network("spikformer", given, 5)
    result = backend.run(lower(graph), given, "all", runtime="multiprocess", timeout=300)
    assert_same(graph, given, result)
    assert all(spikes.any() for spikes in result.spikes.values())


@pytest.mark.lava
def test_the_folder_runs_alone_on_integer_counts(tmp_path: Path, lava_python: Path) -> None:
    given = counts()
    graph = network("qkformer", given, LIVELY["qkformer"])
    folder = export(lower(graph), tmp_path / "net")
    given[0, 1, 0, 2, 3] = 1000  # beyond the code: clipped here as there
    np.save(tmp_path / "frames.npy", given)
    words = [str(folder / "run.py"), "--input=frames.npy", "--output=out.npz"]
    subprocess.run([str(lava_python), *words], cwd=tmp_path, check=True, capture_output=True)
    with np.load(tmp_path / "out.npz") as out:
        assert (out["logits"] == run(graph, given).logits).all()
    assert f"event frames [N, {STEPS}, 1, 8, 8]" in (folder / "README.md").read_text()


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, STEPS + 1, 1, 8, 8), (0, STEPS, 1, 8, 8), (STEPS, 1, 8, 8)])
def test_the_folder_refuses_other_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    mapped = lower(network("spikformer", counts(), 0))
    with pytest.raises(NetworkError, match=r"takes \[N, 3, 1, 8, 8\]"):
        load(export(mapped, tmp_path / "net")).frames(np.ones(shape, np.uint8))
    with pytest.raises(UsageError, match=r"event frames"):
        backend.run(mapped, np.ones(shape, np.float32))


def test_the_source_sends_the_frame_of_each_step(tmp_path: Path) -> None:
    given = counts()
    network_ = load(export(lower(network("spikformer", given, 0)), tmp_path / "net"))
    assert network_.events
    for kind in (np.uint8, np.int64, np.float32):
        np.testing.assert_array_equal(network_.frames(given.astype(kind)), given)
